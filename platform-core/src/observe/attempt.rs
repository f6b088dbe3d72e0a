//! Once per attempt: what came of it.

use std::sync::{Arc, OnceLock};

use super::{ATTEMPTS, AttemptKind, AttemptLabels, dropped};
use crate::{
    context::{Context, Deadline},
    error::Error,
    outcome::{Outcome, Verdict},
    telemetry::{Counter, CounterFamily, Metrics},
    tick::Tick,
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
    pub fn begin(&self, context: &Context, kind: AttemptKind) -> AttemptSeen<'_> {
        if let Some(notes) = context.notes() {
            notes.count_attempt();
        }
        AttemptSeen { attempts: self, kind, deadline: context.deadline(), reported: false }
    }

    fn count(&self, kind: AttemptKind, outcome: Outcome) -> &Counter {
        self.counts[kind as usize][outcome as usize].get_or_init(|| {
            self.family.with(&AttemptLabels { target: Arc::clone(&self.target), kind, outcome })
        })
    }
}

/// An attempt under way.
#[must_use = "dropping it reports the attempt as abandoned"]
pub struct AttemptSeen<'a> {
    attempts: &'a Attempts,
    kind: AttemptKind,
    deadline: Option<Deadline>,
    reported: bool,
}

impl AttemptSeen<'_> {
    /// It will end at `deadline` at the latest; one that is dropped after it has timed out.
    pub fn ends_at(&mut self, deadline: Option<Deadline>) {
        self.deadline = deadline;
    }

    /// It ended so.
    pub fn report(mut self, verdict: &Verdict) {
        self.put(verdict.outcome);
    }

    /// It was not made, for this reason.
    pub fn refused(mut self, error: Error) -> Error {
        self.put(error.outcome());
        error
    }

    fn put(&mut self, outcome: Outcome) {
        self.reported = true;
        self.attempts.count(self.kind, outcome).inc();
    }
}

impl Drop for AttemptSeen<'_> {
    fn drop(&mut self) {
        if !self.reported {
            self.put(dropped(self.deadline, Tick::now()));
        }
    }
}
