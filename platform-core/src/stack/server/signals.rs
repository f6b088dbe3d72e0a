//! What should a person see of a server's guards?

use super::metrics::{DELAY, IN_FLIGHT, LIMIT, PRESSURE, QUEUE_WAIT, REFUSALS, WASTED};
use crate::telemetry::catalogue::{Board, Signal, Unit, max, quantile, rate, sum};

/// What this room shows.
pub(crate) fn signals() -> Vec<Signal> {
    let refused = |mode| rate(&REFUSALS).only("mode", &[mode]).by(&["guard"]);
    vec![
        Signal::new("Refused by the server's guards", refused("enforce"), Unit::PerSecond)
            .on(Board::Overload),
        Signal::new("What the server's guards would have refused", refused("observe"), Unit::PerSecond)
            .on(Board::Overload),
        Signal::new(
            "Refused by importance",
            rate(&REFUSALS).only("mode", &["enforce"]).by(&["criticality"]),
            Unit::PerSecond,
        )
        .on(Board::Overload),
        Signal::new("Requests under way, and how many may be", sum(&IN_FLIGHT).by(&["class"]), Unit::Count)
            .named("under way")
            .and("limit", sum(&LIMIT).by(&["class"]))
            .on(Board::Overload),
        Signal::new("Wait in the server's line", quantile(0.99, &QUEUE_WAIT).by(&["class"]), Unit::Seconds)
            .named("p99")
            .and("p50", quantile(0.5, &QUEUE_WAIT).by(&["class"]))
            .on(Board::Overload),
        Signal::new("Share that has to go under pressure", max(&PRESSURE).by(&["source"]), Unit::Ratio)
            .on(Board::Overload),
        Signal::new("Served for nobody", rate(&WASTED).by(&["class"]), Unit::PerSecond).on(Board::Overload),
        Signal::new("How long a task waits for a thread", quantile(0.99, &DELAY), Unit::Seconds)
            .named("p99")
            .and("p50", quantile(0.5, &DELAY))
            .on(Board::Runtime),
    ]
}
