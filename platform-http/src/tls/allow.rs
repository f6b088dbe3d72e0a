//! Whom does a route serve?

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use futures_util::future::Either;
use http::Request;
use platform_core::{Error, ErrorKind};
use tower_layer::Layer;
use tower_service::Service;

use super::Identity;
use crate::Problem;

/// Serves only peers whose certificate names one of `names`; a name that ends in `/*` stands for all that begin
/// alike. Others are answered 403, and 401 if they showed no certificate.
///
/// Around routes, with the router's own `route_layer`, so that what is not there stays a 404:
///
/// ```
/// use axum::{Router, routing::{get, post}};
/// use platform_http::tls::allow;
///
/// let routes: Router = Router::new()
///     .route("/refunds", post(|| async { "done" }))
///     .route_layer(allow(["spiffe://shop/payments", "spiffe://shop/desk/*"]))
///     .route("/prices", get(|| async { "3.50" }));
/// ```
pub fn allow<N: Into<Arc<str>>>(names: impl IntoIterator<Item = N>) -> Allow {
    Allow(names.into_iter().map(Into::into).collect())
}

/// What [`allow`] makes: a layer for routes.
#[derive(Clone, Debug)]
pub struct Allow(Arc<[Arc<str>]>);

/// Routes behind a list.
#[derive(Clone, Debug)]
pub struct Allowed<S> {
    allow: Allow,
    inner: S,
}

impl Allow {
    fn check(&self, peer: Option<&Identity>) -> Result<(), Error> {
        let Some(peer) = peer else {
            let why =
                "this path is for peers that show a certificate, and this one showed none that names it";
            return Err(Error::new(ErrorKind::Unauthenticated, why).at_layer(LAYER));
        };
        if self.0.iter().any(|name| covers(name, peer.as_str())) {
            return Ok(());
        }
        let why = format!("{peer} is not one of those that this path is for");
        Err(Error::new(ErrorKind::Forbidden, why).at_layer(LAYER))
    }
}

/// Is `peer` the name, or below the name that ends in `/*`?
pub(crate) fn covers(name: &str, peer: &str) -> bool {
    match name.strip_suffix('*') {
        Some(above) if above.ends_with('/') => peer.len() > above.len() && peer.starts_with(above),
        _ => name == peer,
    }
}

impl<S> Layer<S> for Allow {
    type Service = Allowed<S>;

    fn layer(&self, inner: S) -> Allowed<S> {
        Allowed { allow: self.clone(), inner }
    }
}

impl<S> Service<Request<Body>> for Allowed<S>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.allow.check(request.extensions().get()) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(refusal) => Either::Right(ready(Ok(Problem::from(refusal).into_response()))),
        }
    }
}

const LAYER: &str = "allow";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_who_and_why_not() {
        let list = allow(["spiffe://shop/payments", "spiffe://shop/desk/*"]);
        let kind = |peer: Option<&str>| {
            let peer = peer.map(Identity::named);
            list.check(peer.as_ref()).map_err(|error| error.kind())
        };
        assert_eq!(kind(None), Err(ErrorKind::Unauthenticated));
        for peer in ["spiffe://shop/payments", "spiffe://shop/desk/a", "spiffe://shop/desk/a/b"] {
            assert_eq!(kind(Some(peer)), Ok(()), "{peer}");
        }
        for peer in [
            "spiffe://shop/payments/x",
            "spiffe://shop/payment",
            "spiffe://shop/desk",
            "spiffe://shop/desk/",
            "spiffe://shop/desks",
            "spiffe://other/payments",
            "*",
        ] {
            assert_eq!(kind(Some(peer)), Err(ErrorKind::Forbidden), "{peer}");
        }
        assert_eq!(
            allow::<&str>([]).check(Some(&Identity::named("a"))).unwrap_err().kind(),
            ErrorKind::Forbidden
        );
    }

    #[test]
    fn a_star_stands_for_nothing_but_an_end() {
        assert!(!covers("*", "spiffe://shop/a"), "everybody is not a list");
        assert!(!covers("spiffe://shop/a*", "spiffe://shop/ab"));
        assert!(covers("spiffe://shop/a*", "spiffe://shop/a*"));
    }
}
