//! Parts: the live pieces of one target.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::time::Instant;

use super::{ClientPolicy, Guards};
use crate::{
    observe::{Attempts, Calls},
    telemetry::{
        Metrics,
        catalogue::{GaugeSpec, Labels},
    },
};

/// What all clients of one target share, so that asking twice for a target gives two clients and one count.
///
/// A policy is laid over them; nothing in here points back at it. Clients whose guards are set alike share the
/// guards too, and with them the budget; a batch and a page that call the same target have their own.
pub struct Parts {
    pub(super) target: Arc<str>,
    pub(super) calls: Calls,
    pub(super) attempts: Attempts,
    metrics: Metrics,
    /// Read on every scrape, written when a client is made.
    known: Arc<Mutex<Vec<Known>>>,
}

struct Known {
    set: ClientPolicy,
    guards: Weak<Guards>,
}

impl Parts {
    /// The parts of `target`.
    pub fn new(target: &Arc<str>, metrics: &Metrics) -> Self {
        let known: Arc<Mutex<Vec<Known>>> = Arc::default();
        let gauge = metrics.gauge(&BUDGET).with(&TargetLabels { target: Arc::clone(target) });
        let read = Arc::clone(&known);
        metrics.on_scrape(move || {
            let now = Instant::now();
            let known = read.lock().unwrap_or_else(PoisonError::into_inner);
            let left =
                known.iter().filter_map(|known| known.guards.upgrade()).map(|one| one.budget.ratio(now));
            // The emptiest of several is the one that somebody should look at.
            gauge.set(left.fold(1.0, f64::min));
        });
        Parts {
            target: Arc::clone(target),
            calls: Calls::new(target, metrics),
            attempts: Attempts::new(target, metrics),
            metrics: metrics.clone(),
            known,
        }
    }

    /// What was called.
    pub fn target(&self) -> &Arc<str> {
        &self.target
    }

    /// The guards of all clients that are set like `policy`.
    pub(super) fn guards(&self, policy: &ClientPolicy) -> Arc<Guards> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.guards.strong_count() > 0);
        let alike = known.iter().find(|known| known.set.guards_alike(policy));
        if let Some(guards) = alike.and_then(|known| known.guards.upgrade()) {
            return guards;
        }
        let guards = Arc::new(Guards::new(&self.target, policy, Instant::now(), &self.metrics));
        known.push(Known { set: *policy, guards: Arc::downgrade(&guards) });
        guards
    }
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
