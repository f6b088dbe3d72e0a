//! In what order is a request served?
//!
//! One page: the first line sees the request first, and each line says why it stands there. The rules (R1 …)
//! are those of [`platform_core::stack`].
//!
//! | layer | question |
//! |---|---|
//! | extract | what came with it? |
//! | observe | what happened to it? |
//! | respond | what is the reply to a refusal? |
//! | deadline | how long may it take? |
//! | body limit | how large may it be? |
//! | catch panic | what if the handler is wrong? |
//! | scope | what may business code know? |

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use platform_core::{
    Context, Error, ErrorKind, Result,
    context::{
        self, Notes,
        wire::{self, Trust},
    },
    deadline::{Limit, within},
    identity::Identity,
    lifecycle::panic_text,
};
use tokio::time::Instant;
use tower_service::Service;

use super::observe::{Observer, Seen};
use crate::{
    Body,
    body::Incoming,
    problem::{Refused, Teller, render},
};

/// Everything that stands around a team's routes; cheap to clone.
#[derive(Clone)]
pub(super) struct Stack<S> {
    shared: Arc<Shared>,
    inner: S,
}

struct Shared {
    observer: Observer,
    identity: Arc<Identity>,
    trust: Trust,
    timeout: Option<Duration>,
    body: u64,
    body_idle: Duration,
}

/// What a stack is set to.
pub(super) struct Settings {
    pub(super) trust: Trust,
    pub(super) timeout: Option<Duration>,
    pub(super) body: u64,
    pub(super) body_idle: Duration,
}

impl<S> Stack<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    pub(super) fn new(observer: Observer, identity: Arc<Identity>, settings: &Settings, inner: S) -> Self {
        let &Settings { trust, timeout, body, body_idle } = settings;
        Stack { shared: Arc::new(Shared { observer, identity, trust, timeout, body, body_idle }), inner }
    }

    /// Serves one request.
    pub(super) async fn answer(mut self, request: Request<hyper::body::Incoming>) -> Response<Body> {
        let shared = &*self.shared;
        // Everything below reads the context. The one clock reading of the way in.
        let (context, parent) = shared.extract(&request, Instant::now());
        // R1 Count everything: every refusal below is on the graph, with its final status.
        let seen = shared.observer.begin(&request, &context, parent);
        let reply = shared.ask(&mut self.inner, request, context).await;
        // Above all that can refuse, below the observer that must see the final status.
        let mut response = shared.respond(&seen, reply);
        seen.end(&mut response);
        response
    }
}

impl Shared {
    /// What came with the request, under a span of our own, and whether it is recorded.
    fn extract<B>(&self, request: &Request<B>, now: Instant) -> (Context, Option<context::SpanId>) {
        let arrival = wire::read(request.headers(), self.trust, now);
        if !arrival.rejected.is_empty() {
            self.observer.count_rejected(arrival.rejected);
        }
        let mut context = arrival.context;
        // The head decides once; who is asked second keeps to it.
        if !arrival.decided {
            let trace = context.trace();
            let sampled = context.is_debug() || self.observer.traces().samples(trace.trace_id());
            context.set_trace(trace.sampled(sampled));
        }
        context.set_notes(Arc::new(Notes::default()));
        (context, arrival.parent)
    }

