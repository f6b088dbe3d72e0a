//! What does it survive?
//!
//! Storms in paused time: a town of replicas with queues and slots, ten client processes on the production stack
//! with the preset `interactive`, and a naive client beside them with the same seed. One bar for each storm; a bar
//! is missed if two of three seeds miss it. The client's balancer is the production one too, and stands beside round
//! robin, two choices by load, and tower's peak EWMA. S0, S3, S4 and S6 have the production server's guards in front of
//! each replica, S4 beside servers without; the others have none. S7 has a rolling deploy, S9 a thousand ways to one server, S10 a registry that dies,
//! freezes and lies, with the production leases, watches and balancers around it.

mod chain;
mod choosing;
mod client;
mod deploy;
mod found;
mod herd;
mod lane;
mod outage;
mod overload;
mod registry;
mod runs;
mod told;
mod tower;
mod town;

use platform_core::{Error, ErrorKind, Result};
use tokio::runtime::Builder;

use crate::table::{Report, Table};

/// How the storms are run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// For a test: shorter, one seed, without peers.
    pub(crate) quick: bool,
    /// So many replicas instead of ten, in S0, S3, S4 and S6.
    pub(crate) replicas: Option<usize>,
    /// This seed instead of the first of three, and the two after it.
    pub(crate) seed: Option<u64>,
}

/// Runs the storms that are named, or all.
///
/// # Errors
/// A storm that does not exist.
pub(crate) fn run(named: &[String], how: Wanted) -> Result<Report> {
    let quick = how.quick;
    if let Some(unknown) = named.iter().find(|name| STORMS.iter().all(|(known, _)| known != name)) {
        let why = format!("no storm is named {unknown}; there are {}", names());
        return Err(Error::new(ErrorKind::Usage, why));
    }
    let wanted = |name: &str| named.is_empty() || named.iter().any(|one| one == name);
    let mut scale = if quick { runs::Scale::QUICK } else { runs::Scale::WHOLE };
    scale.replicas = how.replicas.unwrap_or(scale.replicas);
    let seeds = SEEDS.map(|seed| how.seed.map_or(seed, |first| first + seed - 1));
    let mut report = Report {
        table: Table::new(&[
            "storm", "what", "arm", "seed", "errors %", "attempts", "p50 ms", "p99 ms", "p99.9 ms", "more",
        ]),
        remarks: vec![
            "The preset is interactive where no other is named; a failed call counts as one of 1 s at least."
                .into(),
        ],
        results: Vec::new(),
    };
    for (name, storm) in STORMS.into_iter().filter(|(name, _)| wanted(name)) {
        let mut passed = 0;
        let seeds: &[u64] = if quick { &seeds[..1] } else { &seeds };
        for seed in seeds {
            eprintln!("{name}, seed {seed}");
            let seen = in_paused_time(|| storm(*seed, scale))?;
            passed += usize::from(seen.passed);
            for row in seen.rows {
                report.table.row(row);
            }
        }
        // A bar is missed only if two of three seeds miss it.
        let pass = passed * 2 > seeds.len();
        report.results.push((name.to_owned(), if pass { "pass" } else { "miss" }.to_owned()));
    }
    Ok(report)
}

fn in_paused_time(run: impl FnOnce() -> runs::Run) -> Result<runs::Seen> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime =
        runtime.map_err(|error| Error::new(ErrorKind::Start, "no runtime can be had").with_source(error))?;
    runtime.block_on(async { run().await })
}

/// What they are called, as a user may name them.
pub(crate) fn names() -> String {
    STORMS.map(|(name, _)| name).join(" ")
}

/// A storm for one seed.
type Storm = fn(u64, runs::Scale) -> runs::Run;

const STORMS: [(&str, Storm); 12] = [
    ("S0", |seed, scale| Box::pin(runs::s0(seed, scale))),
    ("S1", |seed, scale| Box::pin(choosing::s1(seed, scale))),
    ("S2", |seed, scale| Box::pin(choosing::s2(seed, scale))),
    ("S3", |seed, scale| Box::pin(overload::s3(seed, scale))),
    ("S4", |seed, scale| Box::pin(runs::s4(seed, scale))),
    ("S5", |seed, scale| Box::pin(choosing::s5(seed, scale))),
    ("S6", |seed, scale| Box::pin(overload::s6(seed, scale))),
    ("S7", |seed, scale| Box::pin(deploy::s7(seed, scale))),
    ("S8", |seed, scale| Box::pin(choosing::s8(seed, scale))),
    ("S9", |seed, _| Box::pin(herd::s9(seed))),
    ("S10", |seed, scale| Box::pin(outage::s10(seed, scale))),
    ("S11", |seed, scale| Box::pin(runs::s11(seed, scale))),
];

/// Published, and fewer than three make no majority.
const SEEDS: [u64; 3] = [1, 2, 3];

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(name: &str) {
        let report = run(&[name.to_owned()], Wanted { quick: true, ..Wanted::default() }).unwrap();
        assert_eq!(report.results, [(name.to_owned(), "pass".to_owned())], "{report}");
    }

    #[test]
    fn s0_no_guard_touches_the_healthy() {
        passes("S0");
    }

    #[test]
    fn s1_a_slow_replica_and_one_that_stalls_are_not_felt() {
        passes("S1");
    }

    #[test]
    fn s8_a_cold_replica_is_not_flooded() {
        passes("S8");
    }

    #[test]
    fn s2_a_grey_replica_is_not_felt() {
        passes("S2");
    }

    #[test]
    fn s3_an_overload_leaves_the_goodput_where_it_was() {
        passes("S3");
    }

    #[test]
    fn s4_a_slow_down_is_survived_where_the_naive_client_stays_dead() {
        passes("S4");
    }

    #[test]
    fn s6_what_is_important_and_who_is_quiet_are_served() {
        passes("S6");
    }

    #[test]
    fn s7_a_rolling_deploy_in_order_is_noticed_by_nobody() {
        passes("S7");
    }

    #[test]
    fn s9_a_server_that_comes_back_is_not_trampled() {
        passes("S9");
    }

    #[test]
    fn s10_a_registry_that_dies_freezes_or_lies_costs_no_request() {
        passes("S10");
    }

    #[test]
    fn s11_a_deep_chain_does_not_multiply() {
        passes("S11");
    }

    #[test]
    fn a_storm_that_does_not_exist_is_refused() {
        assert_eq!(run(&["S99".to_owned()], Wanted::default()).unwrap_err().kind(), ErrorKind::Usage);
    }
}
