//! One attempt on the wire: measured and, in a sampled request, told as a span, whatever becomes of it.

use std::{sync::Arc, time::SystemTime};

use super::dialect::{Dialect, End, Told};
use crate::Body;
use http::Request;
use platform_core::{
    Error, ErrorKind, Tick,
    call::CarryCall as _,
    context::{Deadline, SpanId, TraceParent},
    telemetry::{
        Traces,
        trace::{Kind, Span, Status, Value},
    },
};

/// An attempt under way; dropping it reports it too.
pub(super) struct Exchange<'a, D: Dialect> {
    dialect: &'a D,
    traces: &'a Traces,
    target: &'a Arc<str>,
    pub(super) name: D::Name,
    since: Tick,
    deadline: Option<Deadline>,
    trace: TraceParent,
    parent: SpanId,
    attempt: u16,
    endpoint: Option<Arc<str>>,
    fault: Option<Arc<str>>,
    fell_back: bool,
    reported: bool,
}

impl<'a, D: Dialect> Exchange<'a, D> {
    pub(super) fn begin(
        (dialect, traces, target): (&'a D, &'a Traces, &'a Arc<str>),
        call: &Request<Body>,
        parent: SpanId,
    ) -> Self {
        let context = call.body().context();
        Exchange {
            dialect,
            traces,
            target,
            name: dialect.name(call),
            since: context.now(),
            deadline: context.deadline(),
            trace: context.trace(),
            parent,
            attempt: context.attempt(),
            endpoint: None,
            fault: None,
            fell_back: false,
            reported: false,
        }
    }

    /// This endpoint is asked; only a span wants to know.
    pub(super) fn asks(&mut self, endpoint: &Arc<str>) {
        if self.trace.is_sampled() {
            self.endpoint = Some(Arc::clone(endpoint));
        }
    }

    /// The variant that was asked for is not there.
    pub(super) fn falls_back(&mut self) {
        self.fell_back = true;
    }

    /// This fault is injected.
    pub(super) fn suffers(&mut self, fault: &Arc<str>) {
        self.fault = Some(Arc::clone(fault));
    }

    pub(super) fn replied(mut self, answer: D::Answer, at: Tick) {
        self.report(End::Replied(answer), at, None);
    }

    pub(super) fn failed(mut self, error: Error) -> Error {
        self.report(End::Failed(error.kind()), Tick::now(), Some(error.detail()));
        error
    }

    fn report(&mut self, end: End<D::Answer>, at: Tick, why: Option<&str>) {
        self.reported = true;
        let took = at.since(self.since);
        let sampled = self.trace.is_sampled();
        self.dialect.observe(&self.name, &end, took, sampled.then(|| self.trace.trace_id()));
        if sampled && self.traces.exports() {
            self.traces.end(self.span(&end, took, why));
        }
    }

    #[cold]
    fn span(&self, end: &End<D::Answer>, took: std::time::Duration, why: Option<&str>) -> Span {
        let Told { name, mut attributes, mut status } = self.dialect.tell(&self.name, end);
        attributes.extend([
            ("server.address", Value::Shared(Arc::clone(self.target))),
            ("platform.target", Value::Shared(Arc::clone(self.target))),
            ("platform.attempt", Value::Int(i64::from(self.attempt))),
        ]);
        if let Some(endpoint) = &self.endpoint {
            attributes.push(("network.peer.address", Value::Shared(Arc::clone(endpoint))));
        }
        if let Some(fault) = &self.fault {
            attributes.push(("platform.fault", Value::Shared(Arc::clone(fault))));
        }
        if self.fell_back {
            attributes.push(("platform.route.fallback", Value::Bool(true)));
        }
        if let End::Failed(kind) = end {
            attributes.push(("error.type", Value::from(kind.as_str())));
            attributes.push(("platform.reason", Value::from(kind.as_str())));
            status = Status::Error(why.map_or(kind.as_str().into(), |why| why.to_owned().into()));
        }
        Span {
            trace: self.trace,
            parent: Some(self.parent),
            kind: Kind::Client,
            name,
            start: SystemTime::now().checked_sub(took).unwrap_or(SystemTime::UNIX_EPOCH),
            took,
            status,
            attributes,
        }
    }
}

impl<D: Dialect> Drop for Exchange<'_, D> {
    fn drop(&mut self) {
        if !self.reported {
            let now = Tick::now();
            let late = self.deadline.is_some_and(|deadline| deadline.has_passed(now));
            let kind = if late { ErrorKind::Timeout } else { ErrorKind::Abandoned };
            self.report(End::Failed(kind), now, None);
        }
    }
}
