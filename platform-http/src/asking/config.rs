//! Whom to believe, and who we are: `admin.fleet`.

use std::path::PathBuf;

use platform_core::config::{Refusal, Rules};
use serde::{Deserialize, Serialize};

/// How admin listeners with certificates are asked. The files are read again when they changed, for the next
/// connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whom to believe: a PEM file; empty is what this machine believes.
    pub ca: PathBuf,
    /// Our own certificate, for listeners that ask: a PEM file, the chain after it.
    pub cert: PathBuf,
    /// Its key: a PEM file.
    pub key: PathBuf,
    /// The name in a listener's certificate; `{service}` stands for the service's name in the registry, or for the host
    /// of a URL.
    pub server_name: String,
}

impl Config {
    /// Is an authority named, so that cleartext is an exception?
    pub(super) fn insists(&self) -> bool {
        !self.ca.as_os_str().is_empty()
    }

    /// The name that the certificate of a listener of `service` has to have.
    pub(super) fn name_of(&self, service: &str) -> String {
        self.server_name.replace(SERVICE, service)
    }

    /// The name that the certificate of a listener has to have of which only the host is known: the one name that all
    /// have, else the host.
    pub(super) fn name_at(&self, host: &str) -> String {
        if self.server_name.contains(SERVICE) { host.to_owned() } else { self.server_name.clone() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            ca: PathBuf::new(),
            cert: PathBuf::new(),
            key: PathBuf::new(),
            server_name: SERVICE.to_owned(),
        }
    }
}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if self.cert.as_os_str().is_empty() != self.key.as_os_str().is_empty() {
            refusals.push(Refusal::new("cert", "and `key` belong together; set both or neither").and("key"));
        }
        if self.server_name.is_empty() {
            let why = "is empty, and no certificate has such a name; leave it out for the service's own";
            refusals.push(Refusal::new("server_name", why));
        }
        refusals
    }
}

/// What the service's name is put in for.
const SERVICE: &str = "{service}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_its_service_unless_somebody_says_otherwise() {
        for (set, of, at) in [
            (SERVICE, "orders", "10.0.0.1"),
            ("{service}.shop.svc", "orders.shop.svc", "10.0.0.1"),
            ("admin.shop", "admin.shop", "admin.shop"),
        ] {
            let config = Config { server_name: set.to_owned(), ..Config::default() };
            assert_eq!((config.name_of("orders").as_str(), config.name_at("10.0.0.1").as_str()), (of, at));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let told = |config: Config| {
            let refusals = config.refusals();
            refusals.iter().map(|refusal| format!("{refusal:?}")).collect::<String>()
        };
        assert_eq!(told(Config::default()), "");
        assert!(told(Config { cert: "a".into(), ..Config::default() }).contains("belong together"));
        assert!(told(Config { server_name: String::new(), ..Config::default() }).contains("is empty"));
    }
}
