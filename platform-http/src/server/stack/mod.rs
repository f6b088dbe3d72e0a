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
//! | guards | may it be served now? ([`ServerGuards`]; below an identity layer, if there is one) |
//! | catch panic | what if the handler is wrong? |
//! | scope | what may business code know? |

mod replies;

use std::{future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Request, Response, Version, header};
use http_body::Body as _;
use platform_core::{
    Context, Error, ErrorKind, Result,
    context::{
        self, Notes,
        wire::{self, Trust},
    },
    deadline::{Limit, Whose, within},
    identity::Identity,
    stack::{Lender, ServerGuards},
};
use tokio::time::Instant;

pub(super) use replies::out_of_time;

use super::{
    Peer, admit,
    classes::Paths,
    crossing::is_preflight,
    edge::{Answer, Landing},
    observe::{Observer, Seen},
    show::Show,
    trust::TrustConfig,
};
use crate::{Body, body::Incoming};

/// Everything that stands around a team's routes; cheap to clone.
#[derive(Clone)]
pub(super) struct Stack<S> {
    shared: Arc<Shared>,
    inner: S,
}

struct Shared {
    observer: Observer,
    identity: Arc<Identity>,
    guards: Arc<ServerGuards>,
    paths: Arc<Paths>,
    /// An identity layer asks the guards, below it.
    asks_below: bool,
    /// Browsers of other origins are answered.
    crossed: bool,
    quota: Option<HeaderValue>,
    trust: TrustConfig,
    show: Show,
    body: u64,
    body_idle: Duration,
}

/// What a stack is set to.
pub(super) struct Settings {
    pub(super) trust: TrustConfig,
    pub(super) show: Show,
    pub(super) guards: Arc<ServerGuards>,
    pub(super) paths: Arc<Paths>,
    pub(super) asks_below: bool,
    pub(super) crossed: bool,
    pub(super) quota: Option<HeaderValue>,
    pub(super) body: u64,
    pub(super) body_idle: Duration,
}

impl<S: Answer> Stack<S> {
    pub(super) fn new(observer: Observer, identity: Arc<Identity>, settings: Settings, inner: S) -> Self {
        let Settings { trust, show, guards, paths, asks_below, crossed, quota, body, body_idle } = settings;
        let shared = Shared {
            observer,
            identity,
            guards,
            paths,
            asks_below,
            crossed,
            quota,
            trust,
            show,
            body,
            body_idle,
        };
        Stack { shared: Arc::new(shared), inner }
    }

    /// How the peer is believed; whom its certificate names goes on with the request.
    pub(super) fn meet<B>(&self, request: &mut Request<B>, peer: &Peer) -> Trust {
        if let Some(identity) = &peer.identity {
            request.extensions_mut().insert(identity.clone());
        }
        self.shared.trust.of(peer.identity.as_ref())
    }

    /// Serves one request.
    ///
    /// One function, and what is large is pinned where it was made: every layer that takes the request or the
    /// reply by value costs a copy of some 300 bytes. A block and no `async fn`, which would keep the request twice.
    #[expect(clippy::manual_async_fn, reason = "an async fn moves its arguments into locals beside them")]
    pub(super) fn answer(
        mut self,
        request: Request<hyper::body::Incoming>,
        trust: Trust,
    ) -> impl Future<Output = Response<Body>> + Send {
        async move {
            let shared = &*self.shared;
            // Everything below reads the context. The one clock reading of the way in.
            let (mut context, parent, class) = shared.extract(&request, trust, Instant::now());
            // R1 Count everything: every refusal below is on the graph, with its final status.
            let mut seen = shared.observer.begin(&request, &context, parent, trust.internal);
            let mut admitted = shared.admit(&request, &mut context, class, &seen);
            // What a browser asks first takes no place: nothing is done for it, and refused it would be a network error.
            let free = shared.asks_below || (shared.crossed && is_preflight(&request));
            if admitted.is_ok() && !free {
                // Importance and capacity: a refusal runs no handler and reads no body.
                let has_body = !request.body().is_end_stream();
                match admit::enter(&shared.guards, class, &mut context, has_body).await {
                    Ok(slot) => seen.hold(slot),
                    Err(refusal) => admitted = Err(refusal),
                }
            }
            let (mut reply, mut at_once) = (None, None);
            let (ended, limit) = match admitted {
                Err(refusal) => (Err(refusal), None),
                Ok(limit) => {
                    let whole = seen.dialect().is_some();
                    let limits = |body| shared.limit_body(body, &context, class, whole);
                    let answer = pin!(self.inner.answer(request, &context, limits));
                    let call = pin!(Landing::new(answer, &mut reply, context.now(), &mut at_once));
                    // The one bridge to business code.
                    let scoped = pin!(context::scope(context, call));
                    // A panic passes through the layers above like any error.
                    let caught = AssertUnwindSafe(scoped).catch_unwind();
                    // R5 One clock: everything in here ends with it.
                    let ended = within(limit, caught).await;
                    if let Err(limit) = &ended
                        && limit.whose() == Whose::Caller
                    {
                        shared.guards.wasted(class);
                    }
                    (Ok(ended), limit)
                }
            };
            shared.judge(ended, &mut reply, &mut seen);
            let response = reply.as_mut().expect("what ended well left a reply, all else was refused");
            shared.name(response, &seen);
            shared.tell_degraded(response, &seen);
            // What callers of ours choose by.
            seen.tell_load(response.headers_mut());
            seen.end(response, limit, !trust.internal, at_once);
            reply.expect("it is looked at above")
        }
    }
}

