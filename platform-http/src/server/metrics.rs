//! What the server counts.

use std::sync::Arc;

use platform_core::{
    ErrorKind,
    context::wire::Field,
    telemetry::{
        Metrics,
        catalogue::{
            Board, CounterSpec, Declared, GaugeSpec, HistogramSpec, Labels, Runbook, Served, Signal,
            Spec as _, Unit, above, calls, quantile, rate, share, sum,
        },
    },
};

use super::durations::METHODS;

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

pub(super) static SLOW_POLLS: CounterSpec<RouteLabels> = CounterSpec::new(
    "platform_runtime_slow_polls",
    "Steps of handlers that held their thread for 10 ms or longer without giving others a turn",
);

/// `url_scheme`: without and with TLS.
pub(super) const SCHEMES: [&str; 2] = ["http", "https"];

/// Requests that the servers of this process have under way.
pub(crate) fn in_flight(metrics: &Metrics) -> u64 {
    let active = metrics.gauge(&ACTIVE);
    let each = METHODS.iter().flat_map(|method| SCHEMES.map(|scheme| ActiveLabels { method, scheme }));
    each.filter_map(|labels| active.find(&labels)).map(|gauge| gauge.value().max(0.0) as u64).sum()
}

/// This room's metrics.
pub(crate) fn declared() -> [Declared; 6] {
    [
        DURATION.declared(),
        ACTIVE.declared(),
        PANICS.declared(),
        DEGRADED.declared(),
        REJECTED.declared(),
        SLOW_POLLS.declared(),
    ]
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

/// A route's template, or a method of gRPC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RouteLabels(pub(super) Arc<str>);

impl Labels for RouteLabels {
    const NAMES: &'static [&'static str] = &["http_route"];

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

/// How a server's requests are judged: what its callers did wrong is not its failure.
pub(crate) fn served() -> Served {
    Served::over(&DURATION, STATUS, &FAILED)
}

/// What this room shows.
pub(crate) fn signals() -> Vec<Signal> {
    let requests = || calls(&DURATION);
    let by_route = || requests().by(&["http_route"]);
    vec![
        Signal::new("Requests in flight", sum(&ACTIVE).by(&["service_version"]), Unit::Count).golden(),
        Signal::new("HTTP requests by route", by_route(), Unit::PerSecond),
        Signal::new(
            "HTTP requests that failed, by route",
            share(by_route().beginning(STATUS, &FAILED), by_route()),
            Unit::Ratio,
        ),
        Signal::new("HTTP p99 by route", quantile(0.99, &DURATION).by(&["http_route"]), Unit::Seconds),
        Signal::new("HTTP requests by status", requests().by(&[STATUS]), Unit::PerSecond),
        Signal::new("Panics", rate(&PANICS).by(&["service_version"]), Unit::PerSecond)
            .ticket_when(above(0.0), PANICKED),
        Signal::new(
            "Requests turned away (429, 503)",
            share(requests().only(STATUS, &["429", "503"]), requests()).by(&["service_version"]),
            Unit::Ratio,
        )
        .on(Board::Overload),
        Signal::new(
            "Requests that ran out of time (504)",
            share(requests().only(STATUS, &["504"]), requests()).by(&["service_version"]),
            Unit::Ratio,
        )
        .on(Board::Overload),
        Signal::new("Degraded replies", rate(&DEGRADED).by(&["target"]), Unit::PerSecond).on(Board::Overload),
        Signal::new("Slow polls by route", rate(&SLOW_POLLS).by(&["http_route"]), Unit::PerSecond)
            .on(Board::Runtime),
        Signal::new("Malformed fields of callers", rate(&REJECTED).by(&["field"]), Unit::PerSecond)
            .on(Board::Runtime),
    ]
}

const STATUS: &str = "http_response_status_code";
/// What such a status begins with.
const FAILED: [&str; 1] = ["5"];

const PANICKED: Runbook = Runbook {
    name: "panics",
    means: "A handler panicked. The request was answered with 500, and all others went on.",
    look: &[
        "The log has a line \"a panic\" with its place, and the canonical line of the request has its route and trace.",
        "Is it one version? Then it is what was deployed last.",
    ],
    act: &["Undo the version that panics, or repair it. A panic is a bug, whatever the request was."],
};
