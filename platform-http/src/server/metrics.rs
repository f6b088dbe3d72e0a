//! What the server counts.

use std::sync::Arc;

use platform_core::{
    ErrorKind,
    context::wire::Field,
    telemetry::catalogue::{CounterSpec, Declared, GaugeSpec, HistogramSpec, Labels, Spec as _},
};

pub(super) static DURATION: HistogramSpec<DurationLabels> = HistogramSpec::new(
    "http_server_request_duration_seconds",
    "Time from a request's head to the end of its reply; to the head of a reply that streams",
);
pub(super) static ACTIVE: GaugeSpec<ActiveLabels> =
    GaugeSpec::new("http_server_active_requests", "Requests being served");
pub(super) static PANICS: CounterSpec<()> =
    CounterSpec::new("platform_server_panics", "Handlers that panicked; each was answered with 500");
pub(super) static DEGRADED: CounterSpec<DegradedLabels> =
    CounterSpec::new("platform_server_degraded_requests", "Replies that were made without a dependency");
pub(super) static REJECTED: CounterSpec<FieldLabels> = CounterSpec::new(
    "platform_context_rejected",
    "Malformed or forbidden fields that came with requests and were ignored",
);

/// This room's metrics.
pub(crate) fn declared() -> [Declared; 5] {
    [DURATION.declared(), ACTIVE.declared(), PANICS.declared(), DEGRADED.declared(), REJECTED.declared()]
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct DurationLabels {
    pub(super) method: &'static str,
    pub(super) route: Arc<str>,
    pub(super) scheme: &'static str,
    pub(super) status: u16,
    pub(super) reason: Option<ErrorKind>,
}

impl Labels for DurationLabels {
    const NAMES: &'static [&'static str] =
        &["http_request_method", "http_route", "http_response_status_code", "url_scheme", "error_type"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        let status = self.status.to_string();
        show(self.method);
        show(&self.route);
        show(&status);
        show(self.scheme);
        show(match self.reason {
            Some(reason) => reason.as_str(),
            // OpenTelemetry: a server error without a better word is named by its status.
            None if self.status >= 500 => &status,
            None => "",
        });
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ActiveLabels {
    pub(super) method: &'static str,
    pub(super) scheme: &'static str,
}

impl Labels for ActiveLabels {
    const NAMES: &'static [&'static str] = &["http_request_method", "url_scheme"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(self.method);
        show(self.scheme);
    }
}

/// A dependency's name: what the code of this service calls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct DegradedLabels(pub(super) Arc<str>);

impl Labels for DegradedLabels {
    const NAMES: &'static [&'static str] = &["target"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.0);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FieldLabels(pub(super) Field);

impl Labels for FieldLabels {
    const NAMES: &'static [&'static str] = &["field"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(self.0.as_str());
    }
}
