//! What do logs cost, and what was lost?

use crate::telemetry::{
    Counter, Metrics,
    catalogue::{CounterSpec, Labels},
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

/// One handle per level.
pub(super) struct Counts {
    bytes: [Counter; LEVELS],
    dropped: [Counter; LEVELS],
}

impl Counts {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let of = |spec| {
            let family = metrics.counter(spec);
            LEVEL_ORDER.map(|level| family.with(&LevelLabels(level)))
        };
        Counts { bytes: of(&LOG_BYTES), dropped: of(&LOG_LINES_DROPPED) }
    }

    pub(super) fn bytes(&self, level: tracing::Level, bytes: usize) {
        self.bytes[index(level)].inc_by(bytes as u64);
    }

    pub(super) fn dropped(&self, level: tracing::Level, lines: u64) {
        self.dropped[index(level)].inc_by(lines);
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
pub static LOG_LINES_DROPPED: CounterSpec<LevelLabels> =
    CounterSpec::new("platform_log_lines_dropped", "Log lines lost because the output did not take them");
