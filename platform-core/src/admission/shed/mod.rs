//! Whose request goes, when not all can stay?
//!
//! A server that is asked for more than it can serve has to refuse some; refusing whoever comes at a bad moment
//! breaks a little of everything. Here the least important go first ([`Rank`]: four classes, and 128 cohorts of
//! users in each, so that the requests of one user live or die together, in every service), and before those the
//! requests of tenants that ask for more than others do.
//!
//! * [`Pressure`] and [`Flow`] say *how much* has to go: a share, made of what is measured now, without an integral
//!   that could wind up.
//! * [`Shed`] says *who*: it remembers the last 1024 requests that were asked about and cuts them at the quantile
//!   that equals the share ([`Plan`]).
//! * [`Machine`] reads what is left of memory and processors, in a container or outside.
//!
//! # Defaults
//! | Setting | Default | Reason |
//! |---|---|---|
//! | `shed.mode`, `fair_share.mode` | enforce | both do nothing until something is short |
//! | `shed.sources` | all four | each names itself in `platform_server_pressure_ratio` |
//!
//! # Signals
//! `platform_server_refusals_total{guard="shed"}` and `{guard="fair-share"}`; `platform_server_pressure_ratio` by
//! source, which is the share that has to go because of it.
//!
//! # Traps
//! *Everything critical*: where all requests have one class, the cohort decides, which is fair to nobody in
//! particular. Lower what nobody waits for. *One tenant*: fairness needs two.

mod config;
mod flow;
mod machine;
mod plan;
mod pressure;
mod rank;
mod tally;

use std::sync::{
    Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use arc_swap::ArcSwap;

pub use config::{Config, FairShare};
pub use flow::{Flow, Looks};
pub use machine::Machine;
pub use plan::{Plan, Turned};
pub use pressure::{CPU_COUNTS_FROM, Pressure, Source, Standing};
pub use rank::{Rank, class_of};

use self::tally::Tally;
use crate::{config::Mode, tick::Tick};

/// What is said of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// It has to go, and why.
    pub turned: Option<Turned>,
    /// It would have to go for fairness, which only looks on.
    pub unfair: bool,
}

/// Refuses a share of requests, the least important ones. Only asked while something is short.
#[derive(Debug)]
pub struct Shed {
    epoch: Tick,
    tally: Tally,
    /// How many were seen since something is short.
    count: AtomicUsize,
    /// When the last one was, in nanoseconds since `epoch`.
    latest: AtomicU64,
    plan: ArcSwap<Plan>,
    /// When the plan is made anew, in nanoseconds since `epoch`.
    due: AtomicU64,
    planning: Mutex<()>,
}

impl Shed {
    /// One that has seen nothing.
    pub fn new(epoch: impl Into<Tick>) -> Self {
        Shed {
            epoch: epoch.into(),
            tally: Tally::new(),
            count: AtomicUsize::new(0),
            latest: AtomicU64::new(0),
            plan: ArcSwap::default(),
            due: AtomicU64::new(0),
            planning: Mutex::new(()),
        }
    }

    /// One more asks, while something is short.
    pub fn see(&self, rank: Rank, now: Tick) {
        self.tally.add(self.count.fetch_add(1, Relaxed), rank);
        self.latest.store(now.nanos_since(self.epoch), Relaxed);
    }

    /// Has one that was [seen](Self::see) to go, if `share` of all have to? `die` is a throw from 0 to 1.
    pub fn judge(&self, rank: Rank, share: f64, fair: Mode, now: Tick, die: f64) -> Said {
        if !self.has_seen_enough() {
            return Said::default();
        }
        let now = now.nanos_since(self.epoch);
        if now >= self.due.load(Relaxed) {
            self.plan_anew(share, fair, now);
        }
        let plan = self.plan.load();
        let turned = plan.turns_away(rank, fair.enforces(), die);
        let unfair = fair == Mode::Observe && plan.turns_away(rank, true, die) == Some(Turned::Tenant);
        Said { turned, unfair }
    }

    /// Both.
    pub fn ask(&self, rank: Rank, share: f64, fair: Mode, now: Tick, die: f64) -> Said {
        self.see(rank, now);
        self.judge(rank, share, fair, now, die)
    }

    /// Does the tenant of such a request ask for clearly more than others do?
    pub fn is_noisy(&self, rank: Rank) -> bool {
        self.tally.is_noisy(rank, self.count.load(Relaxed))
    }

    /// Does it know whose requests are asked about? Before that it refuses nobody.
    pub fn has_seen_enough(&self) -> bool {
        self.count.load(Relaxed) >= FEWEST
    }

