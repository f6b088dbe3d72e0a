//! What do the EndpointSlices of a service say together?

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    net::{IpAddr, SocketAddr},
};

use k8s_openapi::api::discovery::v1::{Endpoint as Listed, EndpointPort, EndpointSlice};

use crate::endpoint::{Endpoint, Protocol, State};

/// Which of a pod's ports is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// The one with this name or number, or none.
    Asked(String),
    /// The one with this name or number, else the only one that there is.
    Usual(String),
}

/// All that is known, and how many entries make no sense.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) skipped: usize,
}

/// Joins the slices. An endpoint may be in two of them while it moves from one to the other, and a pod may be in one
/// for each of its families: each is one endpoint.
///
/// # Errors
///
/// When there are pods and none of them has the port.
pub(super) fn merge<'a>(
    slices: impl Iterator<Item = &'a EndpointSlice>,
    port: &Port,
) -> Result<Merged, String> {
    let (mut found, mut skipped) = (Vec::new(), 0);
    let mut others = BTreeSet::new();
    for slice in slices {
        let listed = slice.endpoints.as_deref().unwrap_or_default();
        let ports = slice.ports.as_deref().unwrap_or_default();
        match port.number(ports) {
            _ if listed.is_empty() => {}
            _ if !matches!(slice.address_type.as_str(), "IPv4" | "IPv6") => skipped += listed.len(),
            Some((number, protocol)) => {
                for listed in listed {
                    match endpoint(listed, number, protocol) {
                        Some(endpoint) => found.push((pod(listed), endpoint)),
                        None => skipped += 1,
                    }
                }
            }
            None => others.extend(ports.iter().map(shown)),
        }
    }
    if found.is_empty() && !others.is_empty() {
        let others: Vec<_> = others.into_iter().collect();
        return Err(format!("its pods have no port {port}; they have {}", others.join(", ")));
    }
    // Of two at one address the ready one is the newer word more often than not: it is what proxies believe.
    found.sort_by_key(|(_, endpoint)| (endpoint.address, endpoint.state == State::Draining));
    found.dedup_by_key(|(_, endpoint)| endpoint.address);
    let by_four: HashSet<String> = found
        .iter()
        .filter(|(_, endpoint)| endpoint.address.is_ipv4())
        .filter_map(|(pod, _)| pod.clone())
        .collect();
    let is_twice = |pod: &Option<String>, address: SocketAddr| {
        address.is_ipv6() && pod.as_ref().is_some_and(|pod| by_four.contains(pod))
    };
    let endpoints = found
        .into_iter()
        .filter(|(pod, endpoint)| !is_twice(pod, endpoint.address))
        .map(|(_, endpoint)| endpoint)
        .collect();
    Ok(Merged { endpoints, skipped })
}

impl Port {
    fn number(&self, ports: &[EndpointPort]) -> Option<(u16, Protocol)> {
        let (Port::Asked(text) | Port::Usual(text)) = self;
        let tcp: Vec<&EndpointPort> = ports
            .iter()
            .filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))
            .collect();
        let number: Option<i32> = text.parse().ok();
        let is_asked = |port: &&&EndpointPort| match number {
            Some(number) => port.port == Some(number),
            None => port.name.as_deref() == Some(text),
        };
        let only = || match (self, tcp.as_slice()) {
            (Port::Usual(_), [only]) => Some(only),
            _ => None,
        };
        let port = tcp.iter().find(is_asked).or_else(only)?;
        let protocol = match port.app_protocol.as_deref() {
            Some("kubernetes.io/h2c") => Protocol::H2,
            Some("grpc") => Protocol::Grpc,
            _ => Protocol::Http1,
        };
        Some((u16::try_from(port.port?).ok().filter(|port| *port != 0)?, protocol))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Port::Asked(text) | Port::Usual(text)) = self;
        f.write_str(text)
    }
}

fn endpoint(listed: &Listed, port: u16, protocol: Protocol) -> Option<Endpoint> {
    // All of one endpoint's addresses are equals, and proxies take the first.
    let ip: IpAddr = listed.addresses.first()?.parse().ok()?;
    let mut endpoint = Endpoint::at(SocketAddr::new(ip, port));
    if let Some(name) = listed.target_ref.as_ref().and_then(|target| target.name.as_ref()) {
        endpoint.instance.clone_from(name);
    }
    let conditions = listed.conditions.as_ref();
    let is_ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
    let is_terminating = conditions.and_then(|conditions| conditions.terminating).unwrap_or(false);
    if is_terminating || !is_ready {
        endpoint.state = State::Draining;
    }
    endpoint.zone = zone(listed).unwrap_or_default().to_owned();
    endpoint.protocol = protocol;
    Some(endpoint)
}

/// The zone that an endpoint is for: its own, unless hints give it to others.
fn zone(listed: &Listed) -> Option<&str> {
    let own = listed.zone.as_deref();
    let hinted = listed.hints.as_ref().and_then(|hints| hints.for_zones.as_deref()).unwrap_or_default();
    match hinted.first() {
        Some(first) if !hinted.iter().any(|zone| Some(zone.name.as_str()) == own) => Some(&first.name),
        _ => own,
    }
}

/// What tells a pod from its equals, whatever its addresses.
fn pod(listed: &Listed) -> Option<String> {
    let target = listed.target_ref.as_ref()?;
    target.uid.clone().or_else(|| target.name.clone())
}

