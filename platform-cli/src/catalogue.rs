//! What do the crates measure?

use std::{fmt::Write as _, process::ExitCode};

use platform_core::{Result, telemetry::catalogue::Catalogue};

use crate::{
    arguments::{Arguments, Flag},
    print,
};

pub(crate) fn run(given: &[String]) -> Result<ExitCode> {
    let arguments = Arguments::parse(given, &[Flag::Alone("--json"), Flag::Alone("--help")])?;
    arguments.words(0, 0, "no word")?;
    let everything = everything();
    Ok(print(&match (arguments.has("--help"), arguments.has("--json")) {
        (true, _) => "platform catalogue [--json]\n".to_owned(),
        (false, true) => json(&everything),
        (false, false) => table(&everything),
    }))
}

/// The lists of all crates, joined.
pub(crate) fn everything() -> Catalogue {
    platform_grpc::joined_catalogue()
}

/// For a person: a metric a line, room by room.
fn table(catalogue: &Catalogue) -> String {
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
fn json(catalogue: &Catalogue) -> String {
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
