//! Layers of a team in the server's two slots.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, routing::get};
use http::{HeaderValue, Request, Response, header};
use platform_core::{Error, ErrorKind, call::Call as _, context, context::Tenant};
use platform_http::{Body, Server, server::slots::Rest};
use tower_layer::layer_fn;
use tower_service::Service;

use crate::served::Served;

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

/// Who sends `authorization: Key NAME` is that tenant, who sends something else is nobody.
#[derive(Clone)]
pub(crate) struct ByKey(Rest);

impl ByKey {
    pub(crate) fn around(rest: Rest) -> Self {
        ByKey(rest)
    }
}

impl Service<Request<Body>> for ByKey {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Answer<Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut rest = self.0.clone();
        Box::pin(async move {
            let key = request.headers().get(header::AUTHORIZATION).and_then(|key| key.to_str().ok());
            if key == Some("Key slow") {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            let Some(tenant) = key.and_then(|key| key.strip_prefix("Key ")).and_then(Tenant::parse) else {
                let error = Error::new(ErrorKind::Unauthenticated, "send `authorization: Key YOURS`");
                return Err(error.at_layer("by-key"));
            };
            request.context_mut().set_tenant(tenant);
            rest.call(request).await
        })
    }
}

/// Writes its name behind those that are there.
#[derive(Clone)]
struct Signed(Rest, &'static str);

impl Service<Request<Body>> for Signed {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Answer<Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let so_far = request.headers().get("signed").and_then(|signed| signed.to_str().ok());
        let signed = format!("{}{}", so_far.unwrap_or_default(), self.1);
        request.headers_mut().insert("signed", HeaderValue::from_str(&signed).expect("letters"));
        Box::pin(self.0.call(request))
    }
}

fn signed(name: &'static str) -> impl tower_layer::Layer<Rest, Service = Signed> + Send + Sync {
    layer_fn(move |rest| Signed(rest, name))
}

fn routes() -> Router {
    let who = |request: axum::extract::Request| async move {
        let tenant = context::current().and_then(|context| context.tenant().map(ToString::to_string));
        let signed = request.headers().get("signed").and_then(|signed| signed.to_str().ok());
        format!("{} {}", tenant.unwrap_or_default(), signed.unwrap_or_default())
    };
    Router::new().route("/who/{id}", get(who))
}

#[tokio::test]
async fn the_identity_that_a_layer_finds_out_is_true_for_handlers_and_the_line() {
    let served = Served::start(Server::new(routes()).identity(layer_fn(ByKey)), "").await;
    let reply = served.get("/who/7", "authorization: Key acme\r\n").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "acme "));
    let line = &served.lines(1).await[0];
    assert_eq!((line["tenant"].as_str(), line["http.route"].as_str()), (Some("acme"), Some("/who/{id}")));

    let named = "authorization: Key acme\r\nbaggage: platform-tenant=upstream\r\n";
    assert_eq!(served.get("/who/7", named).await.body, "upstream ", "a service of ours has said it before");
    assert_eq!(served.lines(2).await[1]["tenant"].as_str(), Some("upstream"));
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn what_a_layer_refuses_is_a_problem_document_and_is_counted() {
    let served = Served::start(Server::new(routes()).identity(layer_fn(ByKey)), "").await;
    let reply = served.get("/who/7", "").await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = reply.json();
    assert_eq!(
        (problem["reason"].as_str(), problem["layer"].as_str(), problem["service"].as_str()),
        (Some("unauthenticated"), Some("by-key"), Some("orders"))
    );
    assert_eq!(problem["instance"].as_str(), reply.header("x-request-id"));
    let line = &served.lines(1).await[0];
    assert_eq!(
        (line["reason"].as_str(), line["outcome"].as_str()),
        (Some("unauthenticated"), Some("caller"))
    );
    assert_eq!(served.metric("http_server_request_duration_seconds_count", &["\"401\""]), 1.0);
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_layer_that_hangs_is_cut_by_the_deadline() {
    let config = "[server]\npolicy = { timeout = \"100ms\" }";
    let served = Served::start(Server::new(routes()).identity(layer_fn(ByKey)), config).await;
    let reply = served.get("/who/7", "authorization: Key slow\r\n").await;
    assert_eq!((reply.status, reply.json()["reason"].as_str()), (504, Some("timeout")));
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn identity_stands_above_handler_and_the_first_of_a_slot_sees_a_request_first() {
    let server = Server::new(routes())
        .handler(signed("c"))
        .identity(signed("a"))
        .handler(signed("d"))
        .identity(signed("b"));
    let served = Served::start(server, "").await;
    assert_eq!(served.get("/who/7", "").await.body, " abcd");
    // Who matches no route is still answered by the platform.
    let reply = served.get("/nobody", "").await;
    assert_eq!((reply.status, reply.json()["reason"].as_str()), (404, Some("not_found")));
    assert_eq!(served.stop().await.code(), 0);
}

/// A service of a team, not a router.
#[derive(Clone)]
struct Whole;

impl Service<Request<Body>> for Whole {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer<Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let own = request.context().tenant().map(ToString::to_string).unwrap_or_default();
        let scoped = context::current().and_then(|context| context.tenant().map(ToString::to_string));
        let signed = request.headers().get("signed").cloned();
        Box::pin(async move {
            let signed =
                signed.as_ref().and_then(|signed| signed.to_str().ok()).unwrap_or_default().to_owned();
            Ok(Response::new(Body::reply(format!("{own} {} {signed}", scoped.unwrap_or_default()))))
        })
    }
}

#[tokio::test]
async fn a_tower_service_has_the_same_slots() {
    let server = Server::service(Whole).identity(layer_fn(ByKey)).handler(signed("x"));
    let served = Served::start(server, "").await;
    assert_eq!(served.get("/", "authorization: Key acme\r\n").await.body, "acme acme x");
    assert_eq!(served.get("/", "").await.status, 401);
    assert_eq!(served.stop().await.code(), 0);
}
