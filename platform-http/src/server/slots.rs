//! Where may a team insert layers of its own?
//!
//! Two places in the server's order, each for a tower layer. `identity` sees a request when it is known to be
//! alive and not too large, and before business code: whom it authenticates, it lets pass, refuses, or gives
//! a tenant, which is true for everything below and stands in the canonical line (unless a service of ours has
//! named one before: nobody changes on whose behalf a call runs). `handler` sees what the routes see. Both are
//! inside the observer and the deadline, so that what they refuse is counted and how long they take is cut.
//! [`Server::cors`](crate::Server::cors) stands around `identity`: what a browser asks first has no credentials.
//!
//! A layer refuses with an `Err`, which becomes a problem document like any other refusal:
//!
//! ```
//! use std::{future::{Future, Ready, ready}, pin::Pin, task::{Context, Poll}};
//!
//! use axum::{Router, routing::get};
//! use http::{Request, Response, header};
//! use platform_core::{Error, ErrorKind, call::Call as _, context::Tenant};
//! use platform_http::{Body, Server, server::slots::Rest};
//! use tower_layer::layer_fn;
//! use tower_service::Service;
//!
//! /// Every tenant has a key of its own; a real one would look it up.
//! #[derive(Clone)]
//! struct ByKey(Rest);
//!
//! impl Service<Request<Body>> for ByKey {
//!     type Response = Response<Body>;
//!     type Error = Error;
//!     type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;
//!
//!     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
//!         self.0.poll_ready(cx)
//!     }
//!
//!     fn call(&mut self, mut request: Request<Body>) -> Self::Future {
//!         let key = request.headers().get(header::AUTHORIZATION).and_then(|key| key.to_str().ok());
//!         let Some(tenant) = key.and_then(|key| key.strip_prefix("Key ")).and_then(Tenant::parse) else {
//!             let error = Error::new(ErrorKind::Unauthenticated, "send `authorization: Key YOURS`");
//!             return Box::pin(ready(Err(error.at_layer("by-key"))));
//!         };
//!         request.context_mut().set_tenant(tenant);
//!         Box::pin(self.0.call(request))
//!     }
//! }
//!
//! let routes = Router::new().route("/", get(|| async { "hello" }));
//! let server = Server::new(routes).identity(layer_fn(ByKey));
//! # let _ = server;
//! ```

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use axum::Router;
use http::{Request, Response};
use http_body::Body as _;
use platform_core::{call::CarryCall as _, context};
use tower_http::cors::CorsLayer;
use tower_layer::Layer;
use tower_service::Service;

use super::admit::Door;
pub use crate::layers::{Around, Rest};
use crate::{
    Body,
    layers::{Below, Reply, Wrap, within},
    problem,
};

/// The layers in a server's slots.
#[derive(Default)]
pub(super) struct Slots {
    identity: Vec<Wrap>,
    handler: Vec<Wrap>,
}

impl Slots {
    pub(super) fn is_empty(&self) -> bool {
        self.identity.is_empty() && self.handler.is_empty()
    }

    pub(super) fn identity<L>(&mut self, layer: L)
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        self.identity.push(Wrap::new(layer));
    }

    /// In front of those that a team has put there.
    pub(super) fn identity_first<L>(&mut self, layer: L)
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        self.identity.insert(0, Wrap::new(layer));
    }

    pub(super) fn handler<L>(&mut self, layer: L)
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        self.handler.push(Wrap::new(layer));
    }

    /// Does anybody find out here who asks?
    pub(super) fn has_identity(&self) -> bool {
        !self.identity.is_empty()
    }

    /// The routes with everything in its slot; `door` is asked between the two, if there is one, and `cors` before
    /// both.
    pub(super) fn around(self, routes: Rest, door: Option<Door>, cors: Option<CorsLayer>) -> Slotted {
        let inner = within(&self.handler, routes);
        let inner = match door {
            Some(door) => Rest(Arc::new(Behind(door, inner))),
            None => inner,
        };
        let identified = within(&self.identity, Rest(Arc::new(Scoped(inner))));
        Slotted(match cors {
            Some(cors) => within(&[Wrap::new(cors)], Rest(Arc::new(Answering(identified)))),
            None => identified,
        })
    }
}

impl Rest {
    pub(super) fn routes(routes: Router) -> Self {
        Rest(Arc::new(Routes(routes)))
    }

    pub(super) fn service<S>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        Rest(Arc::new(Never(service)))
    }
}

/// The routes; the router finds the context in the scope around it.
struct Routes(Router);

impl Below for Routes {
    fn answer(&self, request: Request<Body>) -> Reply {
        // A router is always ready.
        let reply = self.0.clone().call(request.map(Body::into_axum));
        Box::pin(async move {
            match reply.await {
                Ok(reply) => Ok(reply.map(Body::reply_from_axum)),
                Err(never) => match never {},
            }
        })
    }
}

/// A service of a team that answers everything.
struct Never<S>(S);

impl<S> Below for Never<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    fn answer(&self, request: Request<Body>) -> Reply {
        let mut service = self.0.clone();
        Box::pin(async move {
            let ready = std::future::poll_fn(|cx| service.poll_ready(cx)).await;
            match ready {
                Ok(()) => {}
                Err(never) => match never {},
            }
            match service.call(request).await {
                Ok(reply) => Ok(reply),
                Err(never) => match never {},
            }
        })
    }
}

/// Between the slots: what `identity` found out is true for everything below.
struct Scoped(Rest);

impl Below for Scoped {
    fn answer(&self, request: Request<Body>) -> Reply {
        let context = request.body().context().clone();
        if let (Some(notes), Some(tenant)) = (context.notes(), context.tenant()) {
            notes.set_tenant(tenant);
        }
        Box::pin(context::scope(context, self.0.0.answer(request)))
    }
}

/// What is behind the server's guards.
struct Behind(Door, Rest);

impl Below for Behind {
    fn answer(&self, mut request: Request<Body>) -> Reply {
        let (door, rest) = (self.0.clone(), self.1.clone());
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let has_body = !request.body().is_end_stream();
            let serving = door.enter(&path, request.body_mut().context_mut(), has_body).await?;
            let reply = rest.0.answer(request).await;
            Ok(serving.answered(reply))
        })
    }
}

/// What a layer refuses is a reply, so that what stands around it may say who may read it.
struct Answering(Rest);

impl Below for Answering {
    fn answer(&self, request: Request<Body>) -> Reply {
        let reply = self.0.0.answer(request);
        Box::pin(async move { Ok(reply.await.unwrap_or_else(problem::refused)) })
    }
}

/// Routes with all slots around them; what a layer refuses is a reply.
#[derive(Clone)]
pub(super) struct Slotted(Rest);

impl Service<Request<Body>> for Slotted {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let reply = self.0.0.answer(request);
        Box::pin(async move { Ok(reply.await.unwrap_or_else(problem::refused)) })
    }
}
