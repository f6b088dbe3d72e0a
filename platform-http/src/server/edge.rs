//! The router's edge: our body out to axum, axum's back in.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{self, Poll, ready},
};

use axum::routing::future::RouteFuture;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::Body;

/// An axum router as a service on our [`Body`]; neither direction needs a box of ours.
#[derive(Clone)]
pub(super) struct Edge(pub(super) axum::Router);

impl Service<Request<Body>> for Edge {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = EdgeFuture;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // A router is always ready.
    }

    fn call(&mut self, request: Request<Body>) -> EdgeFuture {
        EdgeFuture { route: self.0.call(request.map(Body::into_axum)) }
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
