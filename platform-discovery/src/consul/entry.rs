//! What does Consul say about one instance?

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Deserializer};

use super::word::{YES, meta, status};
use crate::endpoint::{Endpoint, Protocol, State, is_callable};

/// One entry of `/v1/health/service/NAME`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Node,
    service: Service,
    #[serde(default, deserialize_with = "or_nothing")]
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(default)]
    address: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    address: String,
    port: u16,
    #[serde(default, deserialize_with = "or_nothing")]
    meta: HashMap<String, String>,
    weights: Option<Weights>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    passing: u32,
    warning: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(default)]
    status: String,
}

impl Entry {
    /// The instance; the error says in a few words why it cannot be called.
    ///
    /// `passing` is ready and so is `warning`, as for Consul's own DNS, with the weight that is set for it.
    /// `critical` and maintenance take no new calls, like one that says `state = draining` of itself.
    fn endpoint(&self) -> Result<Endpoint, String> {
        let Service { id, address, port, meta: written, weights } = &self.service;
        // A service without an address of its own is where its node is.
        let address = if address.is_empty() { &self.node.address } else { address };
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let ip: IpAddr = bare.parse().map_err(|_| format!("its address \"{address}\" is no IP"))?;
        let address = SocketAddr::new(ip, *port);
        if !is_callable(address) {
            return Err(format!("nobody can be called at {address}"));
        }
        let is = |status: &str| self.checks.iter().any(|check| check.status == status);
        let said = |key: &str| written.get(key).map(String::as_str).unwrap_or_default();
        let mut endpoint = Endpoint::at(address);
        if is(status::CRITICAL) || is(status::MAINTENANCE) || said(meta::STATE) == State::Draining.as_str() {
            endpoint.state = State::Draining;
        }
        if let Some(weights) = weights {
            endpoint.weight = if is(status::WARNING) { weights.warning } else { weights.passing };
        }
        endpoint.instance =
            if said(meta::INSTANCE).is_empty() { id } else { said(meta::INSTANCE) }.to_owned();
        endpoint.protocol = Protocol::parse(said(meta::PROTOCOL)).unwrap_or_default();
        endpoint.admin = said(meta::ADMIN).parse().ok();
        endpoint.admin_tls = said(meta::ADMIN_TLS) == YES;
        for (key, field) in [
            (meta::ZONE, &mut endpoint.zone),
            (meta::VERSION, &mut endpoint.version),
            (meta::OWNER, &mut endpoint.owner),
        ] {
            said(key).clone_into(field);
        }
        if !said(meta::VARIANT).is_empty() {
            said(meta::VARIANT).clone_into(&mut endpoint.variant);
        }
        Ok(endpoint)
    }
}

/// An instance that makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) id: String,
    pub(crate) why: String,
}

/// All instances, and those that make no sense. The error is about the whole.
pub(crate) fn read(body: &[u8]) -> Result<(Vec<Endpoint>, Vec<Skipped>), serde_json::Error> {
    let entries: Vec<serde_json::Value> = serde_json::from_slice(body)?;
    let (mut endpoints, mut skipped) = (Vec::with_capacity(entries.len()), Vec::new());
    for entry in entries {
        let read = Entry::deserialize(&entry).map_err(|error| error.to_string());
        match read.and_then(|entry| entry.endpoint()) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(why) => {
                let id = entry.pointer("/Service/ID").and_then(serde_json::Value::as_str);
                skipped.push(Skipped { id: id.unwrap_or_default().to_owned(), why });
            }
        }
    }
    endpoints.sort_by(|a, b| (&a.instance, a.address).cmp(&(&b.instance, b.address)));
    Ok((endpoints, skipped))
}

/// Consul writes `null` for what is empty.
fn or_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn entry() -> Value {
        json!({
            "Node": {"ID": "40e4a748", "Node": "foobar", "Address": "10.1.10.12", "Datacenter": "dc1", "Meta": null},
            "Service": {
                "ID": "catalog-7d4f", "Service": "catalog", "Tags": null, "Address": "10.1.10.13", "Port": 8000,
                "Meta": {
                    "zone": "b", "version": "1.4.2", "variant": "canary", "protocol": "h2", "owner": "team",
                    "admin": "10.1.10.13:9464"
                },
                "Weights": {"Passing": 10, "Warning": 2},
            },
            "Checks": [
                {"CheckID": "serfHealth", "Status": "passing"},
                {"CheckID": "service:catalog-7d4f", "Status": "passing"},
            ],
        })
    }

    fn changed(pointer: &str, value: Value) -> Value {
        let mut entry = entry();
        *entry.pointer_mut(pointer).unwrap() = value;
        entry
    }

    fn endpoint(entry: &Value) -> Result<Endpoint, String> {
        Entry::deserialize(entry).map_err(|error| error.to_string())?.endpoint()
    }

    #[test]
    fn an_instance_is_what_its_service_and_meta_say() {
        let wanted = Endpoint {
            instance: "catalog-7d4f".into(),
            admin: Some("10.1.10.13:9464".parse().unwrap()),
            zone: "b".into(),
            version: "1.4.2".into(),
            variant: "canary".into(),
            weight: 10,
            protocol: Protocol::H2,
            owner: "team".into(),
            ..Endpoint::at("10.1.10.13:8000".parse().unwrap())
        };
        assert_eq!(endpoint(&entry()).unwrap(), wanted);
        let bare = changed("/Service/Meta", Value::Null);
        assert_eq!(endpoint(&bare).unwrap().variant, "stable");
    }

    #[test]
    fn the_address_is_the_services_own_else_its_nodes_in_either_family() {
        let table = [("", "10.1.10.12:8000"), ("fd00::1", "[fd00::1]:8000"), ("[fd00::1]", "[fd00::1]:8000")];
        for (written, wanted) in table {
            let found = endpoint(&changed("/Service/Address", json!(written))).unwrap();
            assert_eq!(found.address.to_string(), wanted, "{written:?}");
        }
        for (pointer, value, why) in [
            ("/Service/Address", json!("catalog.shop"), "is no IP"),
            ("/Service/Port", json!(0), "nobody can be called"),
            ("/Service/Port", json!(-1), "invalid value"),
        ] {
            let error = endpoint(&changed(pointer, value)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn warning_is_ready_with_its_own_weight_and_critical_takes_no_new_calls() {
        let status = |status: &str| endpoint(&changed("/Checks/1/Status", json!(status))).unwrap();
        let seen = ["passing", "warning", "critical", "maintenance"].map(|word| {
            let found = status(word);
            (found.state, found.weight)
        });
        let (ready, draining) = (State::Ready, State::Draining);
        assert_eq!(seen, [(ready, 10), (ready, 2), (draining, 10), (draining, 10)]);
        let node = endpoint(&changed("/Checks/0/Status", json!("critical"))).unwrap();
        assert_eq!(node.state, draining, "a node that is down has nobody who is up");
        let says = endpoint(&changed("/Service/Meta", json!({"state": "draining"}))).unwrap();
        assert_eq!(says.state, draining);
    }

    #[test]
    fn one_that_makes_no_sense_costs_nobody_else() {
        let body = json!([entry(), {"Node": {}}, changed("/Service/Address", json!("?")), 7]);
        let (endpoints, skipped) = read(body.to_string().as_bytes()).unwrap();
        assert_eq!((endpoints.len(), skipped.len()), (1, 3));
        assert_eq!(skipped[1].id, "catalog-7d4f");
        assert!(read(b"{}").is_err() && read(b"[").is_err());
    }
}
