//! What do we call?
//!
//! A target is written as a URI: the scheme says who knows the endpoints, the rest says whose. A bare name is
//! looked up in the registry of `discovery.registry`, so that code and files need not know which one it is.
//!
//! | written | means |
//! |---|---|
//! | `catalog` | the service of that name in `discovery.registry` |
//! | `dir://catalog` | the same, in the directory registry |
//! | `etcd://catalog` | the same, in etcd |
//! | `consul://catalog`, `consul://catalog?tag=v2` | the same in Consul; only the instances with that tag |
//! | `k8s://shop/catalog`, `k8s://shop/catalog:http` | that service of that namespace in Kubernetes; the port of that name or number |
//! | `dns://catalog.shop`, `dns://catalog.shop:8080` | the addresses of that host, with DNS' times; the port else is `discovery.dns.port` |
//! | `dns+srv://_http._tcp.catalog.shop` | the SRV records of that name |
//! | `file:///etc/platform/catalog.toml` | the endpoints in that file |
//! | `fixed://127.0.0.1:7001,127.0.0.1:7002` | these addresses, for ever |
//! | `http://partner.example`, `https://partner.example:8443` | the addresses of a stranger's host; ports 80 and 443 |

mod read;

use std::{fmt, net::SocketAddr, path::Path, str::FromStr, sync::Arc};

use platform_core::{Error, Result};

pub(crate) use read::is_service_name;

/// The logical thing that is called, and who knows its endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    name: Arc<str>,
    place: Place,
}

/// Where the endpoints of a target are known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// In the registry of `discovery.registry`, under this name.
    Registry(Arc<str>),
    /// In the directory registry, under this name.
    Directory(Arc<str>),
    /// In etcd, under this name.
    Etcd(Arc<str>),
    /// In Consul's catalogue.
    Consul {
        /// The service's name.
        name: Arc<str>,
        /// Only instances with this tag.
        tag: Option<Arc<str>>,
    },
    /// In the EndpointSlices of Kubernetes.
    Kubernetes {
        /// The service's namespace.
        namespace: Arc<str>,
        /// The service's name.
        service: Arc<str>,
        /// The port's name or number; else `discovery.kubernetes.port`.
        port: Option<Arc<str>>,
    },
    /// The addresses of a host of our own, by DNS.
    Dns {
        /// Its name.
        host: Arc<str>,
        /// Else `discovery.dns.port`.
        port: Option<u16>,
    },
    /// The SRV records of a name.
    Srv(Arc<str>),
    /// What is written in a file.
    File(Arc<Path>),
    /// These addresses.
    Fixed(Arc<[SocketAddr]>),
    /// The addresses of a stranger's host.
    Host {
        /// Its name, or an address without brackets.
        host: Arc<str>,
        /// As written, else 80 or 443.
        port: u16,
        /// Whether it is spoken to through TLS.
        tls: bool,
    },
}

impl Target {
    /// Reads a target.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](platform_core::ErrorKind::Config), saying what was expected.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, place) = read::place(text)?;
        Ok(Target { name, place })
    }

    /// The same target under a name of the caller's choice: what logs and metrics call it.
    ///
    /// Addresses make no good label, so that a `fixed://` target is called `fixed` until its client names it.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Target { name: Arc::from(name), ..self }
    }

    /// What logs and metrics call it.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where its endpoints are known.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What it is called where it is looked up; `None` for what is no name of a service.
    pub fn service(&self) -> Option<&str> {
        match &self.place {
            Place::Registry(name) | Place::Directory(name) | Place::Etcd(name) => Some(name),
            Place::Consul { name, .. } | Place::Kubernetes { service: name, .. } => Some(name),
            Place::Dns { .. } | Place::Srv(_) | Place::File(_) | Place::Fixed(_) | Place::Host { .. } => None,
        }
    }

    /// Whether it is spoken to through TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.place, Place::Host { tls: true, .. })
    }

    /// Whether it belongs to somebody else: whoever is called by URL learns nothing of ours.
    pub fn is_stranger(&self) -> bool {
        matches!(self.place, Place::Host { .. })
    }

    /// What stands in the `Host` header: the host and a port that is not the usual one, else the name.
    pub fn authority(&self) -> Arc<str> {
        match &self.place {
            Place::Host { host, port, tls } => Arc::from(authority(host, *port, *tls)),
            Place::Dns { host, port } => Arc::from(authority(host, port.unwrap_or(usual_port(false)), false)),
            Place::Registry(name)
            | Place::Directory(name)
            | Place::Etcd(name)
            | Place::Consul { name, .. } => Arc::clone(name),
            Place::Kubernetes { service, .. } => Arc::clone(service),
            Place::Srv(_) | Place::File(_) | Place::Fixed(_) => Arc::clone(&self.name),
        }
    }
}

