//! Once per call: what the caller felt.

use std::sync::{Arc, OnceLock};

use super::{CALL_DURATION, CallLabels, dropped};
use crate::{
    context::{Context, Deadline, TraceId},
    outcome::{Outcome, Verdict},
    telemetry::{Histogram, HistogramFamily, Metrics},
    tick::Tick,
};

/// The calls of one target.
pub struct Calls {
    target: Arc<str>,
    family: HistogramFamily<CallLabels>,
    /// One per outcome, resolved when it is first seen: most targets never see most outcomes, and an empty
    /// histogram is seventeen lines of every scrape.
    durations: [OnceLock<Histogram>; Outcome::ALL.len()],
}

impl Calls {
    /// The calls of `target`.
    pub fn new(target: &Arc<str>, metrics: &Metrics) -> Self {
        let family = metrics.histogram(&CALL_DURATION);
        Calls { target: Arc::clone(target), family, durations: Default::default() }
    }

    /// A call begins with `context`, at its clock reading.
    pub fn begin(&self, context: &Context) -> CallSeen<'_> {
        CallSeen {
            calls: self,
            since: context.now(),
            deadline: context.deadline(),
            trace: context.trace().is_sampled().then(|| context.trace().trace_id()),
            reported: false,
        }
    }

    fn duration(&self, outcome: Outcome) -> &Histogram {
        self.durations[outcome as usize]
            .get_or_init(|| self.family.with(&CallLabels { target: Arc::clone(&self.target), outcome }))
    }
}

/// A call under way.
#[must_use = "dropping it reports the call as abandoned"]
pub struct CallSeen<'a> {
    calls: &'a Calls,
    since: Tick,
    deadline: Option<Deadline>,
    trace: Option<TraceId>,
    reported: bool,
}

impl CallSeen<'_> {
    /// It will end at `deadline` at the latest; one that is dropped after it has timed out.
    pub fn ends_at(&mut self, deadline: Option<Deadline>) {
        self.deadline = deadline;
    }

    /// It ended so.
    pub fn report(mut self, verdict: &Verdict) {
        self.put(verdict.outcome, verdict.at);
    }

    fn put(&mut self, outcome: Outcome, at: Tick) {
        self.reported = true;
        self.calls.duration(outcome).observe_nanos(at.nanos_since(self.since), self.trace);
    }
}

impl Drop for CallSeen<'_> {
    fn drop(&mut self) {
        if !self.reported {
            let now = Tick::now();
            self.put(dropped(self.deadline, now), now);
        }
    }
}
