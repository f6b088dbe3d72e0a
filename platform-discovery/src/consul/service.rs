//! What do we say to Consul's agent about ourselves?

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::Deserialize;
use serde_json::json;

use super::word::{
    YES, meta,
    status::{CRITICAL, PASSING},
};
use crate::{endpoint::State, record::Record};

/// What this instance is called there, on its agent.
pub(crate) fn id(record: &Record) -> String {
    format!("{}:{}", record.name, record.instance)
}

/// What its check says.
pub(crate) fn status(record: &Record) -> &'static str {
    match record.state {
        State::Ready => PASSING,
        State::Draining => CRITICAL,
    }
}

/// The record as a service with a check that fails when the lease ends.
pub(crate) fn service(record: &Record, lease: Duration) -> String {
    let mut said = serde_json::Map::new();
    let admin = record.admin.map(|admin| admin.to_string()).unwrap_or_default();
    for (key, value) in [
        (meta::INSTANCE, record.instance.as_str()),
        (meta::ADMIN, &admin),
        (meta::ADMIN_TLS, if record.admin_tls { YES } else { "" }),
        (meta::PROTOCOL, record.protocol.as_str()),
        (meta::STATE, record.state.as_str()),
        (meta::ZONE, &record.zone),
        (meta::VERSION, &record.version),
        (meta::VARIANT, &record.variant),
        (meta::OWNER, &record.owner),
    ] {
        if !value.is_empty() {
            said.insert(key.to_owned(), value.into());
        }
    }
    let forget = lease.max(LEAST_FORGET).as_secs();
    let lease = lease.as_millis();
    // Consul takes no 0, and no more than DNS can say.
    let weight = record.weight.clamp(1, u16::MAX.into());
    json!({
        "ID": id(record),
        "Name": record.name,
        "Address": record.address.ip().to_string(),
        "Port": record.address.port(),
        "Tags": [record.variant],
        "Meta": said,
        "Weights": {"Passing": weight, "Warning": weight},
        "Check": {
            "CheckID": format!("service:{}", id(record)),
            "Name": "the lease of this instance",
            "TTL": format!("{lease}ms"),
            "Status": status(record),
            "DeregisterCriticalServiceAfter": format!("{forget}s"),
        },
    })
    .to_string()
}

/// Where the agent says that a service of its own is; `None` for one that cannot be ours, because it says nothing
/// that can be called.
pub(crate) fn address(body: &[u8]) -> Option<SocketAddr> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Known {
        address: IpAddr,
        port: u16,
    }
    let known: Known = serde_json::from_slice(body).ok()?;
    Some(SocketAddr::new(known.address, known.port))
}

/// Consul takes less for this much.
const LEAST_FORGET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consul::read;

    /// Pretty, because a person has to read what became different.
    #[test]
    fn an_instance_is_told_as_ever_and_what_every_version_told_is_read() {
        let text = r#"{
            "name": "catalog", "instance": "i-1", "address": "10.0.0.1:8080", "admin": "10.0.0.1:9464",
            "protocol": "grpc", "state": "ready", "zone": "a", "version": "1.4.2", "variant": "canary", "weight": 7,
            "owner": "team", "expires_unix_ms": 0
        }"#;
        let ready = Record::read(text.as_bytes(), "catalog", "i-1").unwrap();
        for state in [State::Ready, State::Draining] {
            let record = Record { state, ..ready.clone() };
            let said: serde_json::Value =
                serde_json::from_str(&service(&record, Duration::from_secs(30))).unwrap();
            let name = format!("consul.{}.json", state.as_str());
            crate::golden::is(&name, &format!("{said:#}\n"));
            for (version, text) in crate::golden::of_every_version(&name) {
                let said: serde_json::Value = serde_json::from_str(&text).unwrap();
                let status = said["Check"]["Status"].clone();
                let entry = json!([{"Node": {}, "Service": said, "Checks": [{"Status": status}]}]);
                let (endpoints, _) = read(entry.to_string().as_bytes()).unwrap();
                assert_eq!(endpoints, [record.endpoint()], "{version}");
            }
        }
    }

    #[test]
    fn what_is_said_of_an_instance_is_read_as_it_was_meant() {
        let text = r#"{
            "name": "catalog", "instance": "i-1", "address": "[::1]:8080", "admin": "[::1]:9464", "protocol": "h2",
            "admin_tls": true, "state": "ready", "zone": "a", "version": "1.4.2",
            "variant": "canary", "weight": 7, "owner": "team",
            "expires_unix_ms": 0
        }"#;
        let ready = Record::read(text.as_bytes(), "catalog", "i-1").unwrap();
        for state in [State::Ready, State::Draining] {
            let record = Record { state, ..ready.clone() };
            let said = service(&record, Duration::from_secs(30));
            assert_eq!(address(said.as_bytes()), Some(record.address));
            let service: serde_json::Value = serde_json::from_str(&said).unwrap();
            let entry = json!([{"Node": {}, "Service": service, "Checks": [{"Status": status(&record)}]}]);
            let (endpoints, skipped) = read(entry.to_string().as_bytes()).unwrap();
            assert_eq!((endpoints, skipped.len()), (vec![record.endpoint()], 0));
        }
        assert_eq!(address(br#"{"ID": "catalog:i-1", "Address": "", "Port": 80}"#), None);
    }
}