impl Shared {
    /// What came with the request, under a span of our own, and whether it is recorded.
    fn extract<B>(
        &self,
        request: &Request<B>,
        trust: Trust,
        now: Instant,
    ) -> (Context, Option<context::SpanId>, u16) {
        let arrival = wire::read(request.headers(), trust, now);
        if !arrival.rejected.is_empty() {
            self.observer.count_rejected(arrival.rejected);
        }
        let mut context = arrival.context;
        let trace = context.trace();
        if context.is_debug() {
            // Everything of this one is kept, whatever somebody decided before it was asked for.
            self.observer.hear_debug();
            context.set_trace(trace.sampled(true));
        } else if !arrival.decided {
            // The head decides once; who is asked second keeps to it.
            context.set_trace(trace.sampled(self.observer.traces().samples(trace.trace_id())));
        }
        let notes = Notes::default();
        if let Some(identity) = request.extensions().get::<crate::tls::Identity>() {
            notes.add("peer", identity.as_str().to_owned());
        }
        self.show.note(request, &notes);
        context.set_notes(Arc::new(notes));
        let kind = self.paths.of(request.uri().path());
        match kind.criticality {
            None => {}
            // Here it enters, and nobody has said before how important it is.
            Some(criticality) if !trust.internal => context.enter_as(criticality),
            Some(criticality) => context.lower(criticality),
        }
        (context, arrival.parent, kind.class)
    }

    /// May it be served, and until when?
    fn admit<B: http_body::Body>(
        &self,
        request: &Request<B>,
        context: &mut Context,
        class: u16,
        seen: &Seen,
    ) -> Result<Option<Limit>> {
        let (now, timeout) = (context.now(), self.guards.timeout(class));
        let mut limit = Limit::of_call(context.deadline(), timeout, now);
        if let Some(known) = limit {
            // R9 Dead work takes no slot.
            if known.deadline().has_passed(now) {
                self.guards.expired(class, context)?;
                // What may only be counted is served as if nobody had said until when.
                limit = Limit::of_call(None, timeout, now);
            } else {
                context.narrow(known.deadline());
            }
        }
        // R2 What the head says needs no reading.
        let is_host = |(name, _): &(&HeaderName, _)| *name == header::HOST;
        if request.version() == Version::HTTP_11 && request.headers().iter().filter(is_host).count() != 1 {
            // RFC 9112 3.2; two readers of one request that disagree about its host can be played off.
            return Err(
                Error::new(ErrorKind::Invalid, "a request has exactly one host header").at_layer("head")
            );
        }
        let length = request.body().size_hint().lower();
        // A stream of messages has no size of its own; each message has, where it is decoded.
        if length > self.body && seen.dialect().is_none() {
            let why = format!(
                "the body has {length} bytes, at most {} are allowed (server.limits.body)",
                self.body
            );
            return Err(Error::new(ErrorKind::BodyTooLarge, why).at_layer("body-limit"));
        }
        Ok(limit)
    }

    /// `whole`: it may be as long and as slow as the call itself.
    fn limit_body(
        &self,
        body: hyper::body::Incoming,
        context: &Context,
        class: u16,
        whole: bool,
    ) -> Incoming {
        // Most requests have no body; those carry no limits either.
        let Some(notes) = context.notes().filter(|_| !body.is_end_stream()) else {
            return Incoming::unlimited(body);
        };
        let lender = Lender::new(&self.guards, class, notes);
        if whole {
            Incoming::watched(body, lender)
        } else {
            Incoming::limited(body, self.body, self.body_idle, lender)
        }
    }
}

/// How a handler's future ended: with a reply, with a panic, or not in time.
type Ended = Result<std::thread::Result<()>, Limit>;
