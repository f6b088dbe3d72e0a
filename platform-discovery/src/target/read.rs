//! How is a target written?

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

use platform_core::{Error, Result, config::without_credentials, error::one_line};

use super::{Place, usual_port};

/// The place that a text names, and what logs and metrics call it.
pub(super) fn place(text: &str) -> Result<(Arc<str>, Place)> {
    if text.contains(char::is_control) {
        return Err(refused(text, "a target is one line of printable characters"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let name = service(text, text)?;
        return Ok((Arc::clone(&name), Place::Registry(name)));
    };
    match scheme {
        "dir" => {
            let name = service(text, rest)?;
            Ok((Arc::clone(&name), Place::Directory(name)))
        }
        "etcd" => {
            let name = service(text, rest)?;
            Ok((Arc::clone(&name), Place::Etcd(name)))
        }
        "consul" => consul(text, rest),
        "k8s" => kubernetes(text, rest),
        "dns" => dns(text, rest),
        "dns+srv" => srv(text, rest),
        "file" => file(text, rest),
        "fixed" => Ok((Arc::from("fixed"), Place::Fixed(addresses(text, rest)?))),
        "http" => host(text, rest, false),
        "https" => host(text, rest, true),
        _ => Err(refused(text, &format!("\"{scheme}\" is no source"))),
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

fn consul(text: &str, rest: &str) -> Result<(Arc<str>, Place)> {
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    let name = service(text, name)?;
    let tag = match query {
        "" => None,
        _ => Some(
            query
                .strip_prefix("tag=")
                .filter(|tag| is_word(tag, b"._-"))
                .ok_or_else(|| refused(text, &format!("\"?{query}\" is not ?tag=TAG")))?,
        ),
    };
    Ok((Arc::clone(&name), Place::Consul { name, tag: tag.map(Arc::from) }))
}

fn kubernetes(text: &str, rest: &str) -> Result<(Arc<str>, Place)> {
    let Some((namespace, service)) = rest.split_once('/') else {
        return Err(refused(
            text,
            "Kubernetes' services are k8s://NAMESPACE/SERVICE or k8s://NAMESPACE/SERVICE:PORT",
        ));
    };
    let (service, port) = match service.split_once(':') {
        Some((service, port)) => (service, Some(port)),
        None => (service, None),
    };
    for (what, name) in [("namespace", namespace), ("service", service)] {
        if !is_dns_label(name) {
            return Err(refused(text, &format!("\"{name}\" is no {what} of Kubernetes")));
        }
    }
    // A number, or a name of at most 15.
    let is_port = |port: &str| match port.parse::<u32>() {
        Ok(number) => (1..=65_535).contains(&number),
        Err(_) => port.len() <= 15 && is_dns_label(port),
    };
    if let Some(port) = port.filter(|port| !is_port(port)) {
        return Err(refused(text, &format!("\"{port}\" is no port's name or number")));
    }
    let (namespace, service) = (Arc::from(namespace), Arc::from(service));
    Ok((Arc::clone(&service), Place::Kubernetes { namespace, service, port: port.map(Arc::from) }))
}

fn dns(text: &str, rest: &str) -> Result<(Arc<str>, Place)> {
    let (host, port) = authority(text, rest)?;
    Ok((Arc::clone(&host), Place::Dns { host, port }))
}

fn srv(text: &str, rest: &str) -> Result<(Arc<str>, Place)> {
    let is_underscored = |label: &str| label.strip_prefix('_').is_some_and(|rest| is_word(rest, b"-"));
    let mut labels = rest.splitn(3, '.');
    let (Some(service), Some(protocol), Some(domain)) = (labels.next(), labels.next(), labels.next()) else {
        return Err(refused(text, "SRV records are found under _SERVICE._PROTOCOL.DOMAIN"));
    };
    if !is_underscored(service) || !is_underscored(protocol) {
        return Err(refused(text, "SRV records are found under _SERVICE._PROTOCOL.DOMAIN"));
    }
    if !is_host(domain) || domain.contains(':') {
        return Err(refused(text, &format!("\"{domain}\" is no domain")));
    }
    let rest = rest.to_ascii_lowercase();
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    Ok((Arc::from(domain), Place::Srv(Arc::from(rest))))
}

fn file(text: &str, rest: &str) -> Result<(Arc<str>, Place)> {
    let path = Path::new(rest);
    if !path.is_absolute() {
        return Err(refused(text, "a file has its whole path, as in file:///etc/platform/catalog.toml"));
    }
    // A path makes no good label; what is called is most likely what the file is called.
    let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| is_service_name(stem));
    Ok((Arc::from(stem.unwrap_or("file")), Place::File(Arc::from(path))))
}

fn host(text: &str, rest: &str, tls: bool) -> Result<(Arc<str>, Place)> {
    let (host, port) = authority(text, rest)?;
    let port = port.unwrap_or(usual_port(tls));
    Ok((Arc::clone(&host), Place::Host { host, port, tls }))
}

/// `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`.
fn authority(text: &str, rest: &str) -> Result<(Arc<str>, Option<u16>)> {
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
    if !is_host(host) {
        return Err(refused(text, &format!("\"{host}\" is no host name")));
    }
    let port = match port {
        None => None,
        Some(port) => Some(
            port.parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| refused(text, &format!("\"{port}\" is no port (1 to 65535)")))?,
        ),
    };
    Ok((Arc::from(host.to_ascii_lowercase()), port))
}

fn is_host(host: &str) -> bool {
    // The root alone is nobody's host.
    let named = host.bytes().any(|byte| byte.is_ascii_alphanumeric() || byte == b':');
    named && host.len() <= 253 && is_word(host, b".-_:")
}

/// Letters, digits and some other signs; at least one of them.
fn is_word(text: &str, others: &[u8]) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

/// RFC 1123, as Kubernetes has it.
fn is_dns_label(text: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && edge(bytes[0])
        && edge(bytes[bytes.len() - 1])
        && bytes.iter().all(|byte| edge(*byte) || *byte == b'-')
}

fn refused(text: &str, why: &str) -> Error {
    // Somebody who writes a password into a target does not want to read it in a log.
    let told = format!("target \"{text}\": {why}; {EXPECTED}");
    Error::config(one_line(&without_credentials(&told)).into_owned())
}

const EXPECTED: &str = "expected NAME, dir://NAME, etcd://NAME, consul://NAME[?tag=TAG], \
                        k8s://NAMESPACE/SERVICE[:PORT], dns://HOST[:PORT], dns+srv://_SERVICE._PROTOCOL.DOMAIN, \
                        file:///PATH, fixed://IP:PORT,IP:PORT, http://HOST[:PORT] or https://HOST[:PORT]";