    async fn ask<S>(
        &self,
        inner: &mut S,
        request: Request<hyper::body::Incoming>,
        mut context: Context,
    ) -> Result<Response<Body>>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let now = context.now();
        // R9 Dead work takes no slot. R5 One clock: everything below ends with it.
        let limit = Limit::of_call(context.deadline(), self.timeout, now);
        if let Some(limit) = limit {
            if limit.deadline().has_passed(now) {
                return Err(
                    Error::new(ErrorKind::Expired, "the deadline had passed on arrival").at_layer("deadline")
                );
            }
            context.narrow(limit.deadline());
        }
        // R2 What the head says needs no reading.
        let length = request.body().size_hint().lower();
        if length > self.body {
            let why = format!(
                "the body has {length} bytes, at most {} are allowed (server.limits.body)",
                self.body
            );
            return Err(Error::new(ErrorKind::BodyTooLarge, why).at_layer("body-limit"));
        }
        let notes = context.notes().cloned().unwrap_or_default();
        let served = context.clone();
        let request = request
            .map(|body| Body::arrived(Incoming::limited(body, self.body, self.body_idle, &notes), context));
        // The one bridge to business code; a panic in it passes through the layers above like any error.
        let reply =
            within(limit, AssertUnwindSafe(context::scope(served, inner.call(request))).catch_unwind()).await;
        // What cut the body is the reason, whatever the handler made of it.
        if let Some(cut) = notes.reason() {
            return Err(cut.clone());
        }
        match reply {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(panic)) => Err(self.panicked(&*panic)),
            Err(limit) => Err(out_of_time(limit)),
        }
    }

    fn panicked(&self, panic: &(dyn std::any::Any + Send)) -> Error {
        self.observer.count_panic();
        tracing::error!(panic = panic_text(panic), "a handler panicked");
        Error::new(ErrorKind::Panic, "the handler panicked; the log says where").at_layer("catch-panic")
    }

    /// The reply to a refusal is a problem document; every reply names its request.
    fn respond(&self, seen: &Seen, reply: Result<Response<Body>>) -> Response<Body> {
        let context = seen.context();
        let trace_id;
        let request_id = match context.request_id() {
            Some(id) => id.as_bytes(),
            None => {
                trace_id = context.trace().trace_id().to_hex();
                &trace_id
            }
        };
        let mut response = match reply {
            Ok(response) => match refusal(&response) {
                Some(error) => self.tell(&error, request_id, Some(response)),
                None => response,
            },
            Err(error) => self.tell(&error, request_id, None),
        };
        let id = HeaderValue::from_bytes(request_id).expect("a request id is a token or hex");
        response.headers_mut().insert(&wire::REQUEST_ID, id);
        response
    }

    /// The problem document for `error`; what a handler set on its own reply stays.
    fn tell(&self, error: &Error, request_id: &[u8], reply: Option<Response<Body>>) -> Response<Body> {
        let teller = Teller {
            service: &self.identity.name,
            request_id: std::str::from_utf8(request_id).unwrap_or_default(),
            to_strangers: !self.trust.internal,
        };
        let mut response = render(error, &teller);
        if let Some(reply) = reply {
            *response.status_mut() = reply.status();
            for (name, value) in reply.headers() {
                if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
                    response.headers_mut().insert(name, value.clone());
                }
            }
        }
        response.extensions_mut().insert(Refused(error.clone()));
        response
    }
}

/// The error behind a reply: a handler's [`Problem`](crate::Problem), or a router that knows no such path.
fn refusal(response: &Response<Body>) -> Option<Error> {
    if response.status().is_success() {
        return None;
    }
    if let Some(Refused(error)) = response.extensions().get() {
        return Some(error.clone());
    }
    let bare = response.body().is_end_stream() || response.body().size_hint().exact() == Some(0);
    match response.status() {
        StatusCode::NOT_FOUND if bare => Some(Error::new(ErrorKind::NotFound, "there is no such path")),
        StatusCode::METHOD_NOT_ALLOWED if bare => {
            Some(Error::new(ErrorKind::Invalid, "this path has no such method"))
        }
        _ => None,
    }
}

/// The server's own words for a limit that was reached.
fn out_of_time(limit: Limit) -> Error {
    let why = match limit.whose() {
        platform_core::deadline::Whose::Caller => "all that the caller had left",
        _ => "the limit of this server (server.policy.timeout)",
    };
    Error::new(ErrorKind::Timeout, format!("no answer within {:?}, {why}", limit.length()))
        .at_layer("deadline")
}
