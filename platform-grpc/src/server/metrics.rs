//! What the server counts of calls.

use std::sync::Arc;

use platform_core::{
    ErrorKind,
    telemetry::catalogue::{HistogramSpec, Labels, Served, Signal, Unit, calls, quantile, share},
};
use tonic::Code;

use super::dialect::error_type;
use crate::classify::name;

pub(crate) static DURATION: HistogramSpec<CallLabels> = HistogramSpec::new(
    "rpc_server_call_duration_seconds",
    "Time from a call's head to its status, streams to their end",
);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallLabels {
    pub(crate) method: Arc<str>,
    pub(crate) code: Code,
    pub(crate) reason: Option<ErrorKind>,
}

impl Labels for CallLabels {
    const NAMES: &'static [&'static str] =
        &["rpc_system_name", "rpc_method", "rpc_response_status_code", "error_type"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(SYSTEM);
        show(&self.method);
        show(name(self.code));
        show(error_type(self.reason, self.code).unwrap_or_default());
    }
}

/// OpenTelemetry's name.
pub(crate) const SYSTEM: &str = "grpc";

/// How a server's calls are judged.
pub(crate) fn served() -> Served {
    Served::over(&DURATION, STATUS, &FAILED)
}

/// What this room shows.
pub(crate) fn signals() -> Vec<Signal> {
    let made = || calls(&DURATION).by(&["rpc_method"]);
    vec![
        Signal::new("gRPC calls by method", made(), Unit::PerSecond),
        Signal::new(
            "gRPC calls that failed, by method",
            share(made().beginning(STATUS, &FAILED), made()),
            Unit::Ratio,
        ),
        Signal::new("gRPC p99 by method", quantile(0.99, &DURATION).by(&["rpc_method"]), Unit::Seconds),
    ]
}

const STATUS: &str = "rpc_response_status_code";
/// The codes by which a server is to blame, as OpenTelemetry has it but for UNIMPLEMENTED, which says that somebody
/// asked for what was never there.
const FAILED: [&str; 5] = ["DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNKNOWN"];
