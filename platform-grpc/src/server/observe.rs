//! Which methods were called, and how did the calls end?
//!
//! A method is known by its descriptors, or once it has succeeded. Any other path is `_OTHER`, so that no caller can
//! invent labels.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use platform_core::{
    ErrorKind,
    ops::Objectives,
    telemetry::{Histogram, HistogramFamily, Metrics},
};
use platform_http::server::dialect::Ended;
use tonic::Code;

use super::metrics::{CallLabels, DURATION};

/// Counts the calls of one server.
pub(super) struct Observer {
    durations: HistogramFamily<CallLabels>,
    /// Something is promised, so failures count from 0 on: a series that begins with its first failure hides that
    /// from every rate.
    promised: bool,
    /// Read by every call, replaced when a method succeeds for the first time.
    methods: ArcSwap<HashMap<Arc<str>, Arc<Method>>>,
    adding: Mutex<()>,
    other: Method,
}

/// One method's durations: a cell for each end that was seen, found without a lock.
struct Method {
    name: Arc<str>,
    cells: ArcSwap<Vec<Cell>>,
    adding: Mutex<()>,
}

#[derive(Clone)]
struct Cell {
    key: (Code, Option<ErrorKind>),
    histogram: Histogram,
}

impl Observer {
    pub(super) fn new(
        metrics: &Metrics,
        objectives: &Objectives,
        known: impl Iterator<Item = String>,
    ) -> Self {
        let methods = known.map(|name| {
            let name: Arc<str> = name.into();
            (Arc::clone(&name), Arc::new(Method::new(name)))
        });
        Observer {
            durations: metrics.histogram_with_bounds(&DURATION, &objectives.bounds()),
            promised: objectives.any(),
            methods: ArcSwap::from_pointee(methods.collect()),
            adding: Mutex::default(),
            other: Method::new(OTHER.into()),
        }
    }

    /// Counts a call and says what it is called.
    pub(super) fn observe(&self, call: &Ended<'_>, code: Code) -> Arc<str> {
        let path = call.path.strip_prefix('/').unwrap_or(call.path);
        if let Some(method) = self.methods.load().get(path) {
            return method.observe(call, code, self);
        }
        match (code == Code::Ok).then(|| self.learn(path)).flatten() {
            Some(method) => method.observe(call, code, self),
            None => self.other.observe(call, code, self),
        }
    }

    /// Is there such a method, as far as descriptors say? `None` for a service that none describes.
    pub(super) fn knows(&self, path: &str) -> Option<bool> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (service, _) = path.rsplit_once('/')?;
        let methods = self.methods.load();
        let is_described =
            methods.keys().any(|known| known.rsplit_once('/').is_some_and(|(of, _)| of == service));
        is_described.then(|| methods.contains_key(path))
    }

    /// Only a method that exists answers OK.
    fn learn(&self, path: &str) -> Option<Arc<Method>> {
        let _one_at_a_time = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut methods = HashMap::clone(&self.methods.load());
        if methods.len() >= MAX_METHODS {
            return None;
        }
        let name: Arc<str> = path.into();
        let method = methods.entry(Arc::clone(&name)).or_insert_with(|| Arc::new(Method::new(name)));
        let method = Arc::clone(method);
        self.methods.store(Arc::new(methods));
        Some(method)
    }
}

impl Method {
    fn new(name: Arc<str>) -> Self {
        Method { name, cells: ArcSwap::default(), adding: Mutex::default() }
    }

    fn observe(&self, call: &Ended<'_>, code: Code, all: &Observer) -> Arc<str> {
        let key = (code, call.status.reason);
        match self.cells.load().iter().find(|cell| cell.key == key) {
            Some(cell) => cell.histogram.observe(call.took, call.trace),
            None => self.add(key, all).observe(call.took, call.trace),
        }
        Arc::clone(&self.name)
    }

    fn add(&self, key: (Code, Option<ErrorKind>), all: &Observer) -> Histogram {
        let _one_at_a_time = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cells = Vec::clone(&self.cells.load());
        if let Some(known) = cells.iter().find(|cell| cell.key == key) {
            return known.histogram.clone();
        }
        let series =
            |(code, reason)| all.durations.with(&CallLabels { method: Arc::clone(&self.name), code, reason });
        let histogram = series(key);
        if all.promised && cells.is_empty() {
            series((Code::Internal, Some(ErrorKind::Internal)));
        }
        cells.push(Cell { key, histogram: histogram.clone() });
        self.cells.store(Arc::new(cells));
        histogram
    }
}

/// OpenTelemetry's name for a method that it does not know.
const OTHER: &str = "_OTHER";
/// More methods than any server has; a bound for one whose services make methods up.
const MAX_METHODS: usize = 1000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use platform_core::{Outcome, identity::Identity};
    use platform_http::server::dialect::Status;

    use super::*;

    #[test]
    fn a_method_has_its_name_when_it_is_known_or_has_succeeded() {
        let observer = Observer::new(
            &Metrics::new(&Identity::default()),
            &Objectives::default(),
            ["film.Ratings/Get".to_owned()].into_iter(),
        );
        let observe = |path: &str, code: Code| {
            let status = Status { code: code as i32, reason: None, outcome: Outcome::Success };
            let call = Ended { path, status, took: Duration::from_millis(3), trace: None };
            observer.observe(&call, code)
        };
        assert_eq!(&*observe("/film.Ratings/Get", Code::Internal), "film.Ratings/Get");
        assert_eq!(&*observe("/film.Ratings/Put", Code::Unimplemented), "_OTHER");
        assert_eq!(&*observe("/film.Ratings/Put", Code::Internal), "_OTHER");
        assert_eq!(&*observe("/film.Ratings/Put", Code::Ok), "film.Ratings/Put");
        assert_eq!(&*observe("/film.Ratings/Put", Code::Internal), "film.Ratings/Put");
    }
}
