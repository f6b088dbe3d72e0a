//! What is counted about sources and their sets?

use std::sync::Arc;

use platform_core::telemetry::{
    Counter, GaugeFamily, Metrics,
    catalogue::{CounterSpec, GaugeSpec, Labels},
};
use tokio::time::Instant;

use crate::{endpoint::State, view, watch::Watch};

/// Endpoints that are believed in.
pub static ENDPOINTS: GaugeSpec<StateLabels> =
    GaugeSpec::new("platform_discovery_endpoints", "Endpoints of a target by state");

/// A set that nobody has confirmed for long is a registry that is down.
pub static AGE: GaugeSpec<TargetLabels> =
    GaugeSpec::new("platform_discovery_age_seconds", "Time since a target's set was known to be true");

/// Answers of the sources: `changed`, `unchanged`, `partial` (changed, and records made no sense), `suspect` (a loss
/// that is not believed yet), `error`.
pub static UPDATES: CounterSpec<UpdateLabels> =
    CounterSpec::new("platform_discovery_updates", "Answers of a target's source by result");

/// One series per target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetLabels {
    /// The target's name.
    pub target: Arc<str>,
}

/// One series per target and state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StateLabels {
    /// The target's name.
    pub target: Arc<str>,
    /// `ready`, `draining`, or, for those that are ready and not asked, `ejected` or `connecting`.
    pub state: &'static str,
}

/// One series per target and result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpdateLabels {
    /// The target's name.
    pub target: Arc<str>,
    /// What the source's answer brought.
    pub result: &'static str,
}

impl Labels for TargetLabels {
    const NAMES: &'static [&'static str] = &["target"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.target);
    }
}

impl Labels for StateLabels {
    const NAMES: &'static [&'static str] = &["target", "state"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.target);
        show(self.state);
    }
}

impl Labels for UpdateLabels {
    const NAMES: &'static [&'static str] = &["target", "result"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.target);
        show(self.result);
    }
}

/// One target's counters.
pub(crate) struct Meters {
    pub(crate) changed: Counter,
    pub(crate) unchanged: Counter,
    pub(crate) partial: Counter,
    pub(crate) suspect: Counter,
    pub(crate) failed: Counter,
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics, target: &Arc<str>) -> Self {
        let updates = metrics.counter(&UPDATES);
        let of = |result| updates.with(&UpdateLabels { target: Arc::clone(target), result });
        Meters {
            changed: of("changed"),
            unchanged: of("unchanged"),
            partial: of("partial"),
            suspect: of("suspect"),
            failed: of("error"),
        }
    }
}

/// The gauges of all targets, set when somebody reads them.
pub(crate) struct Gauges {
    endpoints: GaugeFamily<StateLabels>,
    age: GaugeFamily<TargetLabels>,
}

impl Gauges {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Gauges { endpoints: metrics.gauge(&ENDPOINTS), age: metrics.gauge(&AGE) }
    }

    pub(crate) fn refresh(&self, watch: &Watch, now: Instant) {
        let belief = watch.belief();
        let target = watch.target.name();
        // Each endpoint is in one state.
        let (ejected, connecting) = view::left_out(watch, now);
        let counts = [
            belief.set.count(State::Ready).saturating_sub(ejected + connecting),
            belief.set.count(State::Draining),
            ejected,
            connecting,
        ];
        for (state, count) in STATES.into_iter().zip(counts) {
            #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 endpoints")]
            let count = count as f64;
            self.endpoints.with(&StateLabels { target: Arc::clone(target), state }).set(count);
        }
        // Before the first answer the set is as old as the watch: a registry that was never reached must alert too.
        let age = belief.age(now).unwrap_or_else(|| now.saturating_duration_since(watch.begun));
        self.age.with(&TargetLabels { target: Arc::clone(target) }).set(age.as_secs_f64());
    }

    /// A target that is called no more is not stale.
    pub(crate) fn forget(&self, target: &Arc<str>) {
        for state in STATES {
            self.endpoints.forget(&StateLabels { target: Arc::clone(target), state });
        }
        self.age.forget(&TargetLabels { target: Arc::clone(target) });
    }
}

const STATES: [&str; 4] = [State::Ready.as_str(), State::Draining.as_str(), "ejected", "connecting"];
