//! What does a client's wire say in gRPC?

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response};
use platform_core::{
    Result,
    call::CarryCall as _,
    context::{TraceId, wire},
    fault::Abort,
    telemetry::trace::{Status, Value},
};
use platform_http::{
    Body,
    client::dialect::{self, Dialect, End, Late, Told},
};
use tonic::Code;

use super::{
    follow::follow,
    metrics::{Meter, Meters},
    peek::{Shape, peek},
    request::{CallersDeadline, WaitForReady},
};
use crate::{
    classify::{Judged, name},
    methods::{Method, Methods},
    server::metrics::SYSTEM,
};

/// gRPC, for a client's wire.
pub(super) struct Grpc {
    known: Methods,
    meters: Arc<Meters>,
}

/// What is called.
pub(super) struct Called {
    meter: Arc<Meter>,
    method: Method,
}

impl Grpc {
    pub(super) fn new(known: Methods, meters: Arc<Meters>) -> Self {
        Grpc { known, meters }
    }

    /// What is known of the method at this path: of itself, of its service, of all.
    pub(super) fn method(&self, path: &str) -> Method {
        let path = bare(path);
        let known = self.known.get(path).or_else(|| self.known.get(path.split_once('/')?.0));
        known.or_else(|| self.known.get("")).copied().unwrap_or_default()
    }
}

impl Dialect for Grpc {
    type Name = Called;
    type Answer = Code;

    const HEADERS: wire::Protocol = wire::Protocol::Grpc;
    const LISTENS: bool = true;

    fn name(&self, request: &Request<Body>) -> Called {
        let path = request.uri().path();
        Called { meter: self.meters.of(bare(path)), method: self.method(path) }
    }

    fn waits(&self, request: &Request<Body>) -> bool {
        request.extensions().get::<WaitForReady>().is_some()
    }

    /// The policy's limits are for a stream's head. A server that was told of them would cut the rest.
    fn sends(&self, called: &Called, call: &mut Request<Body>) {
        if called.method.unary == Some(true) {
            return;
        }
        let deadline = call.extensions().get::<CallersDeadline>().and_then(|callers| callers.0);
        let left = deadline.map(|deadline| deadline.remaining(call.body().context().now()));
        call.headers_mut().remove(&wire::GRPC_TIMEOUT);
        if let Some(left) = left
            && let Ok(left) = HeaderValue::from_str(&format!("{}m", left.as_millis().min(MOST_MS)))
        {
            call.headers_mut().insert(&wire::GRPC_TIMEOUT, left);
        }
    }

    fn judge(&self, called: &Called, reply: &Response<Body>) -> dialect::Judged<Code> {
        called.told(by_head(reply).unwrap_or(Judged::OK))
    }

    async fn listen(&self, called: &Called, reply: &mut Response<Body>) -> Result<dialect::Judged<Code>> {
        let judged = match by_head(reply) {
            Some(judged) => judged,
            None => {
                let shape = match called.method.unary {
                    Some(true) => Shape::Unary,
                    Some(false) => Shape::Stream,
                    None => Shape::Unknown,
                };
                peek(shape, reply.body_mut()).await?
            }
        };
        Ok(called.told(judged))
    }

    fn follow(&self, called: &Called, reply: &mut Response<Body>, late: impl FnOnce() -> Late) {
        // A unary call was judged by its end; one whose head has the status has no more to say.
        if called.method.unary != Some(true) && !reply.headers().contains_key(tonic::Status::GRPC_STATUS) {
            follow(reply, late());
        }
    }

    fn abort(&self, abort: Abort) -> Option<Response<Body>> {
        // Nobody there: no connection, no reply.
        if abort == Abort::Unreachable {
            return None;
        }
        let status = tonic::Status::new(Code::from_i32(abort.grpc().number().into()), "a fault was injected");
        Some(status.into_http::<()>().map(|()| Body::empty_reply()))
    }

    fn observe(&self, called: &Called, end: &End<Code>, took: Duration, trace: Option<TraceId>) {
        called.meter.observe(*end, took, trace);
    }

    fn tell(&self, called: &Called, end: &End<Code>) -> Told {
        let method = called.meter.method.to_string();
        let mut attributes =
            vec![("rpc.system.name", Value::from(SYSTEM)), ("rpc.method", Value::from(method.clone()))];
        let mut status = Status::Unset;
        if let End::Replied(code) = end {
            attributes.push(("rpc.response.status_code", Value::from(name(*code))));
            if *code != Code::Ok {
                attributes.push(("error.type", Value::from(name(*code))));
                status = Status::Error(name(*code).into());
            }
        }
        Told { name: method.into(), attributes, status }
    }
}

/// Of a call that failed with its first word, and of what no server of gRPC has answered.
fn by_head(reply: &Response<Body>) -> Option<Judged> {
    let proxy = || (!reply.status().is_success()).then(|| Judged::of_http(reply.status()));
    Judged::heard(reply.headers()).or_else(proxy)
}

impl Called {
    /// What an answer means to this method.
    fn told(&self, judged: Judged) -> dialect::Judged<Code> {
        let judged = self.method.codes.judge(judged, self.method.idempotent);
        let Judged { code, outcome, hint, under_way, .. } = judged;
        dialect::Judged { outcome, hint, answer: code, under_way }
    }
}

/// Without the slash before it.
fn bare(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}

/// Eight digits, as the specification has it.
const MOST_MS: u128 = 99_999_999;