    /// Nothing is short any more. Who comes again within a second is the same crowd, and after that another one.
    pub fn rest(&self, now: Tick) {
        let idle = now.nanos_since(self.epoch).saturating_sub(self.latest.load(Relaxed));
        if self.count.load(Relaxed) > 0 && idle >= CROWD {
            self.count.store(0, Relaxed);
            self.due.store(0, Relaxed);
            self.tally.clear();
        }
    }

    #[cold]
    fn plan_anew(&self, share: f64, fair: Mode, now: u64) {
        // Whoever has it makes the plan for all; a panic in it left nothing half done.
        let Ok(_one_at_a_time) = self.planning.try_lock() else { return };
        let seen = self.tally.ranks(self.count.load(Relaxed));
        self.plan.store(std::sync::Arc::new(Plan::of(&seen, share, fair.enforces())));
        self.due.store(now.saturating_add(EVERY), Relaxed);
    }
}

/// Of fewer, a quantile is chance.
const FEWEST: usize = 32;

/// A storm comes in waves: between two of them it is the same storm.
const CROWD: u64 = 1_000_000_000;

/// Twice in each look at a line; a plan costs some hundred microseconds.
const EVERY: u64 = 50_000_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    fn refused(shed: &Shed, ranks: &[Rank], share: f64, begin: Instant, millis: u64) -> Vec<u32> {
        let mut dice = fastrand::Rng::with_seed(1);
        let mut refused = vec![0; ranks.len()];
        for at in 0..millis {
            let now = Tick::from(begin + Duration::from_millis(at));
            for (i, rank) in ranks.iter().enumerate() {
                refused[i] +=
                    u32::from(shed.ask(*rank, share, Mode::Enforce, now, dice.f64()).turned.is_some());
            }
        }
        refused
    }

    #[test]
    fn the_wanted_share_goes_and_the_least_important_of_all() {
        let now = Instant::now();
        let shed = Shed::new(now);
        let ranks = [Rank::new(0, 0), Rank::new(200, 0), Rank::new(300, 0), Rank::new(500, 0)];
        let gone = refused(&shed, &ranks, 0.375, now, 1000);
        assert!(gone[0] > 980 && (430..570).contains(&gone[1]), "{gone:?}");
        assert_eq!(gone[2..], [0, 0]);
    }

    #[test]
    fn fairness_that_only_looks_on_says_whom_it_would_send_away() {
        let now = Instant::now();
        for (fair, expected) in [(Mode::Off, 0), (Mode::Observe, 100), (Mode::Enforce, 0)] {
            let shed = Shed::new(now);
            let (quiet, noisy) = (Rank::new(256, 1), Rank::new(256, 2));
            let of = |rank: Rank, number: u64| {
                let now = Tick::from(now + Duration::from_millis(number));
                shed.ask(rank, 0.5, fair, now, 0.2)
            };
            for number in 0..1000 {
                of(if number % 10 == 0 { quiet } else { noisy }, number);
            }
            let unfair = |rank| (2000..2100).filter(|number| of(rank, *number).unfair).count();
            assert_eq!((unfair(quiet), unfair(noisy)), (0, expected), "{fair}");
        }
    }

    #[test]
    fn before_it_has_seen_enough_and_after_a_rest_nobody_goes() {
        let now = Instant::now();
        let shed = Shed::new(now);
        let rank = Rank::new(0, 0);
        let goes = |count: usize| {
            (0..count)
                .filter(|_| shed.ask(rank, 1.0, Mode::Enforce, Tick::from(now), 0.5).turned.is_some())
                .count()
        };
        assert_eq!((goes(31), goes(1)), (0, 1));
        shed.rest(Tick::from(now + Duration::from_millis(999)));
        assert_eq!(goes(1), 1, "the same crowd");
        shed.rest(Tick::from(now + Duration::from_secs(1)));
        assert_eq!(goes(31), 0);
    }

    #[test]
    fn a_crowd_that_changes_is_seen_within_the_time_of_a_plan() {
        let now = Instant::now();
        let shed = Shed::new(now);
        refused(&shed, &[Rank::new(0, 0), Rank::new(300, 0)], 0.5, now, 1000);
        // Only the important ones are left, and half of them has to go.
        let later = now + Duration::from_secs(1);
        let gone = refused(&shed, &[Rank::new(300, 0)], 0.5, later, 3000);
        assert!((900..1500).contains(&gone[0]), "the last 1024 alone count: {gone:?}");
    }
}
