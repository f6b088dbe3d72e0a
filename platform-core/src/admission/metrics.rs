//! What guards refuse, or would have.

use std::sync::Arc;

use super::breaker;
use crate::{
    config::Mode,
    telemetry::{
        Counter, Metrics,
        catalogue::{Board, CounterSpec, Labels, Runbook, Signal, Unit, above, max, rate},
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

/// What this room shows.
pub(crate) fn signals() -> Vec<Signal> {
    let refused = || rate(&CLIENT_REFUSALS).only("mode", &[Mode::Enforce.as_str()]);
    vec![
        Signal::new(
            "Breakers: 0 closed, 1 trying, 2 open",
            max(&breaker::STATE).by(&["target"]),
            Unit::Count,
        )
        .on(Board::Dependencies),
        // Not the state: that of a breaker whom nobody asks stays open, and harms nobody.
        Signal::new(
            "Refused by an open breaker",
            refused().only("guard", &["breaker"]).by(&["target"]),
            Unit::PerSecond,
        )
        .on(Board::Dependencies)
        .page_when(above(0.0).for_minutes(5), BREAKER_OPEN),
        Signal::new(
            "Changes of breakers",
            rate(&breaker::TRANSITIONS).by(&["target", "to"]),
            Unit::PerSecond,
        )
        .on(Board::Dependencies),
        Signal::new("Refused by our own guards", refused().by(&["guard", "target"]), Unit::PerSecond)
            .on(Board::Overload),
        Signal::new(
            "What guards that only observe would have refused",
            rate(&CLIENT_REFUSALS).only("mode", &[Mode::Observe.as_str()]).by(&["guard", "target"]),
            Unit::PerSecond,
        )
        .on(Board::Overload),
    ]
}

const BREAKER_OPEN: Runbook = Runbook {
    name: "breaker-open",
    means: "A target has failed so often that for minutes it is asked only now and then, and all other calls to it are \
            refused here. Requests that need it fail, or are answered without it.",
    look: &[
        "\"Attempts by outcome\" just before it opened: what did the target answer?",
        "Do all services that call the target see it? If only this one does, look at the way between them.",
        "Is somebody injecting a fault on purpose? `/platform/faults` on the admin page.",
    ],
    act: &[
        "Call the target's owner. The breaker closes by itself, gradually, when the target answers again.",
        "If the target is well and the breaker is wrong, hold it closed for a while: \
         `PUT /platform/breakers/TARGET` with `{\"state\": \"closed\", \"why\": …, \"for\": \"30m\"}`.",
    ],
};
