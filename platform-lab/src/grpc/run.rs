//! The run over all variants.

use platform_core::{Error, ErrorKind, Result};

use super::{
    calls::{CALL, VARIANTS},
    dead::{self, Shares},
};
use crate::{
    alone,
    child::{IN_FLIGHT, Program, take},
    cores,
    measure::{self, Samples, Stretch, ratio},
    options::Options,
    table::{Report, Table},
};

/// The readings of one variant.
struct Row {
    name: &'static str,
    nanoseconds: Samples,
    allocations: Samples,
    instructions: Option<f64>,
}

/// Measures all of it.
///
/// # Errors
/// A process cannot be started or is lost, or a call fails.
pub(crate) fn run(options: &Options) -> Result<Report> {
    let mut remarks = vec![RATIO.to_owned()];
    let starters = cores::split().unwrap_or_else(|| {
        remarks.push("not pinned, because taskset or a second core is missing: CPU figures vary more".into());
        &[]
    });
    let this = Program::this()?;
    let calling = |name: &str, calls: u64| this.with([CALL, name, &calls.to_string()].map(str::to_owned));
    let mut rows: Vec<Row> = VARIANTS
        .iter()
        .map(|(name, _)| Row {
            name,
            nanoseconds: Samples::default(),
            allocations: Samples::default(),
            instructions: None,
        })
        .collect();
    // Every task makes as many calls as the others: what is divided by is what was made.
    let whole = |calls: u64| calls.next_multiple_of(IN_FLIGHT);
    let stretch = Stretch { from: whole(options.stretch.from), to: whole(options.stretch.to) };
    let calls = stretch.from * TIMED;
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for index in measure::shuffled(rows.len()) {
            let row = &mut rows[index];
            let taken = take(calling(row.name, calls).under(starters))?;
            row.nanoseconds.push(taken.nanoseconds as f64 / calls as f64);
            row.allocations.push(taken.allocations as f64 / calls as f64);
        }
    }
    if !options.instructions {
        remarks.push("without instructions, as told".into());
    } else if measure::has_valgrind() {
        for row in &mut rows {
            eprintln!("instructions of {}", row.name);
            let calling = |calls| calling(row.name, calls);
            row.instructions = Some(measure::instructions_of_calls(calling, starters, stretch)?);
        }
    } else {
        remarks.push("without instructions: valgrind is missing".into());
    }
    let dead = |error| Error::new(ErrorKind::Start, "no calls to a dead endpoint").with_source(error);
    let shares = alone(async {
        let tonic = dead::tonic(DEAD).await.map_err(dead)?;
        Ok([("tonic", tonic), ("platform", dead::platform(DEAD).await.map_err(dead)?)])
    })?;
    Ok(report(&rows, &shares, remarks))
}

fn report(rows: &[Row], shares: &[(&str, Shares)], mut remarks: Vec<String>) -> Report {
    let mut table = Table::new(&[
        "server + channel",
        "CPU µs/call, median",
        "min",
        "times bare tonic",
        "instructions/call",
        "allocations/call",
    ]);
    let mut results = Vec::new();
    let bare = &rows[0];
    for row in rows {
        let times = ratio(&row.nanoseconds, &bare.nanoseconds);
        table.row(vec![
            row.name.to_owned(),
            format!("{:.2}", row.nanoseconds.median() / 1e3),
            format!("{:.2}", row.nanoseconds.min() / 1e3),
            format!("{times:.2}"),
            row.instructions.map_or_else(|| "-".to_owned(), |count| format!("{count:.0}")),
            format!("{:.1}", row.allocations.median()),
        ]);
        let name = row.name.replace('+', "_");
        results.push((format!("grpc_cpu_us_{name}"), format!("{:.2}", row.nanoseconds.median() / 1e3)));
        results.push((format!("grpc_allocations_{name}"), format!("{:.1}", row.allocations.median())));
        if let Some(count) = row.instructions {
            results.push((format!("grpc_instructions_{name}"), format!("{count:.0}")));
            if row.name == "platform"
                && let Some(bare) = bare.instructions
            {
                results.push(("grpc_instructions_added".to_owned(), format!("{:.0}", count - bare)));
            }
        }
        if row.name != bare.name {
            let line = if row.name.ends_with("+line") { "" } else { "_without_line" };
            results.push((format!("grpc_cpu_ratio{line}"), format!("{times:.2}")));
        }
    }
    for (name, Shares { sent, failed }) in shares {
        let (sent, failed) = (sent * 100.0, failed * 100.0);
        remarks.push(format!(
            "one of two endpoints is dead: of {DEAD} calls {name} sends {sent:.2} % there, {failed:.2} % fail"
        ));
        results.push((format!("grpc_dead_share_{name}"), format!("{:.4}", sent / 100.0)));
        results.push((format!("grpc_dead_failed_{name}"), format!("{:.4}", failed / 100.0)));
    }
    Report { table, remarks, results }
}

const RATIO: &str = "times bare tonic: the smaller of the ratio of medians and the ratio of minima; CPU time is the \
                     whole process's, server, client and all threads";
/// How many times the warm-up's calls are timed in a round: enough for a few hundred milliseconds.
const TIMED: u64 = 10;
/// Calls with one of two endpoints dead.
const DEAD: u32 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_that_of_ours_with_its_line() {
        let row = |name, reading: f64| {
            let mut row = Row {
                name,
                nanoseconds: Samples::default(),
                allocations: Samples::default(),
                instructions: None,
            };
            row.nanoseconds.push(reading);
            row.allocations.push(1.0);
            row.instructions = Some(reading * 100.0);
            row
        };
        let rows = [row("tonic", 1_000.0), row("platform", 1_050.0), row("platform+line", 1_200.0)];
        let shares = [("tonic", Shares { sent: 0.5, failed: 0.5 })];
        let report = report(&rows, &shares, Vec::new());
        for (key, value) in [
            ("grpc_cpu_ratio", "1.20"),
            ("grpc_cpu_ratio_without_line", "1.05"),
            ("grpc_cpu_us_platform_line", "1.20"),
            ("grpc_dead_share_tonic", "0.5000"),
            ("grpc_instructions_tonic", "100000"),
            ("grpc_instructions_added", "5000"),
        ] {
            let found = report.results.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
            assert_eq!(found, Some(value), "{key}");
        }
    }
}
