//! A developer's own version in the middle of everybody else's.

use axum::{Json, Router, body::Body, extract::Request, routing::get};
use platform_core::App;
use platform_http::Client;
use serde_json::Value;

use crate::town::{House, Town};

/// Whoever is asked here believes what a request asks for.
const TRUSTING: &str = "[server]\ntrust = { inbound = \"internal\", overrides = true }";

/// Passes everything on to the edge.
async fn front(town: &Town) -> House {
    town.open(("front", "front-1"), TRUSTING, |app: &App| {
        let edge = Client::for_target(app, "edge").expect("a client");
        let pass = move |request: Request<Body>| {
            let edge = edge.clone();
            async move {
                let reply = edge.get(request.uri().path()).send().await.expect("a reply");
                Json(reply.json::<Value>().await.expect("a film"))
            }
        };
        Router::new().route("/films/{id}", get(pass))
    })
    .await
}

/// A catalog of a variant that nobody has given a share.
async fn branch(town: &Town) -> House {
    town.catalog("catalog-pr", "[service]\nvariant = \"pr-123\"").await
}

/// Who answers a request with this baggage; asked until the edge has seen who came and went.
async fn answered(house: &House, baggage: &str, wanted: &str) {
    let mut seen = Value::Null;
    for _ in 0..200 {
        let reply = house.get("/films/7", &format!("baggage: {baggage}\r\n")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        seen = reply.json()["instance"].clone();
        if seen == wanted {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{baggage} goes to {seen} and not to {wanted}");
}

#[tokio::test]
async fn a_request_finds_its_own_version_two_services_on_and_others_do_not() {
    let town = Town::new();
    let stable = town.catalog("catalog-1", "").await;
    let edge = town.edge(TRUSTING).await;
    let branch = branch(&town).await;
    let front = front(&town).await;
    let asks = "platform-route=catalog:pr-123";
    answered(&front, asks, "catalog-pr").await;
    for _ in 0..30 {
        assert_eq!(front.get("/films/7", "").await.json()["instance"], "catalog-1", "nobody asked for it");
        assert_eq!(
            front.get("/films/7", &format!("baggage: {asks}\r\n")).await.json()["instance"],
            "catalog-pr"
        );
    }

    // What is not there falls back to the others, and the line says so.
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traced =
        format!("traceparent: 00-{trace}-00f067aa0ba902b7-00\r\nbaggage: platform-route=catalog:pr-9\r\n");
    assert_eq!(front.get("/films/7", &traced).await.json()["instance"], "catalog-1");
    let why = edge.lines(trace, 1).await[0]["why"].clone();
    assert_eq!(why, "catalog:route(pr-9 is not there)");

    // It goes in the middle of it all, and nobody notices.
    let going = branch.stop();
    for _ in 0..30 {
        let reply = front.get("/films/7", &format!("baggage: {asks}\r\n")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    assert_eq!(going.await.expect("it does not panic").expect("it ends well").code(), 0);
    answered(&front, asks, "catalog-1").await;
    front.end().await;
    edge.end().await;
    stable.end().await;
}

#[tokio::test]
async fn who_is_not_trusted_gets_what_everybody_gets() {
    let town = Town::new();
    let stable = town.catalog("catalog-1", "").await;
    let edge = town.edge("").await;
    let branch = branch(&town).await;
    // Long enough to have been seen: the edge looks fifty times a second.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    for _ in 0..30 {
        let reply = edge.get("/films/7", "baggage: platform-route=catalog:pr-123\r\n").await;
        assert_eq!(reply.json()["instance"], "catalog-1");
    }
    edge.end().await;
    branch.end().await;
    stable.end().await;
}

#[cfg(feature = "otlp")]
#[tokio::test]
async fn a_span_says_that_its_version_was_not_there() {
    let Some(sink) = crate::sink::Sink::start("grpc", "answer") else { return };
    let town = Town::new();
    let traced =
        format!("{TRUSTING}\n[telemetry.traces]\nendpoint = \"http://127.0.0.1:{}\"\nratio = 0.0", sink.port);
    let stable = town.catalog("catalog-1", "").await;
    let edge = town.edge(&traced).await;
    for (trace, asked) in
        [("11111111111111111111111111111111", "pr-9"), ("22222222222222222222222222222222", "stable")]
    {
        let headers = format!(
            "traceparent: 00-{trace}-00f067aa0ba902b7-01\r\nbaggage: platform-route=catalog:{asked}\r\n"
        );
        assert_eq!(edge.get("/films/7", &headers).await.status, 200);
    }
    edge.end().await;
    stable.end().await;
    let spans: Vec<Value> = (0..4).map(|_| sink.line()).collect();
    let asked = |trace: &str| {
        let asked = |span: &&Value| span["trace"] == *trace && span["kind"] == "SPAN_KIND_CLIENT";
        spans.iter().find(asked).unwrap_or_else(|| panic!("{trace}: {spans:#?}")).clone()
    };
    let fell = asked("11111111111111111111111111111111")["attributes"]["platform.route.fallback"].clone();
    assert!(fell == true || fell == "true", "{fell}");
    assert_eq!(
        asked("22222222222222222222222222222222")["attributes"]["platform.route.fallback"],
        Value::Null
    );
}