fn shown(port: &EndpointPort) -> String {
    let number = port.port.unwrap_or_default();
    match port.name.as_deref() {
        None | Some("") => number.to_string(),
        Some(name) => format!("{name} ({number})"),
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "the tests hand over literals")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn slice(family: &str, ports: Value, endpoints: Value) -> EndpointSlice {
        let text = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "catalog-x"},
            "addressType": family, "ports": ports, "endpoints": endpoints,
        });
        serde_json::from_value(text).unwrap()
    }

    fn http() -> Value {
        json!([{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "admin", "port": 9464}])
    }

    fn pod(address: &str, name: &str, conditions: Value) -> Value {
        json!({
            "addresses": [address], "conditions": conditions, "zone": "a",
            "targetRef": {"kind": "Pod", "name": name, "uid": format!("uid-{name}")},
        })
    }

    fn merged(slices: &[EndpointSlice], port: &Port) -> Vec<String> {
        let merged = merge(slices.iter(), port).unwrap();
        let shown = |endpoint: &Endpoint| {
            format!("{} {} {}", endpoint.instance, endpoint.address, endpoint.state.as_str())
        };
        merged.endpoints.iter().map(shown).collect()
    }

    fn usual() -> Port {
        Port::Usual("http".to_owned())
    }

    #[test]
    fn who_is_ready_and_who_takes_no_new_calls() {
        let table = [
            (Value::Null, "ready"),
            (json!({}), "ready"),
            (json!({"ready": true}), "ready"),
            (json!({"ready": false}), "draining"),
            (json!({"ready": false, "serving": true, "terminating": true}), "draining"),
            (json!({"ready": true, "serving": true, "terminating": true}), "draining"),
            (json!({"ready": true, "serving": false}), "ready"),
        ];
        for (conditions, wanted) in table {
            let one = slice("IPv4", http(), json!([pod("10.0.0.1", "a", conditions.clone())]));
            assert_eq!(merged(&[one], &usual()), [format!("a 10.0.0.1:8080 {wanted}")], "{conditions}");
        }
    }

    #[test]
    fn several_slices_are_one_set_and_each_pod_is_in_it_once() {
        let ready = json!({"ready": true});
        let gone = json!({"ready": false, "terminating": true});
        let slices = [
            slice("IPv4", http(), json!([pod("10.0.0.1", "a", ready.clone()), pod("10.0.0.2", "b", gone)])),
            slice("IPv4", http(), json!([pod("10.0.0.2", "b", ready.clone())])),
            slice(
                "IPv6",
                http(),
                json!([pod("fd00::1", "a", ready.clone()), pod("fd00::3", "c", ready.clone())]),
            ),
            slice("IPv4", http(), Value::Null),
        ];
        let wanted = ["a 10.0.0.1:8080 ready", "b 10.0.0.2:8080 ready", "c [fd00::3]:8080 ready"];
        assert_eq!(merged(&slices, &usual()), wanted);
        let odd = [
            slice("FQDN", http(), json!([pod("catalog.shop", "a", ready.clone())])),
            slice("IPv4", http(), json!([pod("?", "b", ready)])),
        ];
        assert_eq!(merge(odd.iter(), &usual()).unwrap().skipped, 2);
    }

    #[test]
    fn a_port_has_a_name_or_a_number_and_may_differ_between_slices() {
        let at = |port: i32, name: &str| {
            slice(
                "IPv4",
                json!([{"name": name, "port": port}]),
                json!([pod(&format!("10.0.0.{}", port % 250), "a", json!({}))]),
            )
        };
        let named = [at(8080, "http"), at(8081, "http")];
        assert_eq!(merged(&named, &Port::Asked("http".into())).len(), 2);
        assert_eq!(merged(&named, &Port::Asked("8081".into())), ["a 10.0.0.81:8081 ready"]);
        let only = [at(9000, "")];
        assert_eq!(
            merged(&only, &usual()),
            ["a 10.0.0.0:9000 ready"],
            "the only one will do where nobody asked"
        );
        let error = merge(only.iter(), &Port::Asked("http".into())).unwrap_err();
        assert_eq!(error, "its pods have no port http; they have 9000");
        let two = slice("IPv4", http(), json!([pod("10.0.0.1", "a", json!({}))]));
        let error = merge([&two].into_iter(), &Port::Usual("web".into())).unwrap_err();
        assert_eq!(error, "its pods have no port web; they have admin (9464), http (8080)");
        assert!(merge([].into_iter(), &usual()).unwrap().endpoints.is_empty(), "nobody needs no port");
        let udp = slice(
            "IPv4",
            json!([{"name": "http", "port": 53, "protocol": "UDP"}]),
            json!([pod("10.0.0.1", "a", json!({}))]),
        );
        assert!(merge([&udp].into_iter(), &usual()).is_err());
    }

    #[test]
    fn zones_hints_and_protocols_are_read() {
        let hinted = |zone: &str, zones: Value| {
            let mut listed = pod("10.0.0.1", "a", json!({}));
            listed["zone"] = json!(zone);
            listed["hints"] = json!({"forZones": zones});
            let ports = json!([{"name": "http", "port": 1, "appProtocol": "kubernetes.io/h2c"}]);
            let merged = merge([&slice("IPv4", ports, json!([listed]))].into_iter(), &usual()).unwrap();
            (merged.endpoints[0].zone.clone(), merged.endpoints[0].protocol)
        };
        assert_eq!(hinted("a", Value::Null), ("a".to_owned(), Protocol::H2));
        assert_eq!(hinted("a", json!([{"name": "b"}])).0, "b", "given to another zone");
        assert_eq!(hinted("a", json!([{"name": "b"}, {"name": "a"}])).0, "a");
    }
}