/// The URI; [`Target::parse`] reads it back, but for a name that was given by hand.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Registry(name) => f.write_str(name),
            Place::Directory(name) => write!(f, "dir://{name}"),
            Place::Etcd(name) => write!(f, "etcd://{name}"),
            Place::Consul { name, tag: None } => write!(f, "consul://{name}"),
            Place::Consul { name, tag: Some(tag) } => write!(f, "consul://{name}?tag={tag}"),
            Place::Kubernetes { namespace, service, port: None } => write!(f, "k8s://{namespace}/{service}"),
            Place::Kubernetes { namespace, service, port: Some(port) } => {
                write!(f, "k8s://{namespace}/{service}:{port}")
            }
            Place::Dns { host, port: None } => write!(f, "dns://{host}"),
            Place::Dns { host, port: Some(port) } => write!(f, "dns://{host}:{port}"),
            Place::Srv(name) => write!(f, "dns+srv://{name}"),
            Place::File(path) => write!(f, "file://{}", path.display()),
            Place::Fixed(addresses) => {
                f.write_str("fixed://")?;
                for (index, address) in addresses.iter().enumerate() {
                    write!(f, "{}{address}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Place::Host { host, port, tls } => {
                write!(f, "{}://{}", if *tls { "https" } else { "http" }, authority(host, *port, *tls))
            }
        }
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Target::parse(text)
    }
}

fn authority(host: &str, port: u16, tls: bool) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == usual_port(tls) { host } else { format!("{host}:{port}") }
}

