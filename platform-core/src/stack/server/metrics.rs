//! What a server's guards tell.

use std::sync::Arc;

use super::Guarding;
use crate::{
    admission::shed::Source,
    config::Mode,
    context::Criticality,
    telemetry::{
        Counter, Gauge, Histogram, Metrics,
        catalogue::{CounterSpec, Declared, GaugeSpec, HistogramSpec, Labels, Spec as _},
    },
};

pub(super) static REFUSALS: CounterSpec<RefusalLabels> = CounterSpec::new(
    "platform_server_refusals",
    "Requests that a guard of the server refused, or would have in mode observe",
);
pub(super) static LIMIT: GaugeSpec<ClassLabels> = GaugeSpec::new(
    "platform_server_concurrency_limit",
    "Requests that the server believes it can bear at a time",
);
pub(super) static IN_FLIGHT: GaugeSpec<ClassLabels> = GaugeSpec::new(
    "platform_server_in_flight",
    "Requests that hold a slot; of class stream, replies that are still being made",
);
pub(super) static PRESSURE: GaugeSpec<SourceLabels> = GaugeSpec::new(
    "platform_server_pressure_ratio",
    "Share of the work that has to go because this is short",
);
pub(super) static QUEUE_WAIT: HistogramSpec<ClassLabels> = HistogramSpec::new(
    "platform_server_queue_wait_seconds",
    "Time that requests waited for a slot, of those that had to wait",
);
pub(super) static WASTED: CounterSpec<ClassLabels> = CounterSpec::new(
    "platform_server_wasted_requests",
    "Requests that held a slot until their caller's deadline had passed",
);
pub(super) static DELAY: HistogramSpec<()> = HistogramSpec::new(
    "platform_runtime_scheduling_delay_seconds",
    "How late a task runs that is ready, looked at twenty times a second",
);

/// This room's metrics.
pub(crate) fn declared() -> Vec<Declared> {
    vec![
        REFUSALS.declared(),
        LIMIT.declared(),
        IN_FLIGHT.declared(),
        PRESSURE.declared(),
        QUEUE_WAIT.declared(),
        WASTED.declared(),
        DELAY.declared(),
    ]
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RefusalLabels {
    class: Arc<str>,
    guard: Guarding,
    mode: Mode,
    criticality: Criticality,
}

impl Labels for RefusalLabels {
    const NAMES: &'static [&'static str] = &["class", "guard", "mode", "criticality"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.class);
        show(self.guard.as_str());
        show(self.mode.as_str());
        show(self.criticality.as_str());
    }
}

/// The server's classes are those of its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClassLabels(pub(super) Arc<str>);

impl Labels for ClassLabels {
    const NAMES: &'static [&'static str] = &["class"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.0);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SourceLabels(pub(super) Source);

impl Labels for SourceLabels {
    const NAMES: &'static [&'static str] = &["source"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(self.0.as_str());
    }
}

/// What one class of requests tells.
pub(super) struct Meters {
    refusals: [[Counter; Criticality::ALL.len()]; 2 * Guarding::ALL.len()],
    pub(super) limit: Gauge,
    pub(super) in_flight: Gauge,
    pub(super) queue_wait: Histogram,
    pub(super) wasted: Counter,
}

impl Meters {
    /// All from 0 on: a counter that was never 0 hides its first increase from every rate.
    pub(super) fn of(class: &Arc<str>, metrics: &Metrics) -> Self {
        let refusals = metrics.counter(&REFUSALS);
        let label = ClassLabels(Arc::clone(class));
        let of = |number: usize| {
            let (guard, mode) = (Guarding::ALL[number / 2], MODES[number % 2]);
            Criticality::ALL.map(|criticality| {
                refusals.with(&RefusalLabels { class: Arc::clone(class), guard, mode, criticality })
            })
        };
        Meters {
            refusals: std::array::from_fn(of),
            limit: metrics.gauge(&LIMIT).with(&label),
            in_flight: metrics.gauge(&IN_FLIGHT).with(&label),
            queue_wait: metrics.histogram(&QUEUE_WAIT).with(&label),
            wasted: metrics.counter(&WASTED).with(&label),
        }
    }

    pub(super) fn refused(&self, guard: Guarding, enforces: bool, criticality: Criticality) {
        self.refusals[guard as usize * 2 + usize::from(!enforces)][criticality as usize].inc();
    }
}

const MODES: [Mode; 2] = [Mode::Enforce, Mode::Observe];
