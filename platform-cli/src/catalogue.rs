//! What do the crates measure?

use std::fmt::Write as _;

use platform_core::telemetry::catalogue::Catalogue;

/// The lists of all crates, joined.
pub(crate) fn everything() -> Catalogue {
    platform_core::catalogue()
        .join(Catalogue::default().room(
            "discovery",
            platform_discovery::catalogue(),
            platform_discovery::signals(),
        ))
        .join(Catalogue::default().room("http", platform_http::catalogue(), vec![]))
}

/// For a person: a metric a line, room by room.
pub(crate) fn table(catalogue: &Catalogue) -> String {
    let width = catalogue.metrics().map(|metric| metric.series().len()).max().unwrap_or_default();
    let mut out = String::new();
    for room in catalogue.rooms() {
        let _ = writeln!(out, "{}", room.name);
        for metric in &room.metrics {
            let labels = if metric.labels.is_empty() {
                String::new()
            } else {
                format!(" {{{}}}", metric.labels.join(", "))
            };
            let _ = writeln!(
                out,
                "  {:width$}  {:9}  {}{labels}",
                metric.series(),
                metric.kind.as_str(),
                metric.help
            );
        }
    }
    out
}

/// For a script.
pub(crate) fn json(catalogue: &Catalogue) -> String {
    format!("{:#}\n", catalogue.to_json())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_lists_of_the_crates_fit_together() {
        everything().check().unwrap();
    }

    #[test]
    fn every_metric_is_in_both_forms() {
        let catalogue = everything();
        let (table, json): (_, Value) = (table(&catalogue), serde_json::from_str(&json(&catalogue)).unwrap());
        assert_eq!(json.as_array().unwrap().len(), catalogue.metrics().count());
        for metric in catalogue.metrics() {
            assert!(table.contains(&metric.series()), "{}", metric.name);
        }
        let duration =
            json.as_array().unwrap().iter().find(|one| one["name"] == "http_client_request_duration_seconds");
        assert_eq!(duration.unwrap()["labels"][1], "server_address");
    }
}
