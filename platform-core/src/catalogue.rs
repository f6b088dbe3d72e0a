//! What does this crate measure and show?

use crate::{
    admission, app, fault, observe, stack, telemetry,
    telemetry::catalogue::{Catalogue, Spec as _},
};

/// The metrics and signals of this crate, a line per room.
pub fn catalogue() -> Catalogue {
    Catalogue::default()
        .room("telemetry", telemetry::declared(), telemetry::signals())
        .room("observe", vec![observe::CALL_DURATION.declared(), observe::ATTEMPTS.declared()], vec![])
        .room("fault", vec![fault::metrics::INJECTED.declared()], vec![])
        .room(
            "admission",
            vec![
                admission::metrics::CLIENT_REFUSALS.declared(),
                admission::breaker::STATE.declared(),
                admission::breaker::TRANSITIONS.declared(),
            ],
            vec![],
        )
        .room("stack", vec![stack::BUDGET.declared()], vec![])
        .room("app", vec![app::CHANGES.declared()], vec![])
}
