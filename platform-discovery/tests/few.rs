//! What ejection does for few endpoints and few calls: the manual's table, played in paused time.

#![expect(clippy::unwrap_used, reason = "a test whose scene cannot be set fails")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use platform_core::{Context, Outcome, Verdict, identity::Identity, telemetry::Metrics};
use platform_discovery::{
    Config, Discovery, Endpoint, Target,
    balance::{self, Picker},
    source::Hand,
};
use tokio::time::{self, Instant};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sick {
    /// The first endpoint fails all its calls.
    OneWholly,
    /// The first endpoint fails three of ten.
    OneSometimes,
    /// All endpoints fail all their calls.
    All,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    calls: u32,
    failed: u32,
    /// Seconds until somebody was left out for the first time.
    out: Option<f64>,
    /// Were all asked again because too many were sick?
    panic: bool,
    /// How few were asked at the worst of times.
    fewest: usize,
}

async fn play(endpoints: u8, per_second: f64, sick: Sick, pick: Picker, seed: u64) -> Seen {
    fastrand::seed(seed);
    let mut dice = fastrand::Rng::with_seed(seed);
    let identity = Identity::default();
    let metrics = Metrics::new(&identity);
    let discovery = Discovery::of(Config::default(), &identity, &metrics).unwrap();
    let source = Hand::new();
    discovery.use_source("catalog", Arc::new(source.clone()));
    let config = balance::Config { pick, ..balance::Config::default() };
    let target = Target::parse("catalog").unwrap();
    let balance = discovery.balance(&target, &config, |endpoint| endpoint.address.port()).unwrap();
    source.say((1..=endpoints).map(|port| Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port.into())))));
    let (gap, mut seen) =
        (Duration::from_secs_f64(1.0 / per_second), Seen { fewest: usize::MAX, ..Seen::default() });
    let mut call = async |is_sick: bool| {
        let mut picked = balance.pick(&Context::root(Instant::now()), dice.u64(..)).await.unwrap();
        let first = *picked.service() == 1;
        let fails = is_sick
            && match sick {
                Sick::OneWholly => first,
                Sick::OneSometimes => first && dice.u32(..10) < 3,
                Sick::All => true,
            };
        time::sleep(Duration::from_millis(10)).await;
        let outcome = if fails { Outcome::ServerFault } else { Outcome::Success };
        picked.report(&Verdict::new(outcome, Instant::now()));
        time::sleep(gap.saturating_sub(Duration::from_millis(10))).await;
        fails
    };
    // An ordinary while before it.
    for _ in 0..20 {
        call(false).await;
    }
    let begun = Instant::now();
    while begun.elapsed() < LENGTH.min(gap * MOST_CALLS) {
        seen.calls += 1;
        seen.failed += u32::from(call(true).await);
        let asked = balance.ready().len();
        seen.fewest = seen.fewest.min(asked);
        if seen.out.is_none() && asked < usize::from(endpoints) {
            seen.out = Some(begun.elapsed().as_secs_f64());
        }
        // A look costs more than a call.
        if sick == Sick::All && seen.calls % 10 == 0 {
            seen.panic |= discovery.targets().remove(0).panic.is_some();
        }
    }
    assert!(seen.fewest >= 1);
    seen
}

fn average(endpoints: u8, per_second: f64, sick: Sick, pick: Picker) -> Seen {
    let mut sum = Seen { fewest: usize::MAX, ..Seen::default() };
    let mut outs = Vec::new();
    for seed in SEEDS {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let seen = runtime.unwrap().block_on(play(endpoints, per_second, sick, pick, seed));
        sum.calls += seen.calls;
        sum.failed += seen.failed;
        sum.panic |= seen.panic;
        sum.fewest = sum.fewest.min(seen.fewest);
        outs.extend(seen.out);
    }
    // Only what happened each time is told.
    sum.out = (outs.len() == SEEDS.len()).then(|| outs.iter().sum::<f64>() / outs.len() as f64);
    sum
}

fn table() -> String {
    let mut text = String::from(
        "| endpoints | calls per second | one fails wholly: left out after, failed calls; by turns | the same, `p2c` | \
         one fails 30 %: left out after, failed calls; by turns | the same, `p2c` | all fail: still asked |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for endpoints in [1, 2, 3, 5, 10] {
        for per_second in [0.1, 1.0, 10.0, 100.0] {
            let cell = |sick, pick| {
                let seen = average(endpoints, per_second, sick, pick);
                let out = seen.out.map_or("not each time".to_owned(), |out| format!("{out:.1} s"));
                let out = if endpoints == 1 { "never".to_owned() } else { out };
                format!("{out}, {:.1} %", 100.0 * f64::from(seen.failed) / f64::from(seen.calls))
            };
            let all = average(endpoints, per_second, Sick::All, Picker::P2c);
            let asked = match (all.fewest, all.panic) {
                (fewest, false) => format!("{fewest}"),
                (fewest, true) => format!("{fewest}, then all"),
            };
            text += &format!(
                "| {endpoints} | {per_second} | {} | {} | {} | {} | {asked} |\n",
                cell(Sick::OneWholly, Picker::RoundRobin),
                cell(Sick::OneWholly, Picker::P2c),
                cell(Sick::OneSometimes, Picker::RoundRobin),
                cell(Sick::OneSometimes, Picker::P2c),
            );
        }
    }
    text
}

#[test]
fn the_table_of_the_manual_is_what_happens() {
    let written = include_str!("../src/balance/few.md");
    let played = table();
    assert!(written.contains(&played), "the manual's table should be:\n\n{played}");
}

/// Longer than the longest absence.
const LENGTH: Duration = Duration::from_secs(600);
/// Enough to see a share, and soon played.
const MOST_CALLS: u32 = 600;
const SEEDS: [u64; 3] = [1, 2, 3];
