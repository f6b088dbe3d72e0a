//! What does a client's wire say in gRPC?

use std::{sync::Arc, time::Duration};

use http::{Request, Response};
use platform_core::{
    Result,
    context::{TraceId, wire},
    fault::Abort,
    telemetry::trace::{Status, Value},
};
use platform_http::{
    Body,
    client::dialect::{self, Dialect, End, Told},
};
use tonic::Code;

use super::{
    metrics::{Meter, Meters},
    peek::{Shape, peek},
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
    shape: Shape,
}

impl Grpc {
    pub(super) fn new(known: Methods, meters: Arc<Meters>) -> Self {
        Grpc { known, meters }
    }

    /// What the proto says of the method at this path, if it is known.
    pub(super) fn method(&self, path: &str) -> Option<Method> {
        self.known.get(bare(path)).copied()
    }
}

impl Dialect for Grpc {
    type Name = Called;
    type Answer = Code;

    const HEADERS: wire::Protocol = wire::Protocol::Grpc;
    const LISTENS: bool = true;

    fn name(&self, request: &Request<Body>) -> Called {
        let path = request.uri().path();
        let shape = match self.method(path) {
            Some(Method { unary: true, .. }) => Shape::Unary,
            Some(_) => Shape::Stream,
            None => Shape::Unknown,
        };
        Called { meter: self.meters.of(bare(path)), shape }
    }

    fn judge(&self, reply: &Response<Body>) -> dialect::Judged<Code> {
        told(by_head(reply).unwrap_or(Judged::OK))
    }

    async fn listen(
        &self,
        called: &Called,
        mut reply: Response<Body>,
    ) -> Result<(Response<Body>, dialect::Judged<Code>)> {
        let judged = match by_head(&reply) {
            Some(judged) => judged,
            None => peek(called.shape, reply.body_mut()).await?,
        };
        Ok((reply, told(judged)))
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
    Judged::of(reply.headers()).or_else(proxy)
}

fn told(Judged { code, outcome, hint, .. }: Judged) -> dialect::Judged<Code> {
    dialect::Judged { outcome, hint, answer: code }
}

/// Without the slash before it.
fn bare(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}
