//! What may a page of another origin read of what the server itself answers?
//!
//! CORS stands in the routes, or around all that asks who calls. What is refused above it (no place, no time left, a
//! handler that panicked) would come without its fields, and then a browser shows its page a network error where the
//! status and the delay stand. So a reply to another origin that has none of them gets them here. A browser's first
//! question, whether it may ask at all, is answered without a place: a refusal would be a network error as well, and
//! nothing is done for it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{HeaderMap, Method, Request, Response, header};
use tower_http::cors::CorsLayer;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::Body;

/// The answer of a server to pages of other origins.
#[derive(Clone, Debug)]
pub(super) struct Crossing(pub(super) CorsLayer);

/// A request of another origin, as much of it as is asked.
pub(super) struct Crossed {
    cors: CorsLayer,
    head: Request<()>,
}

impl Crossing {
    /// A request that a browser made for a page of another origin, or of its own with something in it.
    pub(super) fn of<B>(&self, request: &Request<B>) -> Option<Crossed> {
        if !request.headers().contains_key(header::ORIGIN) {
            return None;
        }
        // A team's own rule may look at anything.
        let mut head = Request::new(());
        request.method().clone_into(head.method_mut());
        request.uri().clone_into(head.uri_mut());
        request.headers().clone_into(head.headers_mut());
        request.extensions().clone_into(head.extensions_mut());
        Some(Crossed { cors: self.0.clone(), head })
    }
}

impl Crossed {
    /// The reply as that page may read it.
    pub(super) async fn told(self, mut response: Response<Body>) -> Response<Body> {
        if !response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            let ours = response.headers_mut();
            for (name, value) in &self.fields().await {
                // One that came through the layer and may not be read has the others already.
                ours.entry(name).or_insert_with(|| value.clone());
            }
        }
        response
    }

    async fn fields(self) -> HeaderMap {
        match self.cors.layer(Nothing).call(self.head).await {
            Ok(response) => response.into_parts().0.headers,
            Err(never) => match never {},
        }
    }
}

/// Does a browser ask whether it may ask (the Fetch standard's preflight)?
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    let has = |name| request.headers().contains_key(name);
    *request.method() == Method::OPTIONS && has(header::ORIGIN) && has(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// A service with nothing to say.
struct Nothing;

impl Service<Request<()>> for Nothing {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}
