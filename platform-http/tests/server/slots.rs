//! Layers of a team in the server's two slots.

use std::{convert::Infallible, time::Duration};

use axum::{Router, routing::get};
use http::{HeaderValue, Request, Response, header};
use platform_core::{Error, ErrorKind, call::Call as _, context, context::Tenant};
use platform_http::{
    Body, Server,
    server::slots::{Around, Rest},
};
use tower::service_fn;
use tower_layer::{Layer, layer_fn};
use tower_service::Service as _;

use crate::served::Served;

/// Who sends `authorization: Key NAME` is that tenant, who sends something else is nobody.
pub(crate) fn by_key(rest: Rest) -> impl Around {
    service_fn(move |mut request: Request<Body>| {
        let mut rest = rest.clone();
        async move {
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
        }
    })
}

/// Writes its name behind those that are there.
fn signed(name: &'static str) -> impl Layer<Rest, Service: Around> + Send + Sync + 'static {
    layer_fn(move |rest: Rest| {
        service_fn(move |mut request: Request<Body>| {
            let so_far = request.headers().get("signed").and_then(|signed| signed.to_str().ok());
            let signed = format!("{}{name}", so_far.unwrap_or_default());
            request.headers_mut().insert("signed", HeaderValue::from_str(&signed).expect("letters"));
            rest.clone().call(request)
        })
    })
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
    let served = Served::start(Server::new(routes()).identity(layer_fn(by_key)), "").await;
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
    let served = Served::start(Server::new(routes()).identity(layer_fn(by_key)), "").await;
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
    let served = Served::start(Server::new(routes()).identity(layer_fn(by_key)), config).await;
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

#[tokio::test]
async fn a_tower_service_has_the_same_slots() {
    // A service of a team, not a router.
    let whole = service_fn(|request: Request<Body>| {
        let own = request.context().tenant().map(ToString::to_string).unwrap_or_default();
        let scoped = context::current().and_then(|context| context.tenant().map(ToString::to_string));
        let signed = request.headers().get("signed").and_then(|signed| signed.to_str().ok());
        let told = format!("{own} {} {}", scoped.unwrap_or_default(), signed.unwrap_or_default());
        async { Ok::<_, Infallible>(Response::new(Body::reply(told))) }
    });
    let server = Server::service(whole).identity(layer_fn(by_key)).handler(signed("x"));
    let served = Served::start(server, "").await;
    assert_eq!(served.get("/", "authorization: Key acme\r\n").await.body, "acme acme x");
    assert_eq!(served.get("/", "").await.status, 401);
    assert_eq!(served.stop().await.code(), 0);
}
