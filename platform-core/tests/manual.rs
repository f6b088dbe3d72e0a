//! The manual says what is so.

use platform_core::{
    identity::Identity,
    stack::{ClientPolicy, ServerGuards, ServerPolicy},
    telemetry::Metrics,
    testing::{Bench, Does, Target},
};
use serde_json::Value;

const DEFAULTS: &str = include_str!("../src/manual/defaults.rs");
const SERVING: &str = include_str!("../src/manual/serving.rs");
const ORDERING: &str = include_str!("../src/manual/ordering.rs");

/// The cells of each row of a table, without its heading.
fn rows(page: &str) -> Vec<Vec<String>> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells =
        |line: &str| line.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`']).to_owned()).collect();
    lines.skip(1).map(cells).collect()
}

#[test]
fn every_default_is_in_the_manual_with_its_reason() {
    let mut told: Vec<(String, String)> = Vec::new();
    for row in rows(DEFAULTS) {
        let [key, value, why] = row.as_slice() else { panic!("three cells: {row:?}") };
        assert!(!why.is_empty(), "{key} has no reason");
        told.push((key.clone(), value.clone()));
    }
    let mut found = flat(serde_json::to_value(ClientPolicy::default()).expect("JSON"));
    told.sort();
    found.sort();
    assert_eq!(told, found);
}

/// The keys and values of a policy.
fn flat(policy: Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let Value::Object(policy) = policy else { panic!("a policy is a table") };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for (key, value) in &policy {
        match value {
            Value::Object(room) => {
                found.extend(room.iter().map(|(inner, value)| (format!("{key}.{inner}"), text(value))));
            }
            value => found.push((key.clone(), text(value))),
        }
    }
    found
}

/// The rows of the table below a heading of a page.
fn section(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, rest) = page.split_once(&format!("//! # {heading}\n")).expect("the heading");
    rows(rest.split("//! # ").next().expect("a first part"))
}

#[test]
fn the_servers_guards_and_defaults_are_in_the_manual() {
    let told = section(SERVING, "Defaults").into_iter().map(|row| (row[0].clone(), row[1].clone()));
    let (mut told, mut found): (Vec<_>, _) =
        (told.collect(), flat(serde_json::to_value(ServerPolicy::default()).expect("JSON")));
    told.sort();
    found.sort();
    assert_eq!(told, found);
    let metrics = Metrics::new(&Identity::default());
    let guards = ServerGuards::new(&ServerPolicy::default(), &[], &metrics, tokio::time::Instant::now());
    let runs: Vec<&str> = guards.describe().iter().map(|row| row.layer).collect();
    let order: Vec<String> = section(SERVING, "Order").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(order, runs);
}

#[tokio::test]
async fn the_order_in_the_manual_is_the_order_that_runs() {
    let _ = Metrics::new(&Identity::default());
    let bench = Bench::new(Target::new("catalog", 1, |_| Does::Nothing), |_| {});
    let rows: Vec<String> = rows(ORDERING).into_iter().map(|row| format!("{} {}", row[0], row[1])).collect();
    let runs: Vec<String> = bench
        .stack
        .describe(&bench.target)
        .iter()
        .map(|row| {
            format!(
                "{} {}",
                serde_json::to_value(row.storey).expect("JSON").as_str().expect("a word"),
                row.layer
            )
        })
        .collect();
    assert_eq!(rows, runs[..runs.len() - 1], "all but the wire's own");
}
