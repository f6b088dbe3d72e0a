//! What guards refuse, or would have.

use std::sync::Arc;

use crate::{
    config::Mode,
    telemetry::{
        Counter, Metrics,
        catalogue::{CounterSpec, Labels},
    },
};

/// Calls that guards of a client refused. `mode="observe"` is what they would have refused.
pub static CLIENT_REFUSALS: CounterSpec<ClientRefusalLabels> =
    CounterSpec::new("platform_client_refusals", "Calls that a guard refused, or would have in mode observe");

/// Labels of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientRefusalLabels {
    /// What was called.
    pub target: Arc<str>,
    /// Which guard.
    pub guard: &'static str,
    /// Did it refuse, or would it have?
    pub mode: Mode,
}

impl Labels for ClientRefusalLabels {
    const NAMES: &'static [&'static str] = &["target", "guard", "mode"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.target);
        show(self.guard);
        show(self.mode.as_str());
    }
}

/// What one guard refused, and what it would have. The default counts for nobody else's eyes.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    /// In mode enforce.
    pub refused: Counter,
    /// In mode observe.
    pub would_have: Counter,
}

impl Refusals {
    /// The refusals of `guard` in the clients of `target`, from 0 on: a counter that was never 0 hides its first
    /// increase from every rate.
    pub fn of_client(target: &Arc<str>, guard: &'static str, metrics: &Metrics) -> Self {
        let family = metrics.counter(&CLIENT_REFUSALS);
        let of = |mode| family.with(&ClientRefusalLabels { target: Arc::clone(target), guard, mode });
        Refusals { refused: of(Mode::Enforce), would_have: of(Mode::Observe) }
    }
}
