//! Plain HTTP, for the wire.

use std::{sync::Arc, time::Duration};

use http::{Request, Response, StatusCode};
use platform_core::{
    Classify as _,
    context::{TraceId, wire},
    fault::Abort,
    telemetry::trace::{Status, Value},
};

use super::{
    dialect::{Dialect, End, Judged, Told},
    metrics::{self, Meters},
};
use crate::{Body, classify::ByStatus, wire::LoadReport};

/// HTTP as it is: a reply means what its status says.
pub(super) struct Plain {
    pub(super) meters: Arc<Meters>,
}

impl Dialect for Plain {
    type Name = usize;
    type Answer = StatusCode;

    const HEADERS: wire::Protocol = wire::Protocol::Http;
    const LISTENS: bool = false;

    fn name(&self, request: &Request<Body>) -> usize {
        metrics::number(request.method())
    }

    fn judge(&self, _: &usize, reply: &Response<Body>) -> Judged<StatusCode> {
        let (outcome, hint) = ByStatus.classify(reply);
        let report = reply.headers().get(&wire::LOAD_REPORT).and_then(LoadReport::parse);
        Judged { outcome, hint, answer: reply.status(), under_way: report.map(|report| report.rif) }
    }

    fn abort(&self, abort: Abort) -> Option<Response<Body>> {
        let mut reply = Response::new(Body::empty_reply());
        *reply.status_mut() = abort.status()?;
        Some(reply)
    }

    fn observe(&self, name: &usize, end: &End<StatusCode>, took: Duration, trace: Option<TraceId>) {
        self.meters.observe(*name, *end, took, trace);
    }

    fn tell(&self, name: &usize, end: &End<StatusCode>) -> Told {
        let method = metrics::METHODS[*name];
        let mut attributes = vec![("http.request.method", Value::from(method))];
        let mut status = Status::Unset;
        if let End::Replied(replied) = end {
            attributes.push(("http.response.status_code", Value::Int(i64::from(replied.as_u16()))));
            if replied.as_u16() >= 400 {
                status = Status::Error(replied.as_str().to_owned().into());
            }
        }
        Told { name: method.into(), attributes, status }
    }
}
