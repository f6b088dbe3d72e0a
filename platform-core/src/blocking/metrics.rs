//! What is told of threads that may be held.

use std::sync::Arc;

use crate::telemetry::{
    Counter, Gauge, Histogram, Metrics,
    catalogue::{
        Board, CounterSpec, Declared, GaugeSpec, HistogramSpec, Labels, Signal, Spec as _, Unit, max,
        quantile, rate,
    },
};

static THREADS: GaugeSpec<PoolLabels> =
    GaugeSpec::new("platform_blocking_threads", "Threads that blocking work of this kind holds");
static QUEUE: GaugeSpec<PoolLabels> =
    GaugeSpec::new("platform_blocking_queue", "Pieces of blocking work that wait for a thread");
static WAIT: HistogramSpec<PoolLabels> = HistogramSpec::new(
    "platform_blocking_wait_seconds",
    "Time that blocking work waited for a thread, of what had to wait",
);
static REFUSALS: CounterSpec<PoolLabels> = CounterSpec::new(
    "platform_blocking_refusals",
    "Pieces of blocking work for which no thread was free in time",
);

/// This room's metrics.
pub(crate) fn declared() -> Vec<Declared> {
    vec![THREADS.declared(), QUEUE.declared(), WAIT.declared(), REFUSALS.declared()]
}

/// The pools are those that the code names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolLabels(Arc<str>);

impl Labels for PoolLabels {
    const NAMES: &'static [&'static str] = &["pool"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.0);
    }
}

/// What one of them tells.
pub(super) struct Meters {
    pub(super) threads: Gauge,
    pub(super) queue: Gauge,
    pub(super) wait: Histogram,
    pub(super) refusals: Counter,
}

impl Meters {
    pub(super) fn of(name: &Arc<str>, metrics: &Metrics) -> Self {
        let label = PoolLabels(Arc::clone(name));
        Meters {
            threads: metrics.gauge(&THREADS).with(&label),
            queue: metrics.gauge(&QUEUE).with(&label),
            wait: metrics.histogram(&WAIT).with(&label),
            refusals: metrics.counter(&REFUSALS).with(&label),
        }
    }
}

/// What this room shows.
pub(crate) fn signals() -> Vec<Signal> {
    vec![
        Signal::new("Threads that blocking work holds", max(&THREADS).by(&["pool"]), Unit::Count)
            .on(Board::Runtime),
        Signal::new("p99 of waiting for such a thread", quantile(0.99, &WAIT).by(&["pool"]), Unit::Seconds)
            .on(Board::Runtime),
        Signal::new("Blocking work that got no thread", rate(&REFUSALS).by(&["pool"]), Unit::PerSecond)
            .on(Board::Overload),
    ]
}
