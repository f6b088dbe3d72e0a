//! The words that a service in Consul is made of.

/// The keys of its meta that are ours.
pub(super) mod meta {
    pub(crate) const INSTANCE: &str = "instance";
    pub(crate) const ADMIN: &str = "admin";
    pub(crate) const ADMIN_TLS: &str = "admin_tls";
    pub(crate) const PROTOCOL: &str = "protocol";
    pub(crate) const STATE: &str = "state";
    pub(crate) const ZONE: &str = "zone";
    pub(crate) const VERSION: &str = "version";
    pub(crate) const VARIANT: &str = "variant";
    pub(crate) const OWNER: &str = "owner";
}

/// What is so.
pub(super) const YES: &str = "true";

/// What its checks say.
pub(super) mod status {
    pub(crate) const PASSING: &str = "passing";
    pub(crate) const WARNING: &str = "warning";
    pub(crate) const CRITICAL: &str = "critical";
    pub(crate) const MAINTENANCE: &str = "maintenance";
}
