//! How long did requests of one route take?

use std::{sync::Arc, time::Duration};

use http::Method;
use platform_core::{
    ErrorKind,
    context::TraceId,
    telemetry::{Histogram, HistogramFamily},
};

use super::{grown::Grown, metrics::DurationLabels};

/// One route's durations: a cell for each method, status and reason that was seen, found without a lock.
pub(super) struct Route {
    pub(super) path: Arc<str>,
    scheme: &'static str,
    durations: HistogramFamily<DurationLabels>,
    cells: Grown<Cell>,
}

struct Cell {
    key: CellKey,
    histogram: Histogram,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct CellKey {
    pub(super) method: u8,
    pub(super) status: u16,
    pub(super) reason: Option<ErrorKind>,
}

impl Route {
    pub(super) fn new(path: &str, scheme: &'static str, durations: HistogramFamily<DurationLabels>) -> Self {
        Route { path: Arc::from(path), scheme, durations, cells: Grown::default() }
    }

    pub(super) fn observe(&self, key: CellKey, duration: Duration, trace: Option<TraceId>) {
        let make = || Cell { key, histogram: self.histogram(key) };
        let (_, cell) = self.cells.find_or_add(|cell| cell.key == key, make);
        cell.histogram.observe(duration, trace);
    }

    fn histogram(&self, key: CellKey) -> Histogram {
        self.durations.with(&DurationLabels {
            method: METHODS[usize::from(key.method)],
            route: Arc::clone(&self.path),
            scheme: self.scheme,
            status: key.status,
            reason: key.reason,
        })
    }
}

/// The number of a method in [`METHODS`].
pub(super) fn method_index(method: &Method) -> u8 {
    match *method {
        Method::GET => 0,
        Method::POST => 1,
        Method::PUT => 2,
        Method::DELETE => 3,
        Method::PATCH => 4,
        Method::HEAD => 5,
        Method::OPTIONS => 6,
        Method::CONNECT => 7,
        Method::TRACE => 8,
        _ => 9,
    }
}

/// The methods that have a name; the last stands for all others, so that no client can invent labels.
pub(super) const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "_OTHER"];
