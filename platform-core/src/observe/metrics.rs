//! What clients report.

use super::labels::{AttemptLabels, CallLabels};
use crate::telemetry::catalogue::{
    Board, CounterSpec, HistogramSpec, Runbook, Signal, Unit, above, calls, quantile, rate, share,
};

/// What callers felt.
pub static CALL_DURATION: HistogramSpec<CallLabels> = HistogramSpec::new(
    "platform_client_call_duration_seconds",
    "Time that callers waited for a target, with every attempt, wait and refusal",
);

/// How often targets were really asked.
pub static ATTEMPTS: CounterSpec<AttemptLabels> =
    CounterSpec::new("platform_client_attempts", "Attempts to call a target, refused ones included");

/// What this room shows.
pub(crate) fn signals() -> Vec<Signal> {
    let made = || calls(&CALL_DURATION);
    let repeats = rate(&ATTEMPTS).only("kind", &["retry", "hedge", "requeue"]);
    vec![
        Signal::new("Calls", made().by(&["target"]), Unit::PerSecond).on(Board::Dependencies),
        Signal::new(
            "Calls that failed, after all repeats",
            share(made().except("outcome", &["ok", "caller", "abandoned"]), made()).by(&["target"]),
            Unit::Ratio,
        )
        .on(Board::Dependencies)
        .ticket_when(above(0.05).for_minutes(15), DEPENDENCY_FAILING),
        Signal::new("How long callers wait", quantile(0.99, &CALL_DURATION).by(&["target"]), Unit::Seconds)
            .named("p99")
            .and("p50", quantile(0.5, &CALL_DURATION).by(&["target"]))
            .on(Board::Dependencies),
        Signal::new("Attempts by kind", rate(&ATTEMPTS).by(&["target", "kind"]), Unit::PerSecond)
            .on(Board::Dependencies),
        Signal::new(
            "Extra work: repeats and hedges among all attempts",
            share(repeats, rate(&ATTEMPTS)).by(&["target"]),
            Unit::Ratio,
        )
        .on(Board::Dependencies),
        Signal::new("Attempts by outcome", rate(&ATTEMPTS).by(&["target", "outcome"]), Unit::PerSecond)
            .on(Board::Dependencies),
    ]
}

const DEPENDENCY_FAILING: Runbook = Runbook {
    name: "dependency-failing",
    means: "One call in twenty to a target still fails after all repeats. What users see of it depends on whether the \
            callers have something to answer without it.",
    look: &[
        "\"Attempts by outcome\": `server` and `timeout` are the target's, `unreachable` is the way to it, `local` is \
         our own guards.",
        "\"Degraded replies\" says whether users get an answer without the target.",
        "Is somebody injecting a fault on purpose? \"Injected faults\", and `/platform/faults` on the admin page.",
    ],
    act: &[
        "Ask the target's owner: the same times on its own service board.",
        "If only some of its instances fail, they should be ejected: `sick` in `/platform/targets`.",
    ],
};
