//! What a breaker shows.

use std::sync::Arc;

use crate::telemetry::{
    Counter, Gauge, Metrics,
    catalogue::{CounterSpec, GaugeSpec, Labels},
};

/// Where it stands. Of a client's target it is read anew for each scrape; a breaker that was taken alone shows its last
/// change, because it changes only when a call comes or ends.
pub static STATE: GaugeSpec<StateLabels> = GaugeSpec::new(
    "platform_breaker_state",
    "Is a target asked: 0 yes (closed), 1 again a little (half-open or ramp), 2 no (open)",
);

/// How often it came to stand so.
pub static TRANSITIONS: CounterSpec<TransitionLabels> =
    CounterSpec::new("platform_breaker_transitions", "Changes of a breaker's state");

/// Labels of the state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StateLabels {
    /// What is called.
    pub target: Arc<str>,
}

/// Labels of a change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransitionLabels {
    /// What is called.
    pub target: Arc<str>,
    /// Into which state.
    pub to: To,
}

/// Into which state a breaker changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum To {
    /// Every call goes on.
    Closed,
    /// One call at a time goes on.
    HalfOpen,
    /// No call goes on.
    Open,
    /// A growing share goes on.
    Ramp,
}

impl To {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            To::Closed => "closed",
            To::HalfOpen => "half_open",
            To::Open => "open",
            To::Ramp => "ramp",
        }
    }
}

impl Labels for StateLabels {
    const NAMES: &'static [&'static str] = &["target"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.target);
    }
}

impl Labels for TransitionLabels {
    const NAMES: &'static [&'static str] = &["target", "to"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.target);
        show(self.to.label());
    }
}

/// The series of one breaker. The default is in no registry.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    /// 0, 1 or 2.
    pub state: Gauge,
    /// Changes to closed.
    pub closed: Counter,
    /// Changes to half-open.
    pub half_open: Counter,
    /// Changes to open.
    pub open: Counter,
    /// Changes to the ramp.
    pub ramp: Counter,
}

impl Meters {
    /// Those of the breaker before `target`, all from 0 on.
    pub fn of(target: &Arc<str>, metrics: &Metrics) -> Self {
        let transitions = metrics.counter(&TRANSITIONS);
        let to = |to| transitions.with(&TransitionLabels { target: Arc::clone(target), to });
        Meters {
            state: metrics.gauge(&STATE).with(&StateLabels { target: Arc::clone(target) }),
            closed: to(To::Closed),
            half_open: to(To::HalfOpen),
            open: to(To::Open),
            ramp: to(To::Ramp),
        }
    }

    pub(super) fn transition(&self, to: To) {
        let counter = match to {
            To::Closed => &self.closed,
            To::HalfOpen => &self.half_open,
            To::Open => &self.open,
            To::Ramp => &self.ramp,
        };
        counter.inc();
    }
}
