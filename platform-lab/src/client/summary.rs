//! What do the readings say?

use super::variants::{BARE, BARE_HTTP, CLIENT, PLATFORM, PLATFORM_HTTP, POOLED, REQUESTS};
use crate::{
    measure::{Samples, ratio},
    table::{Report, Table},
};

/// The readings of one variant.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The variant.
    pub(crate) name: String,
    /// Nanoseconds of CPU per call, one reading a round.
    pub(crate) nanoseconds: Samples,
    /// Allocations per call, one reading a round.
    pub(crate) allocations: Samples,
    /// User instructions per call; `None` without valgrind.
    pub(crate) instructions: Option<f64>,
}

/// All readings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// Of calls that stay in the process.
    pub(crate) inside: Vec<Row>,
    /// Of our stack on one thread and on two.
    pub(crate) shared: Vec<Row>,
    /// Of clients over loopback.
    pub(crate) network: Vec<Row>,
}

impl Row {
    /// A variant without readings.
    pub(crate) fn new(name: &str) -> Self {
        Row {
            name: name.to_owned(),
            nanoseconds: Samples::default(),
            allocations: Samples::default(),
            instructions: None,
        }
    }
}

impl Rows {
    /// In the order of the table.
    pub(crate) fn groups(&mut self) -> [&mut Vec<Row>; 3] {
        [&mut self.inside, &mut self.shared, &mut self.network]
    }

    fn named(&self, name: &str) -> Option<&Row> {
        self.inside.iter().chain(&self.network).find(|row| row.name == name)
    }
}

/// The table, and the results that a gate reads.
pub(crate) fn report(rows: &Rows, mut remarks: Vec<String>) -> Report {
    let mut table = Table::new(&[
        "call",
        "CPU ns/call, median",
        "min",
        "times ours",
        "instructions/call",
        "allocations/call",
    ]);
    let groups =
        [(&rows.inside, rows.named(PLATFORM)), (&rows.shared, None), (&rows.network, rows.named(CLIENT))];
    for (group, ours) in groups {
        for row in group {
            table.row(vec![
                row.name.clone(),
                format!("{:.1}", row.nanoseconds.median()),
                format!("{:.1}", row.nanoseconds.min()),
                ours.map_or_else(String::new, |ours| times(row, ours)),
                row.instructions.map_or_else(|| "-".to_owned(), |count| format!("{count:.0}")),
                format!("{:.1}", row.allocations.median()),
            ]);
        }
    }
    remarks.push(
        "times ours: the smaller of the ratio of medians and the ratio of minima, to `platform` or `client-platform`"
            .into(),
    );
    remarks.push(
        "client-*: real calls over loopback, 64 at a time; on a busy machine replies come in batches and cost less"
            .into(),
    );
    remarks.push(
        "instructions and allocations of a stack include the service and the making of the call".into(),
    );
    Report { table, remarks, results: results(rows) }
}

fn results(rows: &Rows) -> Vec<(String, String)> {
    let mut results = Vec::new();
    for (prefix, name) in STACKS {
        for (suffix, pending) in [("", ""), ("_pending", "+pending")] {
            let Some(row) = rows.named(&format!("{name}{pending}")) else { continue };
            if let Some(count) = row.instructions {
                results.push((format!("{prefix}_instructions{suffix}"), format!("{count:.0}")));
            }
            results.push((format!("{prefix}_allocations{suffix}"), count_of(row.allocations.median())));
            results.push((format!("{prefix}_ns{suffix}"), format!("{:.1}", row.nanoseconds.median())));
        }
    }
    for (key, suffix, base, with) in ADDED {
        let (Some(base), Some(with)) = (rows.named(base), rows.named(with)) else { continue };
        if let (Some(base), Some(with)) = (base.instructions, with.instructions) {
            results.push((format!("{key}_instructions{suffix}"), format!("{:.0}", with - base)));
        }
        let allocations = with.allocations.median() - base.allocations.median();
        results.push((format!("{key}_allocations{suffix}"), count_of(allocations)));
    }
    if let [one, two] = &rows.shared[..] {
        results.push(("client_stack_contended_ratio".to_owned(), times(two, one)));
    }
    for row in &rows.network {
        let name = row.name.strip_prefix("client-").unwrap_or(&row.name).replace('-', "_");
        results.push((format!("client_cpu_us_{name}"), format!("{:.2}", row.nanoseconds.median() / 1e3)));
        results.push((format!("client_allocations_{name}"), format!("{:.1}", row.allocations.median())));
        if let Some(count) = row.instructions {
            results.push((format!("client_instructions_{name}"), format!("{count:.0}")));
        }
    }
    if let (Some(ours), Some(pooled)) = (rows.named(CLIENT), rows.named(POOLED)) {
        results.push(("client_cpu_ratio".to_owned(), times(ours, pooled)));
        if let (Some(ours), Some(pooled)) = (ours.instructions, pooled.instructions) {
            results.push(("client_instructions_added".to_owned(), format!("{:.0}", ours - pooled)));
        }
    }
    results
}

