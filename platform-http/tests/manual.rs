//! The manual says what is so, of what platform-core does not know.

#[path = "../../platform-core/tests/pages/mod.rs"]
mod pages;

use std::collections::BTreeSet;

use platform_core::{blocking, lifecycle, telemetry};
use platform_discovery::balance;
use platform_http::{admin, client, joined_catalogue, server};
use serde_json::Value;

use pages::{DEFAULTS, has_every_default, section};

const ON_CALL: &str = include_str!("../../platform-core/src/manual/on_call.rs");

#[test]
fn every_default_is_in_the_manual_with_its_reason() {
    let json = |value: serde_json::Result<Value>| value.expect("JSON");
    let mut sections = vec![
        ("`[admin]`", json(serde_json::to_value(admin::Config::default()))),
        ("`[blocking.NAME]`", json(serde_json::to_value(blocking::Config::default()))),
        ("`[defaults.balance]`", json(serde_json::to_value(balance::Config::default()))),
        ("`[defaults.connect]`", json(serde_json::to_value(client::Connect::default()))),
        ("`[discovery]`", json(serde_json::to_value(platform_discovery::Config::default()))),
        ("`[lifecycle]`", json(serde_json::to_value(lifecycle::Config::default()))),
        ("`[telemetry]`", json(serde_json::to_value(telemetry::Settings::default()))),
    ];
    let mut server = json(serde_json::to_value(server::Config::default()));
    // On a page of its own (`serving`).
    server.as_object_mut().expect("a table").remove("policy");
    sections.push(("`[server]`", server));
    let mut client = json(serde_json::to_value(client::Settings::default()));
    // Those below have headings of their own, or are nobody's defaults.
    for key in ["policy", "balance", "connect", "target", "methods", "service_config"] {
        assert!(client.as_object_mut().expect("a table").remove(key).is_some(), "{key}");
    }
    sections.push(("`[defaults]`", client));
    for (heading, value) in sections {
        has_every_default(DEFAULTS, heading, &value);
    }
}

#[test]
fn every_alert_has_its_row_for_who_was_woken() {
    let declared: BTreeSet<&str> = joined_catalogue()
        .signals()
        .filter_map(|signal| signal.alerts().first().map(|alert| alert.runbook.name))
        .chain(["error-budget-burn"])
        .collect();
    let rows = section(ON_CALL, "The alerts");
    let told: BTreeSet<&str> =
        rows.iter().flat_map(|row| row[0].split(", ")).map(|name| name.trim_matches('`')).collect();
    assert_eq!(told, declared);
}
