//! The manual says what is so, of what platform-core does not know.

use std::{collections::BTreeSet, fs, path::Path};

use platform_core::{blocking, lifecycle, telemetry};
use platform_discovery::balance;
use platform_http::{admin, client, joined_catalogue, server};
use serde_json::Value;

/// A page of the manual.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../platform-core/src/manual").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of each row of the table below a heading of a page.
fn section(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, rest) = page.split_once(&format!("//! # {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let rest = rest.split("//! # ").next().expect("a first part");
    let lines = rest.lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells = |line: &str| line.split(" | ").map(|cell| cell.trim_matches(['|', ' ']).to_owned()).collect();
    lines.skip(1).map(cells).collect()
}

/// The keys and values of a section, as they are written in a file.
fn flat(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(table) if !table.is_empty() => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flat(&path, value, found);
            }
        }
        Value::String(text) if text.is_empty() => found.push((path.to_owned(), "\"\"".to_owned())),
        Value::String(text) => found.push((path.to_owned(), text.clone())),
        value => found.push((path.to_owned(), value.to_string())),
    }
}

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
    let page = page("defaults.rs");
    for (heading, value) in sections {
        let mut found = Vec::new();
        flat("", &value, &mut found);
        let mut told = Vec::new();
        for row in section(&page, heading) {
            let [key, value, why] = row.as_slice() else { panic!("three cells: {row:?}") };
            assert!(!why.is_empty(), "{heading} {key} has no reason");
            told.push((key.trim_matches('`').to_owned(), value.trim_matches('`').to_owned()));
        }
        told.sort();
        found.sort();
        assert_eq!(told, found, "{heading}");
    }
}

#[test]
fn every_alert_has_its_row_for_who_was_woken() {
    let declared: BTreeSet<&str> = joined_catalogue()
        .signals()
        .filter_map(|signal| signal.alerts().first().map(|alert| alert.runbook.name))
        .chain(["error-budget-burn"])
        .collect();
    let page = page("on_call.rs");
    let rows = section(&page, "The alerts");
    let told: BTreeSet<&str> =
        rows.iter().flat_map(|row| row[0].split(", ")).map(|name| name.trim_matches('`')).collect();
    assert_eq!(told, declared);
}
