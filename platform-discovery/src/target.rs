//! What do we call?
//!
//! A target is written as a URI: the scheme says who knows the endpoints, the rest says whose. A bare name is
//! looked up in the registry of `discovery.registry`, so that code and files need not know which one it is.
//!
//! | written | means |
//! |---|---|
//! | `catalog` | the service of that name in `discovery.registry` |
//! | `dir://catalog` | the same, in the directory registry |
//! | `fixed://127.0.0.1:7001,127.0.0.1:7002` | these addresses, for ever |
//! | `http://partner.example`, `https://partner.example:8443` | the addresses of that host; ports 80 and 443 |

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use platform_core::{Error, Result};

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
    /// These addresses.
    Fixed(Arc<[SocketAddr]>),
    /// The addresses of a host.
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
        let Some((scheme, rest)) = text.split_once("://") else {
            let name = service(text, text)?;
            return Ok(Target { name: Arc::clone(&name), place: Place::Registry(name) });
        };
        match scheme {
            "dir" => {
                let name = service(text, rest)?;
                Ok(Target { name: Arc::clone(&name), place: Place::Directory(name) })
            }
            "fixed" => Ok(Target { name: Arc::from("fixed"), place: Place::Fixed(addresses(text, rest)?) }),
            "http" => host(text, rest, false),
            "https" => host(text, rest, true),
            "file" | "dns" | "dns+srv" | "etcd" | "consul" | "k8s" => Err(Error::config(format!(
                "target \"{text}\": this build has no {scheme} source; {EXPECTED}"
            ))),
            _ => Err(refused(text, &format!("\"{scheme}\" is no source"))),
        }
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

    /// Whether it is spoken to through TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.place, Place::Host { tls: true, .. })
    }

    /// What stands in the `Host` header: the host and a port that is not the usual one, else the name.
    pub fn authority(&self) -> Arc<str> {
        match &self.place {
            Place::Host { host, port, tls } => Arc::from(authority(host, *port, *tls)),
            Place::Registry(name) | Place::Directory(name) => Arc::clone(name),
            Place::Fixed(_) => Arc::clone(&self.name),
        }
    }
}

/// The URI; [`Target::parse`] reads it back, but for a name that was given by hand.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Registry(name) => f.write_str(name),
            Place::Directory(name) => write!(f, "dir://{name}"),
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

/// `[a-z][a-z0-9-]{0,62}`: what every registry can store and every label can show.
pub(crate) fn is_service_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.len() <= 63
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

fn service(text: &str, name: &str) -> Result<Arc<str>> {
    if is_service_name(name) {
        return Ok(Arc::from(name));
    }
    let why = if name.contains(':') {
        format!("\"{name}\" looks like an address; write fixed://{name} or http://{name}")
    } else {
        format!("\"{name}\" is no service name (a to z, 0 to 9 and -, at most 63, a letter first)")
    };
    Err(refused(text, &why))
}

fn addresses(text: &str, list: &str) -> Result<Arc<[SocketAddr]>> {
    let mut known = Vec::new();
    for part in list.split(',') {
        let address: SocketAddr =
            part.trim().parse().map_err(|_| refused(text, &format!("\"{part}\" is not IP:PORT")))?;
        if address.port() == 0 {
            return Err(refused(text, &format!("nobody can be called on port 0 (\"{part}\")")));
        }
        if !known.contains(&address) {
            known.push(address);
        }
    }
    Ok(known.into())
}

fn host(text: &str, rest: &str, tls: bool) -> Result<Target> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(refused(text, "a target names a host; paths belong to the requests"));
    }
    if rest.contains('@') {
        return Err(refused(text, "a target carries no user and no password"));
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(v6) => {
            let (host, after) =
                v6.split_once(']').ok_or_else(|| refused(text, "the bracket \"[\" is never closed"))?;
            if !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
                return Err(refused(text, &format!("\"{host}\" is no IPv6 address")));
            }
            let port = match after {
                "" => None,
                _ => Some(
                    after
                        .strip_prefix(':')
                        .ok_or_else(|| refused(text, &format!("\"{after}\" after the address")))?,
                ),
            };
            (host, port)
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(sound) {
        return Err(refused(text, &format!("\"{host}\" is no host name")));
    }
    let port = match port {
        None => usual_port(tls),
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| refused(text, &format!("\"{port}\" is no port (1 to 65535)")))?,
    };
    let host: Arc<str> = Arc::from(host.to_ascii_lowercase());
    Ok(Target { name: Arc::clone(&host), place: Place::Host { host, port, tls } })
}

fn authority(host: &str, port: u16, tls: bool) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == usual_port(tls) { host } else { format!("{host}:{port}") }
}

fn usual_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn refused(text: &str, why: &str) -> Error {
    Error::config(format!("target \"{text}\": {why}; {EXPECTED}"))
}

const EXPECTED: &str =
    "expected NAME, dir://NAME, fixed://IP:PORT,IP:PORT, http://HOST[:PORT] or https://HOST[:PORT]";

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::ErrorKind;

    #[test]
    fn every_target_reads_back_as_it_is_written() {
        for text in [
            "catalog",
            "dir://catalog",
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
            ("http://host:port", "no port"),
            ("http://host:0", "no port"),
            ("https://[::1", "never closed"),
            ("https://[nonsense]", "no IPv6 address"),
            ("https://[::1]x", "after the address"),
            ("ftp://host", "\"ftp\" is no source"),
        ];
        for (text, why) in table {
            let error = Target::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(error.detail().contains(why), "{text}: {error}");
            assert!(error.detail().contains("expected NAME"), "{text}: {error}");
        }
    }

    #[test]
    fn a_source_that_is_not_built_in_says_so() {
        for text in
            ["file:///a", "dns://a:1", "dns+srv://a", "etcd://a", "consul://a?tag=v2", "k8s://a/b:http"]
        {
            let (scheme, _) = text.split_once(':').unwrap();
            let error = Target::parse(text).unwrap_err();
            assert!(error.detail().contains(&format!("this build has no {scheme} source")), "{error}");
        }
    }
}
