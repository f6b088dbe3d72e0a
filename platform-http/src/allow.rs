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
use http::{Extensions, HeaderValue, Request, header};
use platform_core::{Error, ErrorKind};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Problem, bearer::Bearer, problem::challenge, tls::Identity};

/// Serves only those who are on the list `names`. One of these is enough:
///
/// | written | is |
/// |---|---|
/// | `spiffe://shop/payments` | the peer whose certificate names this; a name that ends in `/*` stands for all that begin alike |
/// | `sub:ann` | the caller whose token names this subject; `sub:*` is anybody with a token that is good |
/// | `scope:refunds.write` | any caller whose token has this scope |
///
/// Others are answered 403, and 401 if they showed nothing that a name could stand on.
///
/// Around routes, with the router's own `route_layer`, so that what is not there stays a 404; `[server.allow]` says the
/// same in a file:
///
/// ```
/// use axum::{Router, routing::{get, post}};
/// use platform_http::allow;
///
/// let routes: Router = Router::new()
///     .route("/refunds", post(|| async { "done" }))
///     .route_layer(allow(["spiffe://shop/payments", "spiffe://shop/desk/*", "scope:refunds.write"]))
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

/// One name of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// Whom a certificate names.
    Peer(&'a str),
    /// Whom a token names.
    Subject(&'a str),
    /// What a token may.
    Scope(&'a str),
}

impl<'a> Name<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        match text.split_once(':') {
            Some(("sub", subject)) => Name::Subject(subject),
            Some(("scope", scope)) => Name::Scope(scope),
            _ => Name::Peer(text),
        }
    }

    fn is(self, peer: Option<&Identity>, bearer: Option<&Bearer>) -> bool {
        match self {
            Name::Peer(name) => peer.is_some_and(|peer| covers(name, peer.as_str())),
            Name::Subject(name) => bearer.is_some_and(|bearer| name == ANYBODY || name == bearer.subject()),
            Name::Scope(scope) => bearer.is_some_and(|bearer| bearer.has_scope(scope)),
        }
    }
}

impl Allow {
    fn names(&self) -> impl Iterator<Item = Name<'_>> {
        self.0.iter().map(|name| Name::of(name))
    }

    /// # Errors
    /// Nobody on the list asks, and the reply to that.
    pub(crate) fn check(&self, extensions: &Extensions) -> Result<(), Box<Refusal>> {
        let (peer, bearer) = (extensions.get(), extensions.get::<Bearer>());
        if self.names().any(|name| name.is(peer, bearer)) {
            return Ok(());
        }
        let tokens = self.names().any(|name| !matches!(name, Name::Peer(_)));
        let scopes: Vec<&str> = self
            .names()
            .filter_map(|name| if let Name::Scope(scope) = name { Some(scope) } else { None })
            .collect();
        let (kind, why) = match (peer, bearer) {
            (None, None) if tokens => (
                ErrorKind::Unauthenticated,
                "this path asks who you are: send `authorization: Bearer TOKEN`".to_owned(),
            ),
            (None, None) => (
                ErrorKind::Unauthenticated,
                "this path is for peers that show a certificate, and this one showed none that names it"
                    .to_owned(),
            ),
            (Some(peer), None) => {
                (ErrorKind::Forbidden, format!("{peer} is not one of those that this path is for"))
            }
            (_, Some(bearer)) => (
                ErrorKind::Forbidden,
                format!("{} is not one of those that this path is for", bearer.subject()),
            ),
        };
        let challenge = tokens.then(|| match (kind, scopes.is_empty()) {
            (ErrorKind::Forbidden, false) => challenge(
                Some(("insufficient_scope", "the token does not have the scope that this path asks for")),
                &scopes,
            ),
            _ => challenge(None, &scopes),
        });
        Err(Box::new(Refusal { error: Error::new(kind, why).at_layer(LAYER), challenge }))
    }
}

/// Why somebody is not served.
#[derive(Debug)]
pub(crate) struct Refusal {
    error: Error,
    challenge: Option<HeaderValue>,
}

impl Refusal {
    pub(crate) fn reply(self) -> Response {
        let mut reply = Problem::from(self.error).into_response();
        if let Some(challenge) = self.challenge {
            reply.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        reply
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
        match self.allow.check(request.extensions()) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(refusal) => Either::Right(ready(Ok(refusal.reply()))),
        }
    }
}

const LAYER: &str = "allow";
const ANYBODY: &str = "*";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The refusal of somebody with this certificate and a token with these claims.
    fn asked(
        list: &Allow,
        peer: Option<&str>,
        claims: Option<serde_json::Value>,
    ) -> Result<(), Box<Refusal>> {
        let mut extensions = Extensions::new();
        if let Some(peer) = peer {
            extensions.insert(Identity::named(peer));
        }
        if let Some(claims) = claims {
            extensions.insert(Bearer::of(claims.as_object().unwrap().clone()).unwrap());
        }
        list.check(&extensions)
    }

    #[test]
    fn a_list_says_who_and_why_not() {
        let list = allow(["spiffe://shop/payments", "spiffe://shop/desk/*"]);
        let kind = |peer: Option<&str>| asked(&list, peer, None).map_err(|refusal| refusal.error.kind());
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
            asked(&allow::<&str>([]), Some("a"), None).unwrap_err().error.kind(),
            ErrorKind::Forbidden
        );
    }

    #[test]
    fn a_certificate_or_a_token_is_enough_and_a_refusal_says_what_is_missing() {
        let list = allow(["spiffe://shop/payments", "sub:ann", "scope:refunds.write"]);
        for (peer, claims) in [
            (Some("spiffe://shop/payments"), None),
            (Some("spiffe://shop/payments"), Some(json!({ "sub": "bob" }))),
            (None, Some(json!({ "sub": "ann" }))),
            (Some("spiffe://shop/edge"), Some(json!({ "sub": "bob", "scope": "a refunds.write" }))),
        ] {
            assert!(asked(&list, peer, claims.clone()).is_ok(), "{peer:?} {claims:?}");
        }
        let told = |peer, claims| {
            let Refusal { error, challenge } = *asked(&list, peer, claims).unwrap_err();
            let challenge = challenge.map(|challenge| challenge.to_str().unwrap().to_owned());
            (error.kind(), challenge.unwrap_or_default())
        };
        let (kind, challenge) = told(None, None);
        assert_eq!((kind, &*challenge), (ErrorKind::Unauthenticated, r#"Bearer scope="refunds.write""#));
        // A certificate says nothing of a token, nor a subject of a scope that begins alike.
        for (peer, claims) in [
            (Some("sub:ann"), None),
            (Some("spiffe://shop/edge"), None),
            (None, Some(json!({ "sub": "anna", "scope": "refunds refunds.writes" }))),
            (None, Some(json!({ "sub": "spiffe://shop/payments" }))),
            (None, Some(json!({ "sub": "scope:refunds.write" }))),
        ] {
            let (kind, challenge) = told(peer, claims.clone());
            assert_eq!(kind, ErrorKind::Forbidden, "{peer:?} {claims:?}");
            assert!(
                challenge.contains(r#"error="insufficient_scope""#)
                    && challenge.ends_with(r#"scope="refunds.write""#)
            );
        }
        assert!(asked(&allow(["sub:*"]), None, Some(json!({ "sub": "bob" }))).is_ok());
        assert_eq!(
            asked(&allow(["sub:*"]), Some("spiffe://shop/edge"), None).unwrap_err().error.kind(),
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
