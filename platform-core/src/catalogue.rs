//! What does this crate measure and show?

use crate::{
    admission, app, blocking, fault, observe, stack, telemetry,
    telemetry::catalogue::{Catalogue, Spec as _},
};

/// The metrics and signals of this crate, a line per room.
pub fn catalogue() -> Catalogue {
    Catalogue::default()
        .room("telemetry", telemetry::declared(), telemetry::signals())
        .room(
            "observe",
            vec![observe::CALL_DURATION.declared(), observe::ATTEMPTS.declared()],
            observe::signals(),
        )
        .room("fault", vec![fault::metrics::INJECTED.declared()], fault::metrics::signals())
        .room(
            "admission",
            vec![
                admission::metrics::CLIENT_REFUSALS.declared(),
                admission::breaker::STATE.declared(),
                admission::breaker::TRANSITIONS.declared(),
            ],
            admission::metrics::signals(),
        )
        .room(
            "stack",
            [vec![stack::BUDGET.declared()], stack::declared()].concat(),
            [stack::signals(), stack::server_signals()].concat(),
        )
        .room("blocking", blocking::declared(), blocking::signals())
        .room("app", vec![app::CHANGES.declared()], app::signals())
}
