//! The run over all variants.

use platform_core::Result;

use super::{
    summary::{Row, Rows, report},
    variants::{PLATFORM, Variant, Variants, variants},
};
use crate::{
    child::{Child, Program, take},
    cores,
    measure::{self, Stretch},
    options::Options,
    server,
    table::Report,
};

/// Measures every call that can be made here.
///
/// # Errors
/// A process cannot be started or is lost, or a call fails.
pub(crate) fn run(options: &Options) -> Result<Report> {
    let Variants { inside, mut network, remark } = variants(options.peers)?;
    let mut remarks: Vec<String> = remark.into_iter().collect();
    let (starters, both) = match cores::split() {
        Some(first) => (first, Some(cores::BOTH)),
        None => {
            remarks.push("not pinned, because taskset or a second core is missing: times vary more".into());
            remarks.push("without two threads on one stack, for the same reason".into());
            (&[][..], None)
        }
    };
    let ours = inside.iter().find(|variant| variant.name == PLATFORM).cloned();
    let shared: Vec<Variant> = match both.and(ours) {
        Some(ours) => [1, 2].map(|threads| on_threads(&ours, threads)).into(),
        None => Vec::new(),
    };
    let server = Child::start(server::bare()?.under(starters))?;
    for variant in &mut network {
        variant.flags.extend(["--port".to_owned(), server.port().to_string()]);
    }

    // Callers over loopback stay on the lab's own core, beside the server's.
    let groups = [(&inside, starters), (&shared, both.unwrap_or_default()), (&network, &[][..])];
    let mut rows = Rows {
        inside: inside.iter().map(|variant| Row::new(&variant.name)).collect(),
        shared: shared.iter().map(|variant| Row::new(&variant.name)).collect(),
        network: network.iter().map(|variant| Row::new(&variant.name)).collect(),
    };
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for ((variants, starters), rows) in groups.iter().zip(rows.groups()) {
            for index in measure::shuffled(variants.len()) {
                time(&variants[index], &mut rows[index], starters, options.stretch)?;
            }
        }
    }
    if !options.instructions {
        remarks.push("without instructions, as told".into());
    } else if measure::has_valgrind() {
        for ((variants, starters), rows) in groups.iter().zip(rows.groups()) {
            // Instructions of two threads at once say nothing that one does not.
            let counted = variants.iter().zip(rows).filter(|(variant, _)| !shared_stack(variant));
            for (variant, row) in counted {
                eprintln!("instructions of {}", variant.name);
                let calling = |calls| calling(variant, calls);
                let stretch = calls(options.stretch);
                row.instructions = Some(measure::instructions_of_calls(calling, starters, stretch)?);
            }
        }
    } else {
        remarks.push("without instructions: valgrind is missing".into());
    }
    server.end()?;
    Ok(report(&rows, remarks))
}

/// One reading of one variant's time, and of its allocations: those do not change.
fn time(variant: &Variant, row: &mut Row, starters: &[&str], stretch: Stretch) -> Result<()> {
    // Threads that start together have to be together for long.
    let calls = stretch.from * if shared_stack(variant) { 10 * TIMED } else { TIMED };
    let taken = take(calling(variant, calls).under(starters))?;
    row.nanoseconds.push(taken.nanoseconds as f64 / calls as f64);
    row.allocations.push(taken.allocations as f64 / calls as f64);
    Ok(())
}

fn calling(variant: &Variant, calls: u64) -> Program {
    variant.program.with([calls.to_string()].into_iter().chain(variant.flags.iter().cloned()))
}

fn on_threads(variant: &Variant, threads: usize) -> Variant {
    let mut variant = variant.clone();
    variant.name = format!("{}, threads: {threads}", variant.name);
    variant.flags.extend([THREADS.to_owned(), threads.to_string()]);
    variant
}

fn shared_stack(variant: &Variant) -> bool {
    variant.flags.iter().any(|flag| flag == THREADS)
}

/// Calls are cheaper than requests, and more of them cost no more time.
fn calls(stretch: Stretch) -> Stretch {
    Stretch { from: stretch.from, to: stretch.from * 6 }
}

/// How many times the warm-up's calls are timed in a round: enough for some milliseconds of any stack.
const TIMED: u64 = 20;
const THREADS: &str = "--threads";
