//! What is seen?
//!
//! Metrics, logs and traces of one process, each with its identity, none able to stop the work: metrics wait
//! to be scraped, lines and spans wait in bounded queues for threads of their own, and what does not fit is
//! dropped and counted.
//!
//! # Signals
//! `platform_log_bytes_total`, `platform_log_lines_dropped_total`, `platform_telemetry_dropped_total`,
//! `platform_service_info`, `process_*`.

pub mod canonical;
pub mod catalogue;
mod family;
mod histogram;
pub mod log;
mod metrics;
mod plain;
mod process;
mod signals;
pub mod trace;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt as _;

use catalogue::{CounterSpec, Declared, Labels, Spec as _};

use crate::{
    config::{Refusal, Rules},
    error::{Error, ErrorKind, Result},
    identity::Identity,
};

pub use canonical::{Line, Operation};
pub use family::{Counter, CounterFamily, Gauge, GaugeFamily};
pub use histogram::{Histogram, HistogramFamily, LabelPair};
pub use log::Logs;
pub use metrics::{Metrics, OPENMETRICS, PLAIN};
pub use process::{Process, Usage};
pub(crate) use signals::signals;
pub use trace::Traces;

/// `[telemetry]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What is written, and how.
    pub log: log::Settings,
    /// Which traces are kept, and where they go.
    pub traces: trace::Settings,
}

impl Rules for Settings {
    fn refusals(&self) -> Vec<Refusal> {
        let log = self.log.refusals().into_iter().map(|refusal| refusal.under("log"));
        log.chain(self.traces.refusal().map(|refusal| refusal.under("traces"))).collect()
    }
}

/// The three of one process. Clones are the same.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// What is counted.
    pub metrics: Metrics,
    /// What is said.
    pub logs: Logs,
    /// What single requests did.
    pub traces: Traces,
}

impl Telemetry {
    /// Starts all three; events and spans of `tracing` go here, unless another Telemetry of this process was
    /// first.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for settings that cannot be, [`ErrorKind::Start`] if a thread cannot be started.
    pub fn new(settings: &Settings, identity: &Identity, output: log::Output) -> Result<Telemetry> {
        let metrics = Metrics::new(identity);
        let logs = Logs::start(&settings.log, identity, &metrics, output)?;
        let traces = Traces::start(&settings.traces, identity)?;
        let subscriber = tracing_subscriber::registry().with(logs.layer()).with(traces.layer());
        // A process has one place for its events: the second App of a test leaves it to the first.
        let _ = tracing::subscriber::set_global_default(subscriber);
        count_lost_spans(&metrics, &traces);
        Ok(Telemetry { metrics, logs, traces })
    }

    /// Hands over what still waits, within `limit` in all: spans first, because losing them is logged.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] with what was left behind.
    pub async fn flush(&self, limit: Duration) -> Result<()> {
        let began = tokio::time::Instant::now();
        // Half for the collector, so that one that hangs leaves time for the lines.
        let spans = self.traces.flush(limit / 2).await;
        let left = limit.saturating_sub(began.elapsed());
        let logs = self.logs.clone();
        // A thread of its own: the output may block until the limit.
        let written = tokio::task::spawn_blocking(move || logs.flush(left)).await;
        if !matches!(written, Ok(true)) {
            return Err(Error::new(
                ErrorKind::Timeout,
                "the log's output did not take the last lines in time",
            ));
        }
        spans
    }
}

/// The traces keep the count; it is read when somebody scrapes.
fn count_lost_spans(metrics: &Metrics, traces: &Traces) {
    let counter = metrics.counter(&DROPPED).with(&SignalLabels::Traces);
    let (traces, told) = (traces.clone(), AtomicU64::new(0));
    metrics.on_scrape(move || {
        let lost = traces.dropped();
        // Two scrapes at once must not both tell of the same spans.
        counter.inc_by(lost.saturating_sub(told.fetch_max(lost, Relaxed)));
    });
}

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SignalLabels {
    Traces,
}

impl Labels for SignalLabels {
    const NAMES: &'static [&'static str] = &["signal"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(match self {
            SignalLabels::Traces => "traces",
        });
    }
}

/// This room's metrics.
pub(crate) fn declared() -> Vec<Declared> {
    let ours = [
        metrics::SERVICE_INFO,
        log::LOG_BYTES.declared(),
        log::LOG_LINES_DROPPED.declared(),
        log::LOG_BUDGET.declared(),
        DROPPED.declared(),
    ];
    ours.into_iter().chain(process::declared()).collect()
}

static DROPPED: CounterSpec<SignalLabels> =
    CounterSpec::new("platform_telemetry_dropped", "Spans lost on the way to the collector");

#[cfg(all(test, feature = "otlp"))]
mod tests {
    use std::{thread, time::SystemTime};

    use super::*;
    use crate::context::TraceParent;

    fn span() -> trace::Span {
        trace::Span {
            trace: TraceParent::random().sampled(true),
            parent: None,
            kind: trace::Kind::Internal,
            name: "step".into(),
            start: SystemTime::now(),
            took: Duration::ZERO,
            status: trace::Status::Unset,
            attributes: Vec::new(),
        }
    }

    #[test]
    fn lost_spans_are_counted_once_however_many_scrape() {
        let identity = Identity::default();
        let settings = trace::Settings { endpoint: "http://127.0.0.1:1".to_owned(), ..Default::default() };
        let (metrics, traces) = (Metrics::new(&identity), Traces::start(&settings, &identity).unwrap());
        count_lost_spans(&metrics, &traces);
        let counter = metrics.counter(&DROPPED).with(&SignalLabels::Traces);
        let scrapes = || {
            for _ in 0..1000 {
                (0..5).for_each(|_| traces.end(span()));
                metrics.encode();
                let counted = counter.value();
                assert!(counted <= traces.dropped(), "{counted} of {}", traces.dropped());
            }
        };
        thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(scrapes))));
        metrics.encode();
        assert!(counter.value() > 0);
    }
}
