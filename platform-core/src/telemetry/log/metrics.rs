//! What do logs cost, and what was lost?

use crate::telemetry::{
    Counter, Metrics,
    catalogue::{CounterSpec, GaugeSpec, Labels},
    log::queue::{LEVEL_ORDER, LEVELS, index},
};

/// Whose lines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LevelLabels(tracing::Level);

impl Labels for LevelLabels {
    const NAMES: &'static [&'static str] = &["level"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(word(self.0));
    }
}

/// Whose lines, and what kept them from being said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DroppedLabels {
    level: tracing::Level,
    by: By,
}

impl Labels for DroppedLabels {
    const NAMES: &'static [&'static str] = &["level", "reason"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(word(self.level));
        show(self.by.as_str());
    }
}

/// What keeps a line from being said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum By {
    /// Its place in the code said too many.
    Sampler,
    /// The process did.
    Budget,
    /// Nobody took it.
    Output,
}

impl By {
    const ALL: [By; 3] = [By::Sampler, By::Budget, By::Output];

    const fn as_str(self) -> &'static str {
        match self {
            By::Sampler => "sampler",
            By::Budget => "budget",
            By::Output => OUTPUT,
        }
    }
}

/// One handle per level.
pub(super) struct Counts {
    bytes: [Counter; LEVELS],
    dropped: [[Counter; LEVELS]; By::ALL.len()],
}

impl Counts {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let (bytes, dropped) = (metrics.counter(&LOG_BYTES), metrics.counter(&LOG_LINES_DROPPED));
        Counts {
            bytes: LEVEL_ORDER.map(|level| bytes.with(&LevelLabels(level))),
            dropped: By::ALL.map(|by| LEVEL_ORDER.map(|level| dropped.with(&DroppedLabels { level, by }))),
        }
    }

    pub(super) fn bytes(&self, level: tracing::Level, bytes: usize) {
        self.bytes[index(level)].inc_by(bytes as u64);
    }

    pub(super) fn dropped(&self, level: tracing::Level, by: By, lines: u64) {
        self.dropped[by as usize][index(level)].inc_by(lines);
    }
}

/// The word in logs and labels.
pub(crate) const fn word(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warn",
        tracing::Level::INFO => "info",
        tracing::Level::DEBUG => "debug",
        tracing::Level::TRACE => "trace",
    }
}

/// The bill.
pub static LOG_BYTES: CounterSpec<LevelLabels> =
    CounterSpec::new("platform_log_bytes", "Bytes of log lines accepted for writing");
/// What is missing.
pub static LOG_LINES_DROPPED: CounterSpec<DroppedLabels> = CounterSpec::new(
    "platform_log_lines_dropped",
    "Log lines not written: by the sampler, by the budget, or because the output did not take them",
);
/// What the bill may be.
pub static LOG_BUDGET: GaugeSpec<()> =
    GaugeSpec::new("platform_log_budget_bytes", "Bytes of log lines that this process may write a second");
/// The value of `reason` that is nobody's decision.
pub(crate) const OUTPUT: &str = "output";
