//! What is set about the registries that are servers.
//!
//! A section may stand in a file of a service that does not use it, and whose build does not know its registry:
//! a company shares files.

use std::{fmt, path::PathBuf};

use platform_core::config::Refusal;
use serde::{Deserialize, Serialize};

use crate::endpoint::ip_or_address;

/// The registries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Registry {
    /// A folder on this machine; no server is needed.
    #[default]
    Dir,
    /// etcd.
    Etcd,
    /// Consul.
    Consul,
    /// Kubernetes, which registers by itself.
    Kubernetes,
    /// DNS, which somebody else writes.
    Dns,
}

impl Registry {
    /// Whether instances write their own records there.
    pub fn takes_records(self) -> bool {
        matches!(self, Registry::Dir | Registry::Etcd | Registry::Consul)
    }

    /// The word in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Registry::Dir => "dir",
            Registry::Etcd => "etcd",
            Registry::Consul => "consul",
            Registry::Kubernetes => "kubernetes",
            Registry::Dns => "dns",
        }
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The `[discovery] dns` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// What is put behind a bare name in registry `dns`: `catalog` and `shop.internal` make
    /// `catalog.shop.internal`.
    pub suffix: String,
    /// The port where neither the target nor a record names one.
    pub port: u16,
    /// `IP` or `IP:PORT` of the server that is asked; empty is what the system asks.
    pub server: String,
}

/// The `[discovery] etcd` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Etcd {
    /// The cluster's members, `http://HOST:PORT` or `https://HOST:PORT`.
    pub endpoints: Vec<String>,
    /// What all keys begin with.
    pub prefix: String,
    /// Who we are to it; empty is nobody.
    pub user: String,
    /// The file that holds the user's password.
    pub password_file: PathBuf,
    /// Certificates for `https://` members.
    pub tls: Tls,
}

/// Certificates for a registry that is spoken to through TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The file of the authorities that are trusted; empty is what the system trusts.
    pub ca: PathBuf,
    /// The file of our own certificate; empty shows none.
    pub cert: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
}

/// The `[discovery] consul` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Consul {
    /// The agent, `http://HOST:PORT` or `https://HOST:PORT`.
    pub address: String,
    /// The file that holds the token; empty shows none.
    pub token_file: PathBuf,
    /// Certificates for an `https://` agent.
    pub tls: Tls,
}

/// The `[discovery] kubernetes` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kubernetes {
    /// Where a bare name is looked up; empty is the namespace that we run in.
    pub namespace: String,
    /// The port's name or number where the target names none.
    pub port: String,
}

impl Etcd {
    pub(super) fn refusals(&self, refusals: &mut Vec<Refusal>) {
        if self.endpoints.is_empty() {
            refusals
                .push(Refusal::new("etcd.endpoints", "is empty; name one member or more, http://HOST:PORT"));
        }
        for member in &self.endpoints {
            if !is_url(member, &["http://", "https://"]) {
                let why = format!("holds \"{member}\"; a member is http://HOST:PORT or https://HOST:PORT");
                refusals.push(Refusal::new("etcd.endpoints", why));
            }
        }
        if !self.prefix.starts_with('/') || self.prefix.ends_with('/') {
            let why = format!("is \"{}\"; it begins with a / and does not end with one", self.prefix);
            refusals.push(Refusal::new("etcd.prefix", why));
        }
        if self.user.is_empty() != self.password_file.as_os_str().is_empty() {
            let why = "and `password_file` belong together; set both or neither";
            refusals.push(Refusal::new("etcd.user", why).and("etcd.password_file"));
        }
        self.tls.refusals("etcd.tls", refusals);
    }
}

impl Tls {
    fn refusals(&self, section: &str, refusals: &mut Vec<Refusal>) {
        if self.cert.as_os_str().is_empty() != self.key.as_os_str().is_empty() {
            let why = "and `key` belong together; set both or neither";
            refusals.push(Refusal::new(format!("{section}.cert"), why).and(format!("{section}.key")));
        }
    }
}

impl Consul {
    pub(super) fn refusals(&self, refusals: &mut Vec<Refusal>) {
        if !is_url(&self.address, &["http://", "https://"]) {
            let why = format!("is \"{}\"; the agent is http://HOST:PORT or https://HOST:PORT", self.address);
            refusals.push(Refusal::new("consul.address", why));
        }
        self.tls.refusals("consul.tls", refusals);
    }
}

impl Dns {
    pub(super) fn refusals(&self, refusals: &mut Vec<Refusal>) {
        if self.port == 0 {
            refusals.push(Refusal::new("dns.port", "is 0, where nobody can be called"));
        }
        // The usual port is nobody's business here.
        let is_server = |text: &str| ip_or_address(text, 1).is_some_and(|address| address.port() != 0);
        if !self.server.is_empty() && !is_server(&self.server) {
            let why = format!("is \"{}\"; a server is IP or IP:PORT", self.server);
            refusals.push(Refusal::new("dns.server", why));
        }
    }
}

impl Kubernetes {
    pub(super) fn refusals(&self, refusals: &mut Vec<Refusal>) {
        if self.port.is_empty() {
            refusals.push(Refusal::new("kubernetes.port", "is empty; use a port's name or number"));
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Dns { suffix: String::new(), port: 80, server: String::new() }
    }
}

impl Default for Etcd {
    fn default() -> Self {
        Etcd {
            endpoints: vec!["http://127.0.0.1:2379".to_owned()],
            prefix: "/platform/services".to_owned(),
            user: String::new(),
            password_file: PathBuf::new(),
            tls: Tls::default(),
        }
    }
}

impl Default for Consul {
    fn default() -> Self {
        // Every machine has an agent of its own there.
        Consul {
            address: "http://127.0.0.1:8500".to_owned(),
            token_file: PathBuf::new(),
            tls: Tls::default(),
        }
    }
}

impl Default for Kubernetes {
    fn default() -> Self {
        Kubernetes { namespace: String::new(), port: "http".to_owned() }
    }
}

/// A scheme, a host, and nothing behind it.
fn is_url(text: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']))
}
