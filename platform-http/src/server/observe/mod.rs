//! What happened to this request?
//!
//! One observer stands above everything that can refuse, so that refusals are on the graph, and tells each
//! request exactly once: as a metric, as a span if it is recorded, and as its canonical line. A reply whose
//! length is known is told when its head is ready; a stream is told when it ends, or as what it failed with. A request whose future is
//! dropped was abandoned by its caller, and is told as that.

mod observer;
mod told;

use std::{any::Any, error, iter::successors, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body as _;
use platform_core::{
    Context, Error, ErrorKind, Outcome, Tick,
    call::CarryReply as _,
    context::{
        SpanId,
        wire::{LOAD_REPORT, LOAD_REPORT_BIN},
    },
    deadline::Limit,
    lifecycle::panic_text,
    stack::Slot,
    telemetry::{Counter, Operation},
};

pub(super) use observer::Observer;

use super::{
    admit::Carried,
    dialect::Dialect,
    durations::{CellKey, METHODS, method_index},
    edge::look_at_step,
    load::Form,
    metrics::RouteLabels,
    spoken::{Saying, Spoken},
    stream::Stream,
};
use crate::{Body, problem::Refused};

/// A request being served. Dropped without an end, it was abandoned.
pub(super) struct Seen {
    observer: Observer,
    told: bool,
    /// How long the head of a reply that streams took.
    head: Option<Duration>,
    method: u8,
    /// Is its caller one of ours?
    internal: bool,
    /// How many others were under way when it arrived.
    rif: u32,
    began: Tick,
    context: Context,
    parent: Option<SpanId>,
    client: Option<HeaderValue>,
    status: StatusCode,
    reason: Option<ErrorKind>,
    /// What stands for its reply.
    refused: Option<Error>,
    spoken: Option<Box<Spoken>>,
    slot: Option<Slot>,
}

impl Observer {
    /// Begins to look at a request that arrived at `context.now()`.
    pub(super) fn begin<B>(
        &self,
        request: &http::Request<B>,
        context: &Context,
        parent: Option<SpanId>,
        internal: bool,
    ) -> Seen {
        let method = method_index(request.method());
        self.0.active[usize::from(method)].inc();
        Seen {
            observer: self.clone(),
            told: false,
            head: None,
            method,
            internal,
            rif: self.0.load.arrive(),
            began: context.now(),
            context: context.clone(),
            parent,
            // Only the line tells it.
            client: self.0.lines.then(|| request.headers().get(header::USER_AGENT).cloned()).flatten(),
            status: StatusCode::OK,
            reason: None,
            refused: None,
            spoken: self.0.dialect.as_ref().and_then(|dialect| Spoken::of(dialect, request)),
            slot: None,
        }
    }
}

impl Seen {
    /// The context that the request came with.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Is its caller one of ours? A stranger is told less.
    pub(super) fn is_internal(&self) -> bool {
        self.internal
    }

    /// What is spoken, if it is not plain HTTP.
    pub(super) fn dialect(&self) -> Option<&Arc<dyn Dialect>> {
        self.spoken.as_ref().map(|spoken| &spoken.dialect)
    }

    /// Callers of ours are told how busy this server was when the request arrived, by a dialect in trailers; how busy we
    /// are is no stranger's business.
    #[inline]
    pub(super) fn tell_load(&self, head: &mut HeaderMap) {
        if !self.internal || self.spoken.is_some() {
            return;
        }
        if let Some(report) = self.observer.0.load.report(self.rif, Form::Head, self.began) {
            head.insert(&LOAD_REPORT, report);
        }
    }

    /// The same in trailers, or in a head that is all there is. When a stream ends its arrival is long ago, so it
    /// tells what is under way beside it now.
    pub(super) fn tell_load_last(&self, trailers: &mut HeaderMap, streamed: bool) {
        if !self.internal {
            return;
        }
        let load = &self.observer.0.load;
        let report = if streamed {
            load.written(load.in_flight().saturating_sub(1), Form::Trailers)
        } else {
            load.report(self.rif, Form::Trailers, self.began)
        };
        if let Some(report) = report {
            trailers.insert(&LOAD_REPORT_BIN, report);
        }
    }

    /// It is served in this place: free when its reply has been sent, whatever becomes of it.
    pub(super) fn hold(&mut self, slot: Option<Slot>) {
        self.slot = slot;
    }

    /// Nothing of its reply is ready, and its head is out: it is made while it is sent.
    pub(super) fn waits(&mut self) {
        if let Some(slot) = &mut self.slot {
            slot.stream();
        }
    }

    /// Its reply is what this error becomes.
    pub(super) fn refuses(&mut self, error: Error) {
        self.refused = Some(error);
    }

    /// Whether a route of the router matched.
    pub(super) fn is_routed(&self) -> bool {
        self.route() != 0
    }

    /// The reply's head is ready: told now if its length is known, else when it has been read, at most until
    /// `limit`. `at_once`: when the one step began that made it, if there was but one.
    pub(super) fn end(
        &mut self,
        response: &mut http::Response<Body>,
        limit: Option<Limit>,
        to_strangers: bool,
        at_once: Option<Tick>,
    ) {
        self.status = response.status();
        if let Some(carried) = response.extensions_mut().remove::<Carried>() {
            self.slot = carried.take();
        }
        let refused = self.refused.take();
        if let Some(error) = refused.or_else(|| Some(response.extensions_mut().remove::<Refused>()?.0)) {
            self.reason = Some(error.kind());
            // What the caller did wrong he is told; what went wrong inside has no other place.
            if self.status.is_server_error() || self.is_ours(error.kind()) {
                self.note_error(&error);
            }
        }
        if let Some(spoken) = &mut self.spoken {
            spoken.status = spoken.dialect.status(response.headers());
            if spoken.status.is_some() {
                self.tell_load_last(response.headers_mut(), false);
            }
        }
        let streams = self.status == StatusCode::SWITCHING_PROTOCOLS
            || (response.body().size_hint().exact().is_none() && !response.body().is_end_stream());
        if streams {
            // How long somebody listens belongs into no latency: the metric gets the time to the head, though
            // only at the end, when it is known whether the stream broke off.
            let now = Tick::now();
            self.look_at_only_step(at_once, now);
            self.head = Some(now.since(self.began));
            // What a slot's limit learns from is the head.
            self.report_slot(now);
            if self.spoken.is_none()
                && let Some(notes) = self.context.notes()
            {
                notes.add("class", "stream");
            }
        }
        if streams && self.status != StatusCode::SWITCHING_PROTOCOLS {
            let seen = Seen {
                observer: self.observer.clone(),
                context: self.context.clone(),
                client: self.client.take(),
                refused: None,
                spoken: self.spoken.take(),
                slot: self.slot.take(),
                ..*self
            };
            self.told = true;
            let body = std::mem::replace(response.body_mut(), Body::empty_reply());
            *response.body_mut() = match seen.spoken {
                Some(_) => Body::reply_stream(Saying::new(body, seen, limit, to_strangers)),
                None => Body::reply_stream(Stream::new(body, seen)),
            };
        } else {
            let now = Tick::now();
            if !streams {
                self.look_at_only_step(at_once, now);
                self.report_slot(now);
            }
            if let Some(guard) = self.slot.take().and_then(Slot::into_guard) {
                response.body_mut().hold(guard);
            }
            self.tell(now);
        }
    }

    #[inline]
    fn look_at_only_step(&self, began: Option<Tick>, now: Tick) {
        if let Some(began) = began {
            look_at_step(&self.context, began, now);
        }
    }

    fn report_slot(&self, now: Tick) {
        if let Some(slot) = &self.slot {
            let spoken = self.spoken.as_ref().and_then(|spoken| spoken.status).map(|status| status.outcome);
            slot.report(spoken.unwrap_or_else(|| self.outcome()), now);
        }
    }

    /// A stream has ended, well or with what it failed with; told once.
    pub(super) fn finish(&mut self, reason: Option<ErrorKind>) {
        if !self.told {
            self.reason = reason.or(self.reason);
            self.tell(Tick::now());
        }
    }

    /// With its causes: strangers are not told what went wrong, and no problem document has a cause.
    pub(super) fn note_error(&self, error: &(dyn error::Error + 'static)) {
        // Only the line tells it.
        if !self.observer.0.lines {
            return;
        }
        if let Some(notes) = self.context.notes() {
            if error.source().is_none() {
                return notes.add("error", error.to_string());
            }
            let causes = successors(Some(error), |error| error.source());
            let mut causes: Vec<String> = causes.map(ToString::to_string).collect();
            // Some wrap an error and say the same again.
            causes.dedup();
            notes.add("error", causes.join("; because "));
        }
    }

    /// Why it failed, as far as is known.
    pub(super) fn reason(&self) -> Option<ErrorKind> {
        self.reason
    }

    /// Is a recorded span sent anywhere?
    pub(super) fn exports(&self) -> bool {
        self.observer.0.traces.exports()
    }

    /// The trailers tell how the call ended.
    pub(super) fn ends_with(&mut self, trailers: &HeaderMap) {
        if let Some(spoken) = &mut self.spoken {
            spoken.status = spoken.dialect.status(trailers);
        }
    }

    /// Is it an error of this side, in a dialect whose head says nothing of it?
    fn is_ours(&self, kind: ErrorKind) -> bool {
        self.spoken.is_some() && crate::problem::status(kind).is_server_error()
    }

    /// What is told of a panic, which is counted.
    pub(super) fn panicked(&self, panic: &(dyn Any + Send)) -> Error {
        self.observer.0.panics.inc();
        // Where it was, the process's panic hook has said.
        Error::new(ErrorKind::Panic, "the handler panicked; the log says where")
            .at_layer("catch-panic")
            .with_source(panic_text(panic))
    }

    fn tell(&mut self, now: Tick) {
        self.told = true;
        let duration = now.since(self.began);
        let inner = &*self.observer.0;
        inner.active[usize::from(self.method)].dec();
        inner.load.leave();
        // A refusal is fast and a stream as long as somebody listens: neither says how long a request takes. How long
        // a call takes is how long its head took.
        let well = self.reason.is_none() && !self.status.is_server_error();
        if well && (self.head.is_none() || self.spoken.is_some()) {
            inner.load.took(self.rif, self.head.unwrap_or(duration));
        }
        if let Some(spoken) = self.spoken.take() {
            return spoken.tell(self, duration);
        }
        let trace = self.context.trace();
        let key = CellKey { method: self.method, status: self.status.as_u16(), reason: self.reason };
        let route = inner.routes.of(self.route());
        self.count_slow_polls(|| route.slow_polls.clone());
        let exemplar = trace.is_sampled().then(|| trace.trace_id());
        route.observe(key, self.head.unwrap_or(duration), exemplar);
        if trace.is_sampled() && inner.traces.exports() {
            self.record(&route.path, duration);
        }
        let method = METHODS[usize::from(self.method)];
        let operation = Operation::Http { method, route: &route.path, status: self.status.as_u16() };
        self.write_line(operation, self.reason, self.outcome(), duration);
    }

    /// Steps that held a thread for too long, by route or method.
    #[inline]
    fn count_slow_polls(&self, counter: impl FnOnce() -> Counter) {
        let slow = self.context.notes().map_or(0, |notes| notes.slow_polls());
        if slow > 0 {
            counter().inc_by(u64::from(slow));
        }
    }

    /// The same of a call in a dialect.
    pub(super) fn count_slow_polls_of(&self, method: &str) {
        self.count_slow_polls(|| self.observer.0.slow_polls.with(&RouteLabels(Arc::from(method))));
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
}

impl Drop for Seen {
    fn drop(&mut self) {
        if !self.told {
            self.reason = Some(ErrorKind::Abandoned);
            self.status = crate::problem::status(ErrorKind::Abandoned);
            self.tell(Tick::now());
        }
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
