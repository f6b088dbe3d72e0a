//! What is a team's layer put around?
//!
//! The same on both sides: a server's slots ([`server::slots`](crate::server::slots)) and a client's
//! ([`client::slots`](crate::client::slots)).

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use http::{Request, Response};
use platform_core::Error;
use tower_layer::Layer;
use tower_service::Service;

use crate::Body;

/// All that stands below a slot: what a slot's layer is put around.
///
/// Always ready; cloning it copies a pointer. Each request costs it a box.
#[derive(Clone)]
pub struct Rest(pub(crate) Arc<dyn Below>);

/// What a slot's layer makes of the rest.
pub trait Around:
    Service<Request<Body>, Response = Response<Body>, Error = Error, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Around for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Error, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Something that answers.
pub(crate) trait Below: Send + Sync {
    fn answer(&self, request: Request<Body>) -> Reply;
}

/// What it answers.
pub(crate) type Reply = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

/// A layer of a team.
pub(crate) struct Wrap {
    /// The type that it makes, for who looks at the stack.
    pub(crate) name: &'static str,
    around: Box<dyn Fn(Rest) -> Rest + Send + Sync>,
}

impl Wrap {
    pub(crate) fn new<L>(layer: L) -> Self
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        let name = std::any::type_name::<L::Service>();
        Wrap { name, around: Box::new(move |rest| Rest(Arc::new(Any(layer.layer(rest))))) }
    }
}

/// `inner` with layers around it: who was put in first sees a request first.
pub(crate) fn within(layers: &[Wrap], inner: Rest) -> Rest {
    layers.iter().rev().fold(inner, |inner, wrap| (wrap.around)(inner))
}

impl Service<Request<Body>> for Rest {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.answer(request)
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").finish_non_exhaustive()
    }
}

/// What a slot's layer made.
struct Any<S>(S);

impl<S: Around> Below for Any<S> {
    fn answer(&self, request: Request<Body>) -> Reply {
        let mut service = self.0.clone();
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        })
    }
}
