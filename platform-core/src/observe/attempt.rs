//! Once per attempt: what came of it.

use std::sync::{Arc, OnceLock};

use super::{ATTEMPTS, AttemptKind, AttemptLabels};
use crate::{
    context::Context,
    outcome::Outcome,
    telemetry::{Counter, CounterFamily, Metrics},
};

/// The attempts to call one target.
pub struct Attempts {
    target: Arc<str>,
    family: CounterFamily<AttemptLabels>,
    counts: [[OnceLock<Counter>; Outcome::ALL.len()]; AttemptKind::ALL.len()],
}

impl Attempts {
    /// The attempts to call `target`.
    pub fn new(target: &Arc<str>, metrics: &Metrics) -> Self {
        let family = metrics.counter(&ATTEMPTS);
        let attempts = Attempts { target: Arc::clone(target), family, counts: Default::default() };
        // A counter that was never 0 hides its first increase from every rate.
        for outcome in Outcome::ALL {
            attempts.count(AttemptKind::First, outcome);
        }
        attempts
    }

    /// An attempt begins; the request being served is told, for its canonical line.
    #[inline]
    pub fn begin(&self, context: &Context) {
        if let Some(notes) = context.notes() {
            notes.count_attempt();
        }
    }

    /// An attempt that [began](Self::begin) ended so. Once for each, also for one that nobody waited for.
    #[inline]
    pub fn end(&self, kind: AttemptKind, outcome: Outcome) {
        self.count(kind, outcome).inc();
    }

    #[inline]
    fn count(&self, kind: AttemptKind, outcome: Outcome) -> &Counter {
        self.counts[kind as usize][outcome as usize].get().unwrap_or_else(|| self.resolve(kind, outcome))
    }

    #[cold]
    fn resolve(&self, kind: AttemptKind, outcome: Outcome) -> &Counter {
        self.counts[kind as usize][outcome as usize].get_or_init(|| {
            self.family.with(&AttemptLabels { target: Arc::clone(&self.target), kind, outcome })
        })
    }
}
