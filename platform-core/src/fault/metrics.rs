//! What was injected, and what was not because too much was active.

use std::sync::Arc;

use crate::telemetry::{
    Counter, CounterFamily,
    catalogue::{Board, CounterSpec, Labels, Signal, Unit, rate},
};

/// Faults that were injected on purpose; `kind="overflow"` was not, because too many were active.
pub static INJECTED: CounterSpec<InjectedLabels> = CounterSpec::new(
    "platform_faults_injected",
    "Faults that were injected on purpose, and those that were not because too many were active",
);

/// Labels of an injection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InjectedLabels {
    /// The rule's name; `consent` for what a request asked for itself, whose text is never a label.
    pub fault: Arc<str>,
    /// What was done.
    pub kind: InjectedKind,
}

/// What was done to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InjectedKind {
    /// It was aborted.
    Abort,
    /// It was delayed.
    Delay,
    /// Nothing: too much was active.
    Overflow,
}

impl InjectedKind {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            InjectedKind::Abort => "abort",
            InjectedKind::Delay => "delay",
            InjectedKind::Overflow => "overflow",
        }
    }
}

impl Labels for InjectedLabels {
    const NAMES: &'static [&'static str] = &["fault", "kind"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.fault);
        show(self.kind.as_str());
    }
}

/// The counters of one fault.
#[derive(Clone, Debug)]
pub(super) struct Injected {
    pub(super) abort: Counter,
    pub(super) delay: Counter,
    pub(super) overflow: Counter,
}

impl Injected {
    /// From 0 on: a counter that was never 0 hides its first increase from every rate.
    pub(super) fn of(fault: &Arc<str>, family: &CounterFamily<InjectedLabels>) -> Self {
        let of = |kind| family.with(&InjectedLabels { fault: Arc::clone(fault), kind });
        Injected {
            abort: of(InjectedKind::Abort),
            delay: of(InjectedKind::Delay),
            overflow: of(InjectedKind::Overflow),
        }
    }
}

/// What this room shows.
pub(crate) fn signals() -> Vec<Signal> {
    vec![
        Signal::new("Injected faults", rate(&INJECTED).by(&["fault", "kind"]), Unit::PerSecond)
            .on(Board::Dependencies),
    ]
}
