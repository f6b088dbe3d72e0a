//! What do the readings say?

use super::variants::BARE;
use crate::{
    measure::{Samples, ratio},
    table::{Report, Table},
};

/// The readings of one variant.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The variant.
    pub(crate) name: &'static str,
    /// Microseconds of CPU per request, one reading a round.
    pub(crate) cpu_us: Samples,
    /// Requests per second, one reading a round.
    pub(crate) rps: Samples,
    /// User instructions per request; `None` without valgrind.
    pub(crate) instructions: Option<f64>,
    /// Allocations per request.
    pub(crate) allocations: f64,
}

impl Row {
    /// A variant without readings.
    pub(crate) fn new(name: &'static str) -> Self {
        Row {
            name,
            cpu_us: Samples::default(),
            rps: Samples::default(),
            instructions: None,
            allocations: 0.0,
        }
    }
}

/// The table, and the results that a gate reads.
pub(crate) fn report(rows: &[Row], mut remarks: Vec<String>) -> Report {
    let mut table = Table::new(&[
        "server",
        "CPU µs/req, median",
        "min",
        "times bare axum",
        "instructions/req",
        "allocations/req",
        "req/s, median",
    ]);
    let bare = named(rows, BARE);
    for row in rows {
        table.row(vec![
            row.name.to_owned(),
            format!("{:.2}", row.cpu_us.median()),
            format!("{:.2}", row.cpu_us.min()),
            bare.map_or_else(String::new, |bare| format!("{:.2}", ratio(&row.cpu_us, &bare.cpu_us))),
            row.instructions.map_or_else(|| "-".to_owned(), |count| format!("{count:.0}")),
            format!("{:.1}", row.allocations),
            format!("{:.0}", row.rps.median()),
        ]);
    }
    remarks.push("times bare axum: the smaller of the ratio of medians and the ratio of minima".into());
    Report { table, remarks, results: results(rows) }
}

fn results(rows: &[Row]) -> Vec<(String, String)> {
    let mut results = Vec::new();
    for row in rows {
        let name = row.name.replace('+', "_");
        results.push((format!("server_cpu_us_{name}"), format!("{:.2}", row.cpu_us.median())));
        results.push((format!("server_allocations_{name}"), format!("{:.1}", row.allocations)));
        if let Some(count) = row.instructions {
            results.push((format!("server_instructions_{name}"), format!("{count:.0}")));
        }
    }
    for (key, variant) in RATIOS {
        if let (Some(variant), Some(bare)) = (named(rows, variant), named(rows, BARE)) {
            results.push((key.to_owned(), format!("{:.2}", ratio(&variant.cpu_us, &bare.cpu_us))));
        }
    }
    for (key, variant, without) in ADDED {
        let count = |name| named(rows, name).and_then(|row| row.instructions);
        if let (Some(variant), Some(without)) = (count(variant), count(without)) {
            results.push((key.to_owned(), format!("{:.0}", variant - without)));
        }
    }
    results
}

fn named<'a>(rows: &'a [Row], name: &str) -> Option<&'a Row> {
    rows.iter().find(|row| row.name == name)
}

/// CPU of a variant over bare axum: ours, and what we stand beside.
const RATIOS: [(&str, &str); 3] = [
    ("http_server_cpu_ratio", "platform+line"),
    ("http_usual_cpu_ratio", "axum+usual"),
    ("http_usual_line_cpu_ratio", "axum+usual+line"),
];
/// User instructions that a variant adds to another: the stacks to bare axum, and a refusal to a request that is served.
const ADDED: [(&str, &str, &str); 3] = [
    ("http_server_instructions_added", "platform", BARE),
    ("http_usual_instructions_added", "axum+usual", BARE),
    ("http_refusal_instructions_added", "platform+refused", "platform"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, cpu_us: [f64; 3], instructions: Option<f64>) -> Row {
        let mut row = Row { instructions, allocations: 14.5, ..Row::new(name) };
        for reading in cpu_us {
            row.cpu_us.push(reading);
            row.rps.push(1e6 / reading);
        }
        row
    }

    fn result<'a>(results: &'a [(String, String)], key: &str) -> Option<&'a str> {
        results.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    #[test]
    fn ours_is_compared_with_bare_axum_the_line_in_time_and_no_line_in_instructions() {
        let rows = [
            row("axum", [9.0, 8.0, 10.0], Some(14_500.0)),
            row("platform", [9.5, 8.5, 10.0], Some(17_400.0)),
            row("platform+line", [10.8, 9.2, 12.0], Some(20_000.0)),
            row("platform+refused", [7.8, 7.2, 9.0], Some(16_900.0)),
        ];
        let results = results(&rows);
        let expected = [
            ("server_cpu_us_axum", Some("9.00")),
            ("server_instructions_platform_line", Some("20000")),
            ("server_allocations_platform", Some("14.5")),
            ("http_server_cpu_ratio", Some("1.15")),
            ("http_server_instructions_added", Some("2900")),
            ("http_refusal_instructions_added", Some("-500")),
            ("http_usual_cpu_ratio", None),
        ];
        for (key, value) in expected {
            assert_eq!(result(&results, key), value, "{key}");
        }
    }

    #[test]
    fn without_valgrind_no_instructions_are_claimed() {
        let rows = [row("axum", [9.0; 3], None), row("axum+usual", [18.0; 3], None)];
        let results = results(&rows);
        assert_eq!(result(&results, "http_usual_cpu_ratio"), Some("2.00"));
        assert!(results.iter().all(|(key, _)| !key.contains("instructions")), "{results:?}");
    }
}
