//! Parts: the live pieces of one target.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{
    ClientPolicy, Overlay,
    overlay::mode_of,
    seats::{Seat, Seats},
};
use crate::{
    admission::breaker::{self, Forced},
    config::Mode,
    error::Result,
    observe::{Attempts, Calls},
    telemetry::{
        Metrics,
        catalogue::{Board, GaugeSpec, Labels, Runbook, Signal, Unit, below, min},
    },
};

/// What all clients of one target share, so that asking twice for a target gives two clients and one count.
///
/// A policy is laid over them. Clients whose guards are set alike share the guards too, and with them the budget; a
/// batch and a page that call the same target have their own.
pub struct Parts {
    pub(super) target: Arc<str>,
    pub(super) calls: Calls,
    pub(super) attempts: Attempts,
    metrics: Metrics,
    /// Read on every scrape, written when a client is made or an operator changes something.
    seats: Arc<Mutex<Seats>>,
}

impl Parts {
    /// The parts of `target`.
    pub fn new(target: &Arc<str>, metrics: &Metrics) -> Self {
        let seats: Arc<Mutex<Seats>> = Arc::default();
        let budget = metrics.gauge(&BUDGET).with(&TargetLabels { target: Arc::clone(target) });
        let breaker =
            metrics.gauge(&breaker::STATE).with(&breaker::StateLabels { target: Arc::clone(target) });
        let read = Arc::clone(&seats);
        metrics.on_scrape(move || {
            let now = Instant::now();
            let seats = read.lock().unwrap_or_else(PoisonError::into_inner);
            budget.set(left(&seats, now));
            // A breaker changes when a call comes; that its time has run out shows also where none does.
            let levels = seats.guards().map(|one| one.breaker.engine().state(now).level());
            breaker.set(levels.fold(0.0, f64::max));
        });
        Parts {
            target: Arc::clone(target),
            calls: Calls::new(target, metrics),
            attempts: Attempts::new(target, metrics),
            metrics: metrics.clone(),
            seats,
        }
    }

    /// What was called.
    pub fn target(&self) -> &Arc<str> {
        &self.target
    }

    /// Does anybody have a client of it?
    pub fn is_used(&self) -> bool {
        self.lock().live().next().is_some()
    }

    /// The share of the budget for repeats and hedges that is left.
    pub fn budget_left(&self, now: Instant) -> f64 {
        left(&self.lock(), now)
    }

    /// The mode of one of [`GUARDS`](super::GUARDS); several where clients of the target differ in it.
    pub fn modes(&self, guard: &str) -> Vec<Mode> {
        let seats = self.lock();
        let all: Vec<Mode> = seats.live().filter_map(|seat| mode_of(&seat.policy.load(), guard)).collect();
        Mode::ALL.into_iter().filter(|mode| all.contains(mode)).collect()
    }

    /// Could `overlay` be laid over what is in force?
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), as [`Overlay::over`] for the first client that refuses it.
    pub fn fits(&self, overlay: &Overlay) -> Result<()> {
        self.lock().live().try_for_each(|seat| overlay.over(*seat.policy.load()).map(drop))
    }

    /// Lays `overlay` over the policies of all clients of the target, those to come included, over what was laid there
    /// before. Where it does not [fit](Self::fits) it is left out, for as long as it does not.
    pub fn lay(&self, name: &str, overlay: Overlay) {
        self.lock().lay(name, overlay, Instant::now());
    }

    /// Takes away everything of this name; what else was laid stays.
    pub fn lift(&self, name: &str) {
        self.lock().lift(name, Instant::now());
    }

    /// Holds the breakers of the target, those to come included, open or closed; `None` gives them back to their rules.
    /// Returns how they were held before.
    pub fn force(&self, hand: Option<Forced>) -> Option<Forced> {
        self.lock().force(hand)
    }

    /// So many processes of this one's kind are known, this one included: they share the floors of the target's
    /// budgets, those of clients to come too.
    pub fn set_clients(&self, known: u32) {
        self.lock().set_clients(known);
    }

    pub(super) fn seat(&self, policy: ClientPolicy) -> Arc<Seat> {
        self.lock().seat(policy, &self.target, &self.metrics)
    }

    /// Changes what the code wants of one client, and returns what that was.
    pub(super) fn edit(
        &self,
        seat: &Arc<Seat>,
        edit: impl FnOnce(&mut ClientPolicy),
    ) -> Result<Arc<ClientPolicy>> {
        self.lock().edit(seat, edit, Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        // Each change is whole before the next line that could panic.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The emptiest of several is the one that somebody should look at.
fn left(seats: &Seats, now: Instant) -> f64 {
    seats.guards().map(|one| one.budget.ratio(now)).fold(1.0, f64::min)
}

/// How much of what repeats may cost is left.
pub static BUDGET: GaugeSpec<TargetLabels> =
    GaugeSpec::new("platform_retry_budget_ratio", "Share of the budget for repeats and hedges that is left");

/// Labels of what is measured per target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetLabels {
    /// What was called.
    pub target: Arc<str>,
}

impl Labels for TargetLabels {
    const NAMES: &'static [&'static str] = &["target"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.target);
    }
}

/// What this room shows.
pub(crate) fn signals() -> Vec<Signal> {
    vec![
        Signal::new("Retry budget left", min(&BUDGET).by(&["target"]), Unit::Ratio)
            .on(Board::Dependencies)
            .ticket_when(below(0.05).for_minutes(10), BUDGET_EMPTY),
    ]
}

const BUDGET_EMPTY: Runbook = Runbook {
    name: "budget-empty",
    means: "So many calls to a target fail or are slow that no more of them are repeated: failures that a repeat would \
            have hidden now reach the callers. That is on purpose, because repeats would make an outage worse.",
    look: &[
        "\"Attempts by outcome\": what does the target answer? \"Calls that failed\": how many reach the callers?",
        "Is it one process? `/platform/stack` shows the budget of each.",
    ],
    act: &[
        "Repair the target; the budget fills by itself with calls that succeed.",
        "Do not raise `budget.ratio` while the target fails.",
    ],
};
