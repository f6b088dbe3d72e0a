//! What a live service shows to a scraper after it has served and asked.

use std::collections::{BTreeMap, BTreeSet};

use platform_core::telemetry::catalogue::{CONSTANT_LABELS, Declared};

use crate::{
    judges,
    town::{Town, ask},
};

/// OpenMetrics and the older text, of an edge after traffic of every kind.
async fn scraped() -> (String, String) {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    let edge = town.edge("").await;
    let sampled = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    for (path, headers, status) in [
        ("/films/7", sampled, 200),
        ("/films/7", "traceparent: 00-nonsense\r\n", 200),
        ("/hello", sampled, 200),
        ("/nowhere", "", 404),
        ("/films/7", "platform-timeout-ms: 0\r\n", 504),
    ] {
        assert_eq!(edge.get(path, headers).await.status, status, "{path}");
    }
    catalog.end().await;
    assert_eq!(edge.get("/films/7", "platform-timeout-ms: 200\r\n").await.status, 503);
    assert_eq!(edge.get("/maybe/7", "platform-timeout-ms: 200\r\n").await.status, 200);
    let open = ask(edge.admin, "/metrics", "accept: application/openmetrics-text;version=1.0.0\r\n").await;
    let plain = ask(edge.admin, "/metrics", "").await;
    assert_eq!((open.status, plain.status), (200, 200));
    edge.end().await;
    (open.body, plain.body)
}

/// The label names of every family, `le` and those of every series left out.
fn families(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            rest.split(' ').next().expect("a name").clone_into(&mut family);
            families.entry(family.clone()).or_default();
        } else if !line.starts_with('#') {
            let series = line.split(" # ").next().expect("a series before its exemplar");
            let labels = series.split_once('{').expect("every series has constant labels").1;
            // A value may hold anything but a bare quote.
            for name in labels.split("=\"").filter_map(|part| part.rsplit(['{', ',', '"']).next()) {
                let own = name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !name.is_empty();
                if own && name != "le" && !CONSTANT_LABELS.contains(&name) {
                    families.get_mut(&family).expect("its TYPE came first").insert(name.to_owned());
                }
            }
        }
    }
    families
}

#[tokio::test]
async fn every_scraped_name_and_label_is_in_a_catalogue() {
    let (text, _) = scraped().await;
    let core = platform_core::catalogue();
    let (discovery, http) = (platform_discovery::catalogue(), platform_http::catalogue());
    let declared: BTreeMap<&str, &Declared> =
        core.metrics().chain(&discovery).chain(&http).map(|known| (known.name, known)).collect();
    let families = families(&text);
    for (family, labels) in &families {
        let known = declared.get(family.as_str()).unwrap_or_else(|| panic!("{family} is in no catalogue"));
        let declared: BTreeSet<_> = known.labels.iter().map(|label| (*label).to_owned()).collect();
        // A family that nothing was counted in yet has no series.
        assert!(labels.is_empty() || *labels == declared, "{family}: {labels:?} instead of {declared:?}");
    }
    // And what this crate and discovery declare is really there.
    for Declared { name, .. } in
        discovery.iter().chain(&http).filter(|known| !ELSEWHERE.contains(&known.name))
    {
        assert!(families.contains_key(*name), "{name} is never scraped\n{text}");
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} has no series\n{text}");
    }
}

/// What no service here has: certificates.
const ELSEWHERE: [&str; 2] = ["platform_tls_not_after_timestamp_seconds", "platform_tls_renewal_seconds"];

#[tokio::test]
async fn outside_programs_read_it_exemplars_and_all() {
    let (open, plain) = scraped().await;
    judges::promtool_is_content(&plain);
    let show = "sample.exemplar and print(sample.name, sample.labels.get('http_route', ''), sample.exemplar.labels.get('trace_id'))";
    let Some(read) = judges::reference_parser_reads(&open, show) else { return };
    for series in [
        "http_server_request_duration_seconds_bucket /films/{id}",
        "http_server_request_duration_seconds_bucket /hello",
        "http_client_request_duration_seconds_bucket ",
    ] {
        let line = format!("{series} 4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(read.lines().any(|known| known == line), "{line} is not among\n{read}\n{open}");
    }
}
