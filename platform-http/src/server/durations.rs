//! What is counted of one route: how long its requests took, and how often they held their thread?

use std::{sync::Arc, time::Duration};

use http::Method;
use platform_core::{
    ErrorKind,
    context::TraceId,
    telemetry::{Counter, CounterFamily, Histogram, HistogramFamily},
};

use super::{
    grown::Grown,
    metrics::{DurationLabels, RouteLabels},
};

/// One route's durations: a cell for each method, status and reason that was seen, found without a lock.
pub(super) struct Route {
    pub(super) path: Arc<str>,
    scheme: &'static str,
    durations: HistogramFamily<DurationLabels>,
    cells: Grown<Cell>,
    /// Something is promised, so failures count from 0 on: a series that begins with its first failure hides that
    /// from every rate.
    promised: bool,
    /// Counted from 0 on, for the same reason.
    pub(super) slow_polls: Counter,
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
    pub(super) fn new(
        path: &str,
        scheme: &'static str,
        durations: HistogramFamily<DurationLabels>,
        promised: bool,
        slow_polls: &CounterFamily<RouteLabels>,
    ) -> Self {
        let path: Arc<str> = Arc::from(path);
        let slow_polls = slow_polls.with(&RouteLabels(Arc::clone(&path)));
        Route { path, scheme, durations, cells: Grown::default(), promised, slow_polls }
    }

    pub(super) fn observe(&self, key: CellKey, duration: Duration, trace: Option<TraceId>) {
        let (_, cell) = self.cells.find_or_add(|cell| cell.key == key, || self.add(key));
        cell.histogram.observe(duration, trace);
    }

    fn add(&self, key: CellKey) -> Cell {
        if self.promised {
            // One series is enough for a rate to be there; what fails in another way begins a step later.
            self.histogram(CellKey { status: 500, reason: Some(ErrorKind::Internal), ..key });
        }
        Cell { key, histogram: self.histogram(key) }
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
