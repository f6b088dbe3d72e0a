//! The edge between the stack and what answers: our body out, theirs back in.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll, ready},
    time::Duration,
};

use axum::routing::future::RouteFuture;
use http::{Request, Response};
use http_body::Body as _;
use pin_project_lite::pin_project;
use platform_core::{Context, Tick, context};
use tower_service::Service;

use super::learned::Learned;
use crate::{Body, body::Incoming};

/// What answers a request below the stack.
pub(super) trait Answer: Clone + Send + Sync + 'static {
    /// The reply, some time.
    type Future: Future<Output = Result<Response<Body>, Infallible>> + Send;

    /// Begins to answer. `limit` puts the limits around the body in the same step that makes it theirs: a
    /// request is some 300 bytes, and each step copies it.
    fn answer(
        &mut self,
        request: Request<hyper::body::Incoming>,
        context: &Context,
        limit: impl FnOnce(hyper::body::Incoming) -> Incoming,
    ) -> Self::Future;
}

/// An axum router; neither direction needs a box of ours. Cheap to clone.
#[derive(Clone)]
pub(super) struct Edge(Arc<Routers>);

struct Routers {
    /// Tells which route matched.
    noting: axum::Router,
    /// The same, for paths of which that is known.
    plain: axum::Router,
    learned: Arc<Learned>,
}

impl Edge {
    /// `plain` and `noting` have the same routes; `noting` teaches `learned` which paths need it no more.
    pub(super) fn new(noting: axum::Router, plain: axum::Router, learned: Arc<Learned>) -> Self {
        Edge(Arc::new(Routers { noting, plain, learned }))
    }
}

impl Answer for Edge {
    type Future = EdgeFuture;

    // A router finds the context in the scope around it, and is always ready.
    fn answer(
        &mut self,
        request: Request<hyper::body::Incoming>,
        context: &Context,
        limit: impl FnOnce(hyper::body::Incoming) -> Incoming,
    ) -> EdgeFuture {
        let routers = &*self.0;
        // Around a body the one that notes has something else to do as well.
        let known = Some(&request).filter(|request| request.body().is_end_stream());
        let known = known.and_then(|request| routers.learned.route(request.uri().path()));
        let mut router = match (known, context.notes()) {
            (Some(route), Some(notes)) => {
                notes.set_route(route);
                routers.plain.clone()
            }
            _ => routers.noting.clone(),
        };
        EdgeFuture { route: router.call(request.map(|body| axum::body::Body::new(limit(body)))) }
    }
}

/// Any tower service on our body.
#[derive(Clone)]
pub(super) struct Whole<S>(pub(super) S);

impl<S> Answer for Whole<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Future = WholeFuture<S>;

    fn answer(
        &mut self,
        request: Request<hyper::body::Incoming>,
        context: &Context,
        limit: impl FnOnce(hyper::body::Incoming) -> Incoming,
    ) -> WholeFuture<S> {
        let request = request.map(|body| Body::arrived(limit(body), context.clone()));
        WholeFuture { service: self.0.clone(), request: Some(request), reply: None }
    }
}

pin_project! {
    /// Lets a call write its reply where it stays: a future that hands one on by value moves some 300 bytes, and so
    /// does everything that stands around it. It looks how long each step of the call holds its thread.
    pub(super) struct Landing<'a, F> {
        #[pin]
        call: F,
        reply: &'a mut Option<Response<Body>>,
        // The clock that was read on the way in, until the first step is over.
        first: Option<Tick>,
        at_once: &'a mut Option<Tick>,
    }
}

impl<'a, F> Landing<'a, F> {
    /// A call that is begun at `now`. One that is answered in its first step leaves that in `at_once`: how long it took
    /// is known to whoever reads the clock next.
    pub(super) fn new(
        call: F,
        reply: &'a mut Option<Response<Body>>,
        now: Tick,
        at_once: &'a mut Option<Tick>,
    ) -> Self {
        Landing { call, reply, first: Some(now), at_once }
    }
}

/// A step of a handler held its thread from `began` to `ended`: was that too long?
#[inline]
pub(super) fn look_at_step(context: &Context, began: Tick, ended: Tick) {
    let took = ended.since(began);
    if took >= SLOW_POLL
        && let Some(notes) = context.notes()
    {
        notes.slow_poll(took);
    }
}

/// Whatever else this thread has to do waits as long, and with as many of them as there are threads so does every
/// request: half of what is called an overload where it stands (20 ms), and a thousand times what a step should take.
pub(super) const SLOW_POLL: Duration = Duration::from_millis(10);

impl<F: Future<Output = Result<Response<Body>, Infallible>>> Future for Landing<'_, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = self.project();
        let first = this.first.take();
        let began = first.unwrap_or_else(Tick::now);
        let polled = this.call.poll(cx);
        match (first, polled.is_ready()) {
            (Some(began), true) => **this.at_once = Some(began),
            _ => {
                context::with_current(|context| look_at_step(context, began, Tick::now()));
            }
        }
        match ready!(polled) {
            Ok(reply) => **this.reply = Some(reply),
            Err(never) => match never {},
        }
        Poll::Ready(())
    }
}

pin_project! {
    /// Waits until the service is ready, and then for its reply.
    pub(super) struct WholeFuture<S: Service<Request<Body>>> {
        service: S,
        request: Option<Request<Body>>,
        #[pin]
        reply: Option<S::Future>,
    }
}

impl<S> Future for WholeFuture<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.request.is_some() {
            ready!(this.service.poll_ready(cx))?;
            if let Some(request) = this.request.take() {
                this.reply.set(Some(this.service.call(request)));
            }
        }
        this.reply.as_pin_mut().expect("the request was taken only to make the reply").poll(cx)
    }
}

pin_project! {
    /// The reply of a router, on its way back.
    pub(super) struct EdgeFuture {
        #[pin]
        route: RouteFuture<Infallible>,
    }
}

impl Future for EdgeFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().route.poll(cx))?;
        Poll::Ready(Ok(response.map(Body::reply_from_axum)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use platform_core::context::Notes;
    use tokio::time::{advance, sleep};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// How often a handler held its thread for too long, and whether one look at the clock is left to be made.
    async fn looked_at(call: impl Future<Output = ()>) -> (u32, bool) {
        let notes = Arc::new(Notes::default());
        let mut context = Context::root(Tick::now());
        context.set_notes(Arc::clone(&notes));
        let (mut reply, mut at_once) = (None, None);
        let call = async {
            call.await;
            Ok(Response::new(Body::default()))
        };
        let landing = Landing::new(call, &mut reply, Tick::now(), &mut at_once);
        context::scope(context.clone(), landing).await;
        let left = at_once.is_some();
        if let Some(began) = at_once {
            look_at_step(&context, began, Tick::now());
        }
        (notes.slow_polls(), left)
    }

    /// The clock goes on while the handler holds its thread.
    async fn hold(length: Duration) {
        let mut held = std::pin::pin!(advance(length));
        let _ = std::future::poll_fn(|cx| Poll::Ready(held.as_mut().poll(cx))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_step_is_timed_and_none_that_only_waits() {
        assert_eq!(looked_at(async {}).await, (0, true));
        assert_eq!(looked_at(hold(9 * MS)).await, (0, true));
        assert_eq!(looked_at(hold(SLOW_POLL)).await, (1, true));
        assert_eq!(looked_at(sleep(500 * MS)).await, (0, false), "whoever waits holds nothing");
        let twice = async {
            hold(20 * MS).await;
            sleep(100 * MS).await;
            hold(30 * MS).await;
        };
        assert_eq!(looked_at(twice).await, (2, false));
    }
}
