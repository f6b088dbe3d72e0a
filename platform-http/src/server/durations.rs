//! How long did requests of one route take?

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::Method;
use platform_core::{
    ErrorKind,
    context::TraceId,
    telemetry::{Histogram, HistogramFamily},
};

use super::metrics::DurationLabels;

/// One route's durations: a cell for each method, status and reason that was seen, found without a lock.
pub(super) struct Route {
    pub(super) path: Arc<str>,
    durations: HistogramFamily<DurationLabels>,
    cells: ArcSwap<Vec<Cell>>,
    adding: Mutex<()>,
}

#[derive(Clone)]
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
    pub(super) fn new(path: &str, durations: HistogramFamily<DurationLabels>) -> Self {
        Route { path: Arc::from(path), durations, cells: ArcSwap::default(), adding: Mutex::default() }
    }

    pub(super) fn observe(&self, key: CellKey, duration: Duration, trace: Option<TraceId>) {
        match self.cells.load().iter().find(|cell| cell.key == key) {
            Some(cell) => cell.histogram.observe(duration, trace),
            None => self.add(key).observe(duration, trace),
        }
    }

    fn add(&self, key: CellKey) -> Histogram {
        let _one_at_a_time = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cells = Vec::clone(&self.cells.load());
        if let Some(known) = cells.iter().find(|cell| cell.key == key) {
            return known.histogram.clone();
        }
        let histogram = self.durations.with(&DurationLabels {
            method: METHODS[usize::from(key.method)],
            route: Arc::clone(&self.path),
            status: key.status,
            reason: key.reason,
        });
        cells.push(Cell { key, histogram: histogram.clone() });
        self.cells.store(Arc::new(cells));
        histogram
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