fn usual_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::ErrorKind;

    #[test]
    fn every_target_reads_back_as_it_is_written() {
        for text in [
            "catalog",
            "dir://catalog",
            "etcd://catalog",
            "consul://catalog",
            "consul://catalog?tag=v2",
            "k8s://shop/catalog",
            "k8s://shop/catalog:http",
            "k8s://shop/catalog:8080",
            "dns://catalog.shop",
            "dns://catalog.shop:8080",
            "dns+srv://_http._tcp.catalog.shop",
            "file:///etc/platform/catalog.toml",
            "fixed://127.0.0.1:7001",
            "fixed://127.0.0.1:7001,[::1]:7002",
            "http://partner.example",
            "http://partner.example:8080",
            "https://partner.example",
            "https://[::1]:8443",
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn hosts_know_their_port_and_their_authority() {
        let table = [
            ("http://Partner.Example/", 80, false, "partner.example"),
            ("https://partner.example", 443, true, "partner.example"),
            ("https://partner.example:80", 80, true, "partner.example:80"),
            ("http://[::1]", 80, false, "[::1]"),
        ];
        for (text, wanted, tls, authority) in table {
            let target = Target::parse(text).unwrap();
            assert!(matches!(target.place(), Place::Host { port, .. } if *port == wanted), "{text}");
            assert_eq!(target.is_tls(), tls, "{text}");
            assert_eq!(&*target.authority(), authority, "{text}");
        }
    }

    #[test]
    fn a_repeated_address_is_one_endpoint() {
        let target = Target::parse("fixed://127.0.0.1:1, 127.0.0.1:1").unwrap();
        assert_eq!(target.to_string(), "fixed://127.0.0.1:1");
        assert_eq!(&**target.name(), "fixed");
        assert_eq!(&**target.named("ratings").name(), "ratings");
    }

    #[test]
    fn a_wrong_target_says_what_was_expected() {
        let table = [
            ("", "no service name"),
            ("Catalog", "no service name"),
            ("-catalog", "no service name"),
            ("localhost:8080", "write fixed://localhost:8080 or http://localhost:8080"),
            ("dir://../etc", "no service name"),
            ("fixed://", "is not IP:PORT"),
            ("fixed://localhost:80", "\"localhost:80\" is not IP:PORT"),
            ("fixed://127.0.0.1:0", "port 0"),
            ("http://", "no host name"),
            ("http://a/b", "paths belong to the requests"),
            ("http://user@host", "no user"),
            ("http://user:hunter2@host", "http://***@host\": a target carries no user"),
            ("http://a\nb", "a\\nb\": a target is one line"),
            ("file:///a\u{1b}[31m", "one line"),
            ("http://host:port", "no port"),
            ("http://host:0", "no port"),
            ("https://[::1", "never closed"),
            ("https://[nonsense]", "no IPv6 address"),
            ("https://[::1]x", "after the address"),
            ("ftp://host", "\"ftp\" is no source"),
            ("etcd://Catalog", "no service name"),
            ("consul://catalog?dc=x", "is not ?tag=TAG"),
            ("consul://catalog?tag=", "is not ?tag=TAG"),
            ("consul://catalog?tag=a&b", "is not ?tag=TAG"),
            ("k8s://catalog", "k8s://NAMESPACE/SERVICE"),
            ("k8s://Shop/catalog", "\"Shop\" is no namespace"),
            ("k8s://shop/-", "\"-\" is no service"),
            ("k8s://shop/catalog:99999", "no port's name or number"),
            ("k8s://shop/catalog:", "no port's name or number"),
            ("dns://", "no host name"),
            ("dns://a:0", "no port"),
            ("dns+srv://catalog.shop", "_SERVICE._PROTOCOL.DOMAIN"),
            ("dns+srv://_http.catalog.shop", "_SERVICE._PROTOCOL.DOMAIN"),
            ("dns+srv://_http._tcp.", "is no domain"),
            ("dns+srv://_http._tcp..", "is no domain"),
            ("dns://.", "no host name"),
            ("file://relative", "its whole path"),
        ];
        for (text, why) in table {
            let error = Target::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(error.detail().contains(why), "{text}: {error}");
            assert!(error.detail().contains("expected NAME"), "{text}: {error}");
            assert!(
                !error.detail().contains("hunter2") && !error.detail().contains(char::is_control),
                "{error}"
            );
        }
    }

    #[test]
    fn a_target_is_called_what_its_place_calls_it() {
        let table = [
            ("catalog", "catalog", "catalog"),
            ("etcd://catalog", "catalog", "catalog"),
            ("consul://catalog?tag=v2", "catalog", "catalog"),
            ("k8s://shop/catalog:http", "catalog", "catalog"),
            ("dns://Catalog.Shop:8080", "catalog.shop", "catalog.shop:8080"),
            ("dns://catalog.shop", "catalog.shop", "catalog.shop"),
            ("dns+srv://_http._tcp.Catalog.shop.", "catalog.shop", "catalog.shop"),
            ("file:///etc/platform/catalog.toml", "catalog", "catalog"),
            ("file:///etc/platform/My.Catalog", "file", "file"),
        ];
        for (text, name, authority) in table {
            let target = Target::parse(text).unwrap();
            assert_eq!((&**target.name(), &*target.authority()), (name, authority), "{text}");
            assert!(!target.is_tls() && !target.is_stranger(), "{text}");
        }
        assert!(Target::parse("https://partner.example").unwrap().is_stranger());
    }
}
