//! Who is on the other side?
//!
//! A server with `server.tls.cert` speaks TLS 1.2 and 1.3 only, on rustls with ring, HTTP/2 and HTTP/1.1 by ALPN on
//! its one port. With `server.tls.client_ca` it asks its peers who they are; what a verified certificate says is
//! [`Identity`], which handlers find in a request's extensions and people on its canonical line, and [`allow`] is a
//! list of those whom a route serves.
//!
//! # Why
//! A certificate that was renewed must not cost a connection, and one that was not must not surprise anybody. So the
//! files are looked at once a second and read again when they changed; who is connected stays so, who connects next
//! meets the new ones. Files that do not belong together, which is what half a renewal looks like, change nothing:
//! the certificate from before is kept, and the log says once what is wrong.
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `server.tls.cert`, `key` | none: cleartext | nobody can guess a certificate; in a mesh or behind a proxy somebody else has it |
//! | `server.tls.client_ca`, `clients` | none, `required` | whoever names an authority wants to know who is there |
//! | versions | 1.2 and 1.3 | what rustls speaks, and all that is not broken |
//! | a look at the files | each second | a renewal is seen before anybody asks whether it was |
//!
//! # Signals
//! `platform_tls_not_after_timestamp_seconds` and `platform_tls_renewal_seconds`, with an alert that is a ticket 14 days
//! before the end, or a third of a shorter life, and a page when a seventh of that is left; one warning for files that
//! cannot be used, one line and one change for each rotation.
//!
//! # Traps
//! A peer is verified when it connects. A certificate that is taken from an authority's list, or ends, ends no
//! connection before `server.times.connection_age`.

#[cfg(feature = "tls")]
mod acceptor;
#[cfg(not(feature = "tls"))]
#[path = "none.rs"]
mod acceptor;
#[cfg(feature = "tls")]
pub(crate) mod client;
#[cfg(feature = "tls")]
mod files;
mod identity;
mod metrics;
mod stream;
#[cfg(feature = "tls")]
mod validity;

pub(crate) use acceptor::{Acceptor, Refresh};
pub use identity::Identity;
pub(crate) use metrics::{NOT_AFTER, RENEWAL, signals};
pub(crate) use stream::Stream;

pub use crate::allow::{Allow, Allowed, allow};

/// Whose certificate it is, as the keys that name its files say.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "a build without TLS reads no file"))]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) cert: &'static str,
    pub(crate) key: &'static str,
    pub(crate) client_ca: &'static str,
}

/// `server.tls`.
pub(crate) const SERVER: Section = Section {
    name: "server.tls",
    cert: "server.tls.cert",
    key: "server.tls.key",
    client_ca: "server.tls.client_ca",
};
/// `admin.tls`.
pub(crate) const ADMIN: Section = Section {
    name: "admin.tls",
    cert: "admin.tls.cert",
    key: "admin.tls.key",
    client_ca: "admin.tls.client_ca",
};
