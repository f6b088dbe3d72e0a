//! The edge between the stack and what answers: our body out, theirs back in.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{self, Poll, ready},
};

use axum::routing::future::RouteFuture;
use http::{Request, Response};
use pin_project_lite::pin_project;
use platform_core::Context;
use tower_service::Service;

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

/// An axum router; neither direction needs a box of ours.
#[derive(Clone)]
pub(super) struct Edge(pub(super) axum::Router);

impl Answer for Edge {
    type Future = EdgeFuture;

    // A router finds the context in the scope around it, and is always ready.
    fn answer(
        &mut self,
        request: Request<hyper::body::Incoming>,
        _context: &Context,
        limit: impl FnOnce(hyper::body::Incoming) -> Incoming,
    ) -> EdgeFuture {
        EdgeFuture { route: self.0.call(request.map(|body| axum::body::Body::new(limit(body)))) }
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
    /// does everything that stands around it.
    pub(super) struct Landing<'a, F> {
        #[pin]
        call: F,
        reply: &'a mut Option<Response<Body>>,
    }
}

impl<'a, F> Landing<'a, F> {
    pub(super) fn new(call: F, reply: &'a mut Option<Response<Body>>) -> Self {
        Landing { call, reply }
    }
}

impl<F: Future<Output = Result<Response<Body>, Infallible>>> Future for Landing<'_, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = self.project();
        match ready!(this.call.poll(cx)) {
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
