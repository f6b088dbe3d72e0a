//! What clients measure per attempt.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{Method, StatusCode};
use platform_core::{
    ErrorKind,
    context::TraceId,
    telemetry::{
        Histogram, HistogramFamily, Metrics,
        catalogue::{Board, HistogramSpec, Labels, Signal, Unit, calls, quantile},
    },
};

use super::dialect;

/// Each attempt, from its begin to the head of the reply.
pub static DURATION: HistogramSpec<ClientLabels> = HistogramSpec::new(
    "http_client_request_duration_seconds",
    "Time from the begin of an attempt to the head of its reply",
);

/// Labels of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientLabels {
    /// `GET` and its like; `_OTHER` for a method of one's own.
    pub method: &'static str,
    /// What was called.
    pub target: Arc<str>,
    /// What came of it.
    pub end: End,
}

/// How an attempt over HTTP ended.
pub type End = dialect::End<StatusCode>;

impl Labels for ClientLabels {
    const NAMES: &'static [&'static str] =
        &["http_request_method", "server_address", "http_response_status_code", "error_type"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(self.method);
        show(&self.target);
        let (status, error) = match &self.end {
            // To a client every 4xx and 5xx is an error, says OpenTelemetry; its name is the status.
            End::Replied(status) if status.as_u16() >= 400 => (status.as_str(), status.as_str()),
            End::Replied(status) => (status.as_str(), ""),
            End::Failed(kind) => ("", kind.as_str()),
        };
        show(status);
        show(error);
    }
}

/// The attempts to one target. Written by every attempt, without a look-up: a row per method that was ever
/// used, in it a place for every status and kind.
pub(super) struct Meters {
    target: Arc<str>,
    family: HistogramFamily<ClientLabels>,
    rows: [OnceLock<Row>; METHODS.len()],
}

type Row = Box<[OnceLock<Histogram>]>;

impl Meters {
    pub(super) fn new(target: &Arc<str>, metrics: &Metrics) -> Self {
        Meters { target: Arc::clone(target), family: metrics.histogram(&DURATION), rows: Default::default() }
    }

    pub(super) fn observe(&self, method: usize, end: End, took: Duration, trace: Option<TraceId>) {
        let row = self.rows[method].get_or_init(|| (0..ROW).map(|_| OnceLock::new()).collect());
        let histogram = row[place(end)].get_or_init(|| {
            let target = Arc::clone(&self.target);
            self.family.with(&ClientLabels { method: METHODS[method], target, end })
        });
        histogram.observe(took, trace);
    }
}

/// The number of a method in [`METHODS`].
pub(super) fn number(method: &Method) -> usize {
    METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1)
}

fn place(end: End) -> usize {
    match end {
        End::Replied(status) => usize::from(status.as_u16()).clamp(FIRST, LAST) - FIRST,
        End::Failed(kind) => LAST - FIRST + 1 + kind as usize,
    }
}

/// The methods that OpenTelemetry knows, the usual first; the last stands for all others.
pub(super) const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "_OTHER"];

const FIRST: usize = 100;
const LAST: usize = 599;
/// Every status, every kind.
const ROW: usize = LAST - FIRST + 1 + ErrorKind::ALL.len();

/// What this room shows.
pub(crate) fn signals() -> Vec<Signal> {
    vec![
        Signal::new(
            "HTTP attempts by status",
            calls(&DURATION).by(&["server_address", "http_response_status_code"]),
            Unit::PerSecond,
        )
        .on(Board::Dependencies),
        Signal::new("HTTP attempts, p99", quantile(0.99, &DURATION).by(&["server_address"]), Unit::Seconds)
            .on(Board::Dependencies),
    ]
}

#[cfg(test)]
mod tests {
    use platform_core::identity::Identity;

    use super::*;

    #[test]
    fn every_end_has_a_place_of_its_own() {
        let replies = (100..=599).map(|status| End::Replied(StatusCode::from_u16(status).unwrap()));
        let ends: Vec<_> = replies.chain(ErrorKind::ALL.map(End::Failed)).collect();
        let mut places: Vec<_> = ends.iter().map(|end| place(*end)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!((places.len(), places.last().copied()), (ROW, Some(ROW - 1)));
    }

    #[test]
    fn an_attempt_is_told_as_opentelemetry_tells_it() {
        let metrics = Metrics::new(&Identity::default());
        let meters = Meters::new(&Arc::from("catalog"), &metrics);
        let took = Duration::from_millis(20);
        for end in [
            End::Replied(StatusCode::OK),
            End::Replied(StatusCode::NOT_FOUND),
            End::Failed(ErrorKind::Timeout),
        ] {
            meters.observe(number(&Method::GET), end, took, None);
        }
        meters.observe(
            number(&Method::from_bytes(b"BREW").unwrap()),
            End::Replied(StatusCode::OK),
            took,
            None,
        );
        let text = metrics.encode();
        for labels in [
            r#"http_request_method="GET",server_address="catalog",http_response_status_code="200",error_type="""#,
            r#"http_request_method="GET",server_address="catalog",http_response_status_code="404",error_type="404""#,
            r#"http_request_method="GET",server_address="catalog",http_response_status_code="",error_type="timeout""#,
            r#"http_request_method="_OTHER",server_address="catalog",http_response_status_code="200",error_type="""#,
        ] {
            let line =
                text.lines().find(|line| line.contains("duration_seconds_count{") && line.contains(labels));
            assert!(line.is_some_and(|line| line.ends_with(" 1")), "{labels}\n{text}");
        }
    }
}
