//! What happened to this request?
//!
//! One observer stands above everything that can refuse, so that refusals are on the graph, and tells each
//! request exactly once: as a metric, as a span if it is recorded, and as its canonical line. A reply whose
//! length is known is told when its head is ready; a stream is told when it ends, or as what it failed with. A request whose future is
//! dropped was abandoned by its caller, and is told as that.

use std::{
    error,
    iter::successors,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use platform_core::{
    App, Context, ErrorKind, Outcome,
    context::{
        Notes, SpanId, TraceId,
        wire::{Field, Rejected},
    },
    telemetry::{
        Counter, CounterFamily, Gauge, Histogram, HistogramFamily, Line, Logs, Operation, Traces,
        trace::{Kind, Span, Status},
    },
};
use tokio::time::Instant;

use super::{
    load::Load,
    metrics::{
        ACTIVE, ActiveLabels, DEGRADED, DURATION, DegradedLabels, DurationLabels, FieldLabels, PANICS,
        REJECTED,
    },
    route::Routes,
    stream::Stream,
};
use crate::{Body, problem::Refused};

/// Tells every request of one server; cheap to clone.
#[derive(Clone)]
pub(super) struct Observer(Arc<Inner>);

struct Inner {
    routes: Routes<Route>,
    active: [Gauge; METHODS.len()],
    rejected: [Counter; Field::ALL.len()],
    panics: Counter,
    degraded: CounterFamily<DegradedLabels>,
    traces: Traces,
    logs: Logs,
    lines: bool,
    load: Load,
}

/// One route's durations: a cell for each method, status and reason that was seen, found without a lock.
pub(super) struct Route {
    path: Arc<str>,
    durations: HistogramFamily<DurationLabels>,
    cells: ArcSwap<Vec<Cell>>,
    adding: Mutex<()>,
}

#[derive(Clone)]
struct Cell {
    key: CellKey,
    histogram: Histogram,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct CellKey {
    method: u8,
    status: u16,
    reason: Option<ErrorKind>,
}

/// A request being served. Dropped without an end, it was abandoned.
pub(super) struct Seen {
    observer: Observer,
    told: bool,
    /// How long the head of a reply that streams took.
    head: Option<Duration>,
    method: u8,
    /// How many others were under way when it arrived.
    rif: u32,
    began: Instant,
    context: Context,
    parent: Option<SpanId>,
    client: Option<HeaderValue>,
    status: StatusCode,
    reason: Option<ErrorKind>,
}

impl Observer {
    /// The observer of `app`'s server; `lines` says whether it writes canonical lines.
    pub(super) fn new(app: &App, lines: bool) -> Self {
        let metrics = app.metrics();
        let durations = metrics.histogram(&DURATION);
        let (active, rejected) = (metrics.gauge(&ACTIVE), metrics.counter(&REJECTED));
        Observer(Arc::new(Inner {
            routes: Routes::new(move |path| Route {
                path: Arc::from(path),
                durations: durations.clone(),
                cells: ArcSwap::default(),
                adding: Mutex::default(),
            }),
            active: METHODS.map(|method| active.with(&ActiveLabels(method))),
            rejected: Field::ALL.map(|field| rejected.with(&FieldLabels(field))),
            panics: metrics.counter(&PANICS).with(&()),
            degraded: metrics.counter(&DEGRADED),
            traces: app.traces().clone(),
            logs: app.logs().clone(),
            lines,
            load: Load::default(),
        }))
    }

    pub(super) fn routes(&self) -> &Routes<Route> {
        &self.0.routes
    }

    pub(super) fn traces(&self) -> &Traces {
        &self.0.traces
    }

    pub(super) fn count_panic(&self) {
        self.0.panics.inc();
    }

    /// A reply is made without each of `names`.
    #[cold]
    pub(super) fn count_degraded(&self, names: &str) {
        for name in names.split(',') {
            self.0.degraded.with(&DegradedLabels(Arc::from(name))).inc();
        }
    }

    pub(super) fn count_rejected(&self, rejected: Rejected) {
        for field in rejected.iter() {
            self.0.rejected[field as usize].inc();
        }
    }

    /// Begins to look at a request that arrived at `context.now()`.
    pub(super) fn begin<B>(
        &self,
        request: &http::Request<B>,
        context: &Context,
        parent: Option<SpanId>,
    ) -> Seen {
        let method = method_index(request.method());
        self.0.active[usize::from(method)].inc();
        Seen {
            observer: self.clone(),
            told: false,
            head: None,
            method,
            rif: self.0.load.arrive(),
            began: context.now().instant(),
            context: context.clone(),
            parent,
            client: request.headers().get(header::USER_AGENT).cloned(),
            status: StatusCode::OK,
            reason: None,
        }
    }
}

impl Seen {
    /// The context that the request came with.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// How busy this server was when the request arrived, as callers that choose are told.
    pub(super) fn load_report(&self) -> Option<HeaderValue> {
        self.observer.0.load.report(self.rif)
    }

    /// Whether a route of the router matched.
    pub(super) fn is_routed(&self) -> bool {
        self.route() != 0
    }

    /// The reply's head is ready: told now if its length is known, else when it has been read.
    pub(super) fn end(&mut self, response: &mut http::Response<Body>) {
        self.status = response.status();
        if let Some(Refused(error)) = response.extensions_mut().remove() {
            self.reason = Some(error.kind());
            // What the caller did wrong he is told; what went wrong inside has no other place.
            if self.status.is_server_error() {
                self.note_error(&error);
            }
        }
        let streams = self.status == StatusCode::SWITCHING_PROTOCOLS
            || (response.body().size_hint().exact().is_none() && !response.body().is_end_stream());
        if streams {
            // How long somebody listens belongs into no latency: the metric gets the time to the head, though
            // only at the end, when it is known whether the stream broke off.
            self.head = Some(self.began.elapsed());
            if let Some(notes) = self.context.notes() {
                notes.add("class", "stream");
            }
        }
        if streams && self.status != StatusCode::SWITCHING_PROTOCOLS {
            let seen = Seen {
                observer: self.observer.clone(),
                context: self.context.clone(),
                client: self.client.take(),
                ..*self
            };
            self.told = true;
            let body = std::mem::replace(response.body_mut(), Body::empty_reply());
            *response.body_mut() = Body::reply_stream(Stream::new(body, seen));
        } else {
            self.tell();
        }
    }

    /// A stream has ended, well or with what it failed with; told once.
    pub(super) fn finish(&mut self, reason: Option<ErrorKind>) {
        if !self.told {
            self.reason = reason.or(self.reason);
            self.tell();
        }
    }

    /// With its causes: strangers are not told what went wrong, and no problem document has a cause.
    pub(super) fn note_error(&self, error: &(dyn error::Error + 'static)) {
        if let Some(notes) = self.context.notes() {
            let causes = successors(Some(error), |error| error.source());
            let mut causes: Vec<String> = causes.map(ToString::to_string).collect();
            // Some wrap an error and say the same again.
            causes.dedup();
            notes.add("error", causes.join("; because "));
        }
    }

    fn tell(&mut self) {
        self.told = true;
        let duration = self.began.elapsed();
        let inner = &*self.observer.0;
        inner.active[usize::from(self.method)].dec();
        inner.load.leave();
        // A refusal is fast and a stream as long as somebody listens: neither says how long a request takes.
        if self.reason.is_none() && self.head.is_none() && !self.status.is_server_error() {
            inner.load.took(self.rif, duration);
        }
        let trace = self.context.trace();
        let key = CellKey { method: self.method, status: self.status.as_u16(), reason: self.reason };
        let routes = inner.routes.load();
        let route = routes.of(self.route());
        let exemplar = trace.is_sampled().then(|| trace.trace_id());
        route.observe(key, self.head.unwrap_or(duration), exemplar);
        if trace.is_sampled() && inner.traces.exports() {
            self.record(&route.path, duration);
        }
        if inner.lines {
            self.write_line(&route.path, duration);
        }
    }

    fn route(&self) -> u32 {
        self.context.notes().map_or(0, |notes| notes.route())
    }

    fn outcome(&self) -> Outcome {
        match self.reason {
            Some(kind) => kind.outcome(),
            None => outcome(self.status),
        }
    }

    fn write_line(&self, route: &str, duration: Duration) {
        let inner = &*self.observer.0;
        let notes = self.context.notes().map(|notes| &**notes);
        inner.logs.write_line(&Line {
            at: SystemTime::now(),
            trace_id: self.context.trace().trace_id(),
            request_id: self.context.request_id(),
            operation: Operation::Http {
                method: METHODS[usize::from(self.method)],
                route,
                status: self.status.as_u16(),
            },
            duration,
            outcome: self.outcome(),
            reason: self.reason.map_or("", ErrorKind::as_str),
            attempts: notes.map_or(0, Notes::attempts),
            criticality: self.context.criticality(),
            tenant: notes.and_then(Notes::tenant).or(self.context.tenant()).map(|tenant| tenant.as_str()),
            client: self.client.as_ref().and_then(|client| client.to_str().ok()),
            fault: notes.and_then(Notes::fault),
            sample_rate: 1,
            notes,
        });
    }

    fn record(&self, route: &str, duration: Duration) {
        let method = METHODS[usize::from(self.method)];
        // A stream fails after its head has said that all is well.
        let broke_off = self.reason.is_some() && self.status.as_u16() < 400;
        let status = if self.status.is_server_error() || broke_off {
            Status::Error(self.reason.map_or("", ErrorKind::as_str).into())
        } else {
            Status::Unset
        };
        let mut attributes = vec![
            ("http.request.method", method.into()),
            ("http.response.status_code", i64::from(self.status.as_u16()).into()),
            ("url.scheme", SCHEME.into()),
        ];
        if !route.is_empty() {
            attributes.push(("http.route", route.to_owned().into()));
        }
        if let Some(reason) = self.reason {
            attributes.push(("error.type", reason.as_str().into()));
        }
        self.observer.0.traces.end(Span {
            trace: self.context.trace(),
            parent: self.parent,
            kind: Kind::Server,
            name: if route.is_empty() { method.into() } else { format!("{method} {route}").into() },
            start: SystemTime::now() - duration,
            took: duration,
            status,
            attributes,
        });
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        if !self.told {
            self.reason = Some(ErrorKind::Abandoned);
            self.status = crate::problem::status(ErrorKind::Abandoned);
            self.tell();
        }
    }
}

impl Route {
    fn observe(&self, key: CellKey, duration: Duration, trace: Option<TraceId>) {
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

/// What a reply without a reason meant: a handler chose its status by itself.
fn outcome(status: StatusCode) -> Outcome {
    match status.as_u16() {
        429 => Outcome::Overload,
        400..=499 => Outcome::CallerFault,
        504 => Outcome::Timeout,
        500.. => Outcome::ServerFault,
        _ => Outcome::Success,
    }
}

fn method_index(method: &Method) -> u8 {
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
/// Ours is a cleartext listener.
pub(super) const SCHEME: &str = "http";
