//! The run over all variants.

use platform_core::Result;
use tokio::time::Instant;

use super::{
    summary::{Row, report},
    variants::{Variant, variants},
};
use crate::{
    child::Child,
    cores,
    load::{Asking, Load, Until},
    measure,
    options::Options,
    table::Report,
};

/// Measures every server that can be had here.
///
/// # Errors
/// A server cannot be started, is lost, or answers wrongly.
pub(crate) async fn run(options: &Options) -> Result<Report> {
    let (variants, without_peers) = variants(options.peers)?;
    let mut remarks: Vec<String> = without_peers.into_iter().collect();
    let starters = cores::split().unwrap_or_else(|| {
        remarks.push("not pinned, because taskset or a second core is missing: CPU figures vary more".into());
        &[]
    });
    let mut rows: Vec<Row> = variants.iter().map(|variant| Row::new(variant.name)).collect();

    let mut children = Vec::with_capacity(variants.len());
    for (variant, row) in variants.iter().zip(&mut rows) {
        let mut child = Child::start(variant.program.under(starters))?;
        row.allocations = measure::allocations(&mut child, variant.asking, options.stretch).await?;
        children.push(child);
    }
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for index in measure::shuffled(children.len()) {
            load(&children[index], variants[index].asking, &mut rows[index], options).await?;
        }
    }
    for child in children {
        child.end()?;
    }
    if !options.instructions {
        remarks.push("without instructions, as told".into());
    } else if measure::has_valgrind() {
        instructions(&variants, &mut rows, starters, options).await?;
    } else {
        remarks.push("without instructions: valgrind is missing".into());
    }
    Ok(report(&rows, remarks))
}

/// One window of one variant.
async fn load(child: &Child, asking: Asking, row: &mut Row, options: &Options) -> Result<()> {
    let mut load = Load::connect(child.port(), options.connections, asking).await?;
    load.run(Until::Each(WARM_UP)).await?;
    // The server is quiet before and after, so the scheduler's account is up to date.
    let before = measure::run_time(child.id())?;
    let start = Instant::now();
    let answered = load.run(Until::Time(start + options.window)).await? as f64;
    let window = start.elapsed();
    let cpu = measure::run_time(child.id())?.saturating_sub(before);
    row.cpu_us.push(cpu.as_secs_f64() * 1e6 / answered);
    row.rps.push(answered / window.as_secs_f64());
    Ok(())
}

async fn instructions(
    variants: &[Variant],
    rows: &mut [Row],
    starters: &[&str],
    options: &Options,
) -> Result<()> {
    for (variant, row) in variants.iter().zip(rows) {
        eprintln!("instructions of {}", variant.name);
        let Variant { program, asking, .. } = variant;
        row.instructions = Some(measure::instructions(program, *asking, starters, options.stretch).await?);
    }
    Ok(())
}

/// Requests on each connection before a window: the connection's tasks and buffers exist then.
const WARM_UP: u64 = 10;
