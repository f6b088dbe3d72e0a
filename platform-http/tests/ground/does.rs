//! A layer of a client that is a closure. Shared by the tests of several crates.

use std::pin::Pin;

use http::{Request, Response};
use platform_core::Result;
use platform_http::{
    Body,
    client::slots::{Around, Rest},
};
use tower::service_fn;
use tower_layer::{Layer, layer_fn};

/// What becomes of a request.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>>> + Send>>;

/// A layer that does this with each request.
pub(crate) fn does<F>(does: F) -> impl Layer<Rest, Service: Around> + Send + Sync + 'static
where
    F: Fn(Rest, Request<Body>) -> Answer + Clone + Send + Sync + 'static,
{
    layer_fn(move |rest: Rest| {
        let does = does.clone();
        service_fn(move |request| does(rest.clone(), request))
    })
}
