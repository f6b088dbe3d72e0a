//! Once per call: what the caller felt.

use std::sync::{Arc, OnceLock};

use super::{CALL_DURATION, CallLabels};
use crate::{
    context::TraceId,
    outcome::Outcome,
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

    /// A call that began at `since` ended at `at`; `trace` is that of a sampled request. Once for each, also for one
    /// that nobody waited for.
    #[inline]
    pub fn end(&self, outcome: Outcome, since: Tick, at: Tick, trace: Option<TraceId>) {
        self.duration(outcome).observe_nanos(at.nanos_since(since), trace);
    }

    #[inline]
    fn duration(&self, outcome: Outcome) -> &Histogram {
        self.durations[outcome as usize].get().unwrap_or_else(|| self.resolve(outcome))
    }

    #[cold]
    fn resolve(&self, outcome: Outcome) -> &Histogram {
        self.durations[outcome as usize]
            .get_or_init(|| self.family.with(&CallLabels { target: Arc::clone(&self.target), outcome }))
    }
}
