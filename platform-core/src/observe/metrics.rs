//! What clients report.

use super::labels::{AttemptLabels, CallLabels};
use crate::telemetry::catalogue::{CounterSpec, HistogramSpec};

/// What callers felt.
pub static CALL_DURATION: HistogramSpec<CallLabels> = HistogramSpec::new(
    "platform_client_call_duration_seconds",
    "Time that callers waited for a target, with every attempt, wait and refusal",
);

/// How often targets were really asked.
pub static ATTEMPTS: CounterSpec<AttemptLabels> =
    CounterSpec::new("platform_client_attempts", "Attempts to call a target, refused ones included");
