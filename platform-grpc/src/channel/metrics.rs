//! What channels measure per attempt.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use platform_core::{
    context::TraceId,
    telemetry::{
        Histogram, HistogramFamily, Metrics,
        catalogue::{Board, HistogramSpec, Labels, Signal, Unit, calls, quantile},
    },
};
use platform_http::client::dialect::End;
use tonic::Code;

use crate::{classify::name, server::metrics::SYSTEM};

/// Each attempt, to its verdict.
pub(crate) static DURATION: HistogramSpec<AttemptLabels> = HistogramSpec::new(
    "rpc_client_call_duration_seconds",
    "Time from the begin of an attempt to its status; of a stream to its first word",
);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AttemptLabels {
    method: Arc<str>,
    target: Arc<str>,
    end: End<Code>,
}

impl Labels for AttemptLabels {
    const NAMES: &'static [&'static str] =
        &["rpc_system_name", "rpc_method", "server_address", "rpc_response_status_code", "error_type"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(SYSTEM);
        show(&self.method);
        show(&self.target);
        let (code, error) = match self.end {
            End::Replied(Code::Ok) => (name(Code::Ok), ""),
            // To a client every other code is an error, and its name is the code.
            End::Replied(code) => (name(code), name(code)),
            End::Failed(kind) => ("", kind.as_str()),
        };
        show(code);
        show(error);
    }
}

/// The attempts to one target, by method. A method is found once a call; its ends without a lock.
pub(super) struct Meters {
    target: Arc<str>,
    family: HistogramFamily<AttemptLabels>,
    methods: ArcSwap<HashMap<Arc<str>, Arc<Meter>>>,
    adding: Mutex<()>,
}

/// One method's attempts.
pub(super) struct Meter {
    pub(super) method: Arc<str>,
    target: Arc<str>,
    family: HistogramFamily<AttemptLabels>,
    cells: ArcSwap<Vec<(End<Code>, Histogram)>>,
    adding: Mutex<()>,
}

impl Meters {
    pub(super) fn new(target: &Arc<str>, metrics: &Metrics) -> Self {
        Meters {
            target: Arc::clone(target),
            family: metrics.histogram(&DURATION),
            methods: ArcSwap::default(),
            adding: Mutex::default(),
        }
    }

    /// The meter of a method: `film.Ratings/Get`.
    pub(super) fn of(&self, method: &str) -> Arc<Meter> {
        if let Some(known) = self.methods.load().get(method) {
            return Arc::clone(known);
        }
        let _one_at_a_time = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut methods = HashMap::clone(&self.methods.load());
        // Methods are our own code's; who passes on what strangers ask for shares one meter beyond that many.
        let method = if methods.len() < MAX_METHODS { method } else { OTHER };
        let method: Arc<str> = method.into();
        let meter = Arc::clone(methods.entry(Arc::clone(&method)).or_insert_with(|| {
            Arc::new(Meter {
                method,
                target: Arc::clone(&self.target),
                family: self.family.clone(),
                cells: ArcSwap::default(),
                adding: Mutex::default(),
            })
        }));
        self.methods.store(Arc::new(methods));
        meter
    }
}

impl Meter {
    pub(super) fn observe(&self, end: End<Code>, took: Duration, trace: Option<TraceId>) {
        match self.cells.load().iter().find(|(known, _)| *known == end) {
            Some((_, histogram)) => histogram.observe(took, trace),
            None => self.add(end).observe(took, trace),
        }
    }

    fn add(&self, end: End<Code>) -> Histogram {
        let _one_at_a_time = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cells = Vec::clone(&self.cells.load());
        if let Some((_, known)) = cells.iter().find(|(known, _)| *known == end) {
            return known.clone();
        }
        let (method, target) = (Arc::clone(&self.method), Arc::clone(&self.target));
        let histogram = self.family.with(&AttemptLabels { method, target, end });
        cells.push((end, histogram.clone()));
        self.cells.store(Arc::new(cells));
        histogram
    }
}

const OTHER: &str = "_OTHER";
/// More methods than any client calls.
const MAX_METHODS: usize = 1000;

/// What this room shows.
pub(crate) fn signals() -> Vec<Signal> {
    vec![
        Signal::new(
            "gRPC attempts by code",
            calls(&DURATION).by(&["server_address", "rpc_response_status_code"]),
            Unit::PerSecond,
        )
        .on(Board::Dependencies),
        Signal::new("gRPC attempts, p99", quantile(0.99, &DURATION).by(&["server_address"]), Unit::Seconds)
            .on(Board::Dependencies),
    ]
}