fn times(row: &Row, base: &Row) -> String {
    format!("{:.2}", ratio(&row.nanoseconds, &base.nanoseconds))
}

/// A count per call, without a sign before nothing.
fn count_of(count: f64) -> String {
    format!("{:.2}", count + 0.0)
}

/// The stacks around a number, and what their results begin with.
const STACKS: [(&str, &str); 6] = [
    ("bare", BARE),
    ("client_stack", PLATFORM),
    ("tower_a", "tower-a"),
    ("tower_b", "tower-b"),
    ("tower_resilience", "tower-resilience"),
    ("seatbelt", "seatbelt"),
];
/// What something adds: key, its end, without it, with it.
const ADDED: [(&str, &str, &str, &str); 4] = [
    ("client_stack", "_http", BARE_HTTP, PLATFORM_HTTP),
    ("client_stack", "_http_pending", "bare-http+pending", "platform-http+pending"),
    ("client_retry_copy", "", REQUESTS[0][0], REQUESTS[0][1]),
    ("client_retry_copy", "_headers", REQUESTS[1][0], REQUESTS[1][1]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, nanoseconds: [f64; 3], instructions: Option<f64>, allocations: f64) -> Row {
        let mut row = Row { instructions, ..Row::new(name) };
        for reading in nanoseconds {
            row.nanoseconds.push(reading);
            row.allocations.push(allocations);
        }
        row
    }

    fn result<'a>(results: &'a [(String, String)], key: &str) -> Option<&'a str> {
        results.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_stack_is_told_whole_and_what_something_adds_as_the_difference() {
        let rows = Rows {
            inside: vec![
                row(PLATFORM, [100.0, 90.0, 120.0], Some(700.0), 0.0),
                row("platform+pending", [180.0; 3], Some(1400.0), 0.0),
                row(BARE_HTTP, [20.0; 3], Some(400.0), 0.0),
                row(PLATFORM_HTTP, [300.0; 3], Some(2500.0), 0.0),
                row(REQUESTS[1][0], [50.0; 3], Some(900.0), 2.0),
                row(REQUESTS[1][1], [90.0; 3], Some(1600.0), 4.0),
                row("tower-b", [1400.0; 3], Some(7950.0), 3.0),
            ],
            shared: vec![row("one", [100.0; 3], None, 0.0), row("two", [170.0; 3], None, 0.0)],
            network: vec![
                row(POOLED, [12_000.0; 3], Some(25_000.0), 17.0),
                row(CLIENT, [13_200.0; 3], Some(33_000.0), 20.0),
            ],
        };
        let results = results(&rows);
        let expected = [
            ("client_stack_instructions", Some("700")),
            ("client_stack_instructions_pending", Some("1400")),
            ("client_stack_allocations", Some("0.00")),
            ("client_stack_instructions_http", Some("2100")),
            ("client_stack_instructions_http_pending", None),
            ("client_retry_copy_instructions", None),
            ("client_retry_copy_instructions_headers", Some("700")),
            ("client_retry_copy_allocations_headers", Some("2.00")),
            ("tower_b_instructions", Some("7950")),
            ("tower_b_allocations", Some("3.00")),
            ("tower_a_instructions", None),
            ("client_stack_contended_ratio", Some("1.70")),
            ("client_cpu_us_hyper_util", Some("12.00")),
            ("client_allocations_platform", Some("20.0")),
            ("client_instructions_hyper_util", Some("25000")),
            ("client_instructions_added", Some("8000")),
            ("client_cpu_ratio", Some("1.10")),
        ];
        for (key, value) in expected {
            assert_eq!(result(&results, key), value, "{key}");
        }
    }
}
