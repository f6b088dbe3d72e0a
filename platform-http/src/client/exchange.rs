//! One attempt on the wire: measured and, in a sampled request, told as a span, whatever becomes of it.

use std::{sync::Arc, time::SystemTime};

use super::metrics::{self, End, Meters};
use http::{Method, StatusCode};
use platform_core::{
    Context, Error, ErrorKind, Tick,
    context::{Deadline, SpanId, TraceParent},
    telemetry::{
        Traces,
        trace::{Kind, Span, Status, Value},
    },
};

/// An attempt under way; dropping it reports it too.
pub(super) struct Exchange<'a> {
    meters: &'a Meters,
    traces: &'a Traces,
    target: &'a Arc<str>,
    method: usize,
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

impl<'a> Exchange<'a> {
    pub(super) fn begin(
        (meters, traces, target): (&'a Meters, &'a Traces, &'a Arc<str>),
        method: &Method,
        context: &Context,
        parent: SpanId,
    ) -> Self {
        Exchange {
            meters,
            traces,
            target,
            method: metrics::number(method),
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

    pub(super) fn replied(mut self, status: StatusCode, at: Tick) {
        self.report(End::Replied(status), at, None);
    }

    pub(super) fn failed(mut self, error: Error) -> Error {
        self.report(End::Failed(error.kind()), Tick::now(), Some(error.detail()));
        error
    }

    fn report(&mut self, end: End, at: Tick, why: Option<&str>) {
        self.reported = true;
        let took = at.since(self.since);
        let sampled = self.trace.is_sampled();
        self.meters.observe(self.method, end, took, sampled.then(|| self.trace.trace_id()));
        if sampled && self.traces.exports() {
            self.traces.end(self.span(end, took, why));
        }
    }

    #[cold]
    fn span(&self, end: End, took: std::time::Duration, why: Option<&str>) -> Span {
        let method = metrics::METHODS[self.method];
        let mut attributes = vec![
            ("http.request.method", Value::from(method)),
            ("server.address", Value::Shared(Arc::clone(self.target))),
            ("platform.target", Value::Shared(Arc::clone(self.target))),
            ("platform.attempt", Value::Int(i64::from(self.attempt))),
        ];
        if let Some(endpoint) = &self.endpoint {
            attributes.push(("network.peer.address", Value::Shared(Arc::clone(endpoint))));
        }
        if let Some(fault) = &self.fault {
            attributes.push(("platform.fault", Value::Shared(Arc::clone(fault))));
        }
        if self.fell_back {
            attributes.push(("platform.route.fallback", Value::Bool(true)));
        }
        let status = match end {
            End::Replied(status) => {
                attributes.push(("http.response.status_code", Value::Int(i64::from(status.as_u16()))));
                if status.as_u16() >= 400 {
                    Status::Error(status.as_str().to_owned().into())
                } else {
                    Status::Unset
                }
            }
            End::Failed(kind) => {
                attributes.push(("error.type", Value::from(kind.as_str())));
                attributes.push(("platform.reason", Value::from(kind.as_str())));
                Status::Error(why.map_or(kind.as_str().into(), |why| why.to_owned().into()))
            }
        };
        Span {
            trace: self.trace,
            parent: Some(self.parent),
            kind: Kind::Client,
            name: method.into(),
            start: SystemTime::now().checked_sub(took).unwrap_or(SystemTime::UNIX_EPOCH),
            took,
            status,
            attributes,
        }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.reported {
            let now = Tick::now();
            let late = self.deadline.is_some_and(|deadline| deadline.has_passed(now));
            let kind = if late { ErrorKind::Timeout } else { ErrorKind::Abandoned };
            self.report(End::Failed(kind), now, None);
        }
    }
}
