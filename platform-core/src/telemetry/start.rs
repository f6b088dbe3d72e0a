//! How telemetry starts and ends with its process.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt as _;

use super::{
    LogConfig, Logs, Metrics, Traces,
    catalogue::{CounterSpec, Labels},
    log::Output,
    trace,
};
use crate::{config::Config, error::Result, identity::Identity};

/// What a process shows of itself; cheap to clone.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// What is counted.
    pub metrics: Metrics,
    /// Where lines go.
    pub logs: Logs,
    /// Where spans go.
    pub traces: Traces,
}

/// The `[telemetry]` section.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Section {
    log: LogConfig,
    traces: trace::Settings,
}

impl Telemetry {
    /// Starts as the `[telemetry]` section says, with log lines on standard output, and makes this the place
    /// where the process's `tracing` events go. A second App in one process, which only tests have, leaves
    /// them to the first.
    ///
    /// # Errors
    /// A section that is refused, or a thread that could not be started.
    pub fn start(config: &Config, identity: &Identity) -> Result<Telemetry> {
        Telemetry::start_on(config, identity, Output::stdout())
    }

    /// The same, with log lines on `output`: what a test reads.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_on(config: &Config, identity: &Identity, output: Output) -> Result<Telemetry> {
        let section: Section = config.section("telemetry")?;
        let metrics = Metrics::new(identity);
        let logs = Logs::start(&section.log, identity, &metrics, output)?;
        let traces = Traces::start(&section.traces, identity)?;
        count_dropped(&metrics, &traces);
        let subscriber = tracing_subscriber::registry().with(logs.layer()).with(traces.layer());
        // An error says that there is a subscriber already, which keeps the events.
        let _ = tracing::subscriber::set_global_default(subscriber);
        Ok(Telemetry { metrics, logs, traces })
    }

    /// Writes and sends what is left, at most for `limit`.
    pub async fn flush(&self, limit: Duration) {
        if let Err(error) = self.traces.flush(limit).await {
            tracing::warn!(error = ?error, "traces were lost at the end");
        }
        let logs = self.logs.clone();
        // Waiting for the output blocks a thread; it must not be one that drives requests.
        let _ = tokio::task::spawn_blocking(move || logs.flush(limit)).await;
    }
}

/// Keeps `platform_telemetry_dropped_total` level with what the queue of spans has lost.
fn count_dropped(metrics: &Metrics, traces: &Traces) {
    let dropped = metrics.counter(&DROPPED).with(&Signal("traces"));
    let traces = traces.clone();
    metrics.on_scrape(move || dropped.inc_by(traces.dropped().saturating_sub(dropped.value())));
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Signal(&'static str);

impl Labels for Signal {
    const NAMES: &'static [&'static str] = &["signal"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(self.0);
    }
}

static DROPPED: CounterSpec<Signal> = CounterSpec::new(
    "platform_telemetry_dropped",
    "Spans that no collector took, because it was slow, gone, or refused them",
);
