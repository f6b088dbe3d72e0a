//! What arrives, and what comes back.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use platform_core::{
    Context, ErrorKind,
    context::{self, Criticality, Deadline, Tenant, TraceParent, scope},
};
use platform_http::{Body, Client, client::Preset};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tower_service::Service as _;

use crate::peer::{Peer, app, builder, client, ok, reply};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Film {
    title: String,
    year: u16,
}

const METROPOLIS: &str = r#"{"title":"Metropolis","year":1927}"#;

#[tokio::test]
async fn a_handlers_context_arrives_with_the_request() {
    let peer = Peer::open(|_| ok(METROPOLIS)).await;
    let catalog = client(&peer).await;
    let trace = TraceParent::random().sampled(true);
    let mut served = Context::with_trace(Instant::now(), trace);
    served.narrow(Deadline::at(Instant::now() + Duration::from_millis(900)));
    served.lower(Criticality::SheddablePlus);
    served.set_tenant(Tenant::parse("acme").expect("a tenant"));

    let film: Film =
        scope(served, async { catalog.get("/films/7").query("full", "a b").send().await?.json().await })
            .await
            .expect("a film");
    assert_eq!(film, Film { title: "Metropolis".into(), year: 1927 });

    let heard = peer.only();
    assert_eq!(heard.line, "GET /films/7?full=a%20b HTTP/1.1");
    let left: u64 =
        heard.header("platform-timeout-ms").expect("a timeout").parse().expect("whole milliseconds");
    assert!(
        (500..=900).contains(&left),
        "what is left of the handler's 900 ms, not the policy's 3 s: {left}"
    );
    let parent = TraceParent::parse(heard.header("traceparent").expect("a trace")).expect("W3C");
    assert_eq!(parent.trace_id(), trace.trace_id());
    assert_ne!(
        parent.span_id(),
        trace.span_id(),
        "the attempt is a span of its own, a child of the handler's"
    );
    assert!(parent.is_sampled());
    let baggage = heard.header("baggage").expect("baggage");
    assert!(baggage.contains("platform-criticality=sheddable-plus"), "{baggage}");
    assert!(baggage.contains("platform-tenant=acme"), "{baggage}");
    assert_eq!(heard.header("user-agent"), Some(concat!("edge/1.4.2 platform/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(heard.header("host"), Some("catalog"));
    assert_eq!(heard.header("platform-previous-attempts"), None, "a first attempt");
}

#[tokio::test]
async fn a_post_of_nothing_says_so_and_a_get_says_nothing() {
    let peer = Peer::open(|_| ok("")).await;
    let catalog = client(&peer).await;
    for (method, length) in [
        (Method::POST, Some("0")),
        (Method::PUT, Some("0")),
        (Method::PATCH, Some("0")),
        (Method::GET, None),
        (Method::DELETE, None),
    ] {
        catalog.request(method.clone(), "/films").send().await.expect("a reply");
        let heard = peer.heard().pop().expect("it came");
        assert_eq!(heard.header("content-length"), length, "{method}");
        assert_eq!(heard.header("transfer-encoding"), None, "{method}");
    }
}

#[tokio::test]
async fn outside_a_handler_the_policy_is_the_limit() {
    let peer = Peer::open(|_| ok("")).await;
    client(&peer).await.get("/").send().await.expect("a reply");
    let heard = peer.only();
    let left: u64 = heard.header("platform-timeout-ms").expect("a timeout").parse().expect("milliseconds");
    assert!((2_500..=3_000).contains(&left), "an attempt's limit: {left}");
    assert!(TraceParent::parse(heard.header("traceparent").expect("a trace")).is_some());
}

#[tokio::test]
async fn a_body_goes_out_as_it_was_given() {
    let peer = Peer::open(|_| ok("")).await;
    let catalog = client(&peer).await;
    let film = Film { title: "M".into(), year: 1931 };
    catalog.post("/films").json(&film).header("idempotency-key", "7").send().await.expect("a reply");
    catalog.put("/films/1").body("text".to_owned()).send().await.expect("a reply");
    catalog.request(Method::OPTIONS, "/").send().await.expect("a reply");
    let heard = peer.heard();
    assert_eq!(heard[0].line, "POST /films HTTP/1.1");
    assert_eq!(heard[0].body, br#"{"title":"M","year":1931}"#);
    assert_eq!(heard[0].header("content-type"), Some("application/json"));
    assert_eq!(heard[0].header("idempotency-key"), Some("7"));
    assert_eq!((heard[1].line.as_str(), &heard[1].body[..]), ("PUT /films/1 HTTP/1.1", &b"text"[..]));
    assert_eq!(heard[2].line, "OPTIONS / HTTP/1.1");
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let peer = Peer::open(|_| ok("{}")).await;
    let app = app("").await;
    let catalog = builder(&app, &peer).build().expect("a client");
    for _ in 0..5 {
        catalog.get("/").send().await.expect("a reply").bytes().await.expect("a body");
    }
    // Another client of the same target is the same connections.
    let again = builder(&app, &peer).build().expect("a client");
    again.get("/").send().await.expect("a reply").bytes().await.expect("a body");
    assert_eq!(peer.connections.load(Relaxed), 1);
    assert_eq!(peer.heard().len(), 6);
}

#[tokio::test]
async fn a_connection_that_the_peer_has_closed_is_replaced_without_a_failure() {
    let peer = Peer::open(|heard| {
        // Closes after each reply without having said so, as a peer that restarts does.
        let crate::peer::Does::Say(text) = ok(&heard.line) else { unreachable!("ok says") };
        crate::peer::Does::End(text)
    })
    .await;
    let catalog = client(&peer).await;
    for _ in 0..5 {
        catalog.post("/").send().await.expect("a reply").bytes().await.expect("a body");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(peer.heard().len(), 5, "nothing was sent twice");
}

#[tokio::test]
async fn a_redirect_is_a_reply() {
    let peer = Peer::open(|_| reply("302 Found", &[("location", "/elsewhere")], "")).await;
    let reply = client(&peer).await.get("/").send().await.expect("a reply");
    let reply = reply.error_for_status().await.expect("no error either");
    assert_eq!(reply.status(), StatusCode::FOUND);
    assert_eq!(reply.headers()["location"], "/elsewhere");
    assert_eq!(peer.only().line, "GET / HTTP/1.1");
}

#[tokio::test]
async fn any_status_is_a_reply_and_says_who_gave_it() {
    let peer = Peer::open(|_| reply("500 Internal Server Error", &[], "oops")).await;
    let reply = client(&peer).await.get("/").send().await.expect("a reply is a reply");
    assert_eq!(reply.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(reply.endpoint(), Some(peer.address.to_string().as_str()));
    assert_eq!(reply.text().await.expect("a body"), "oops");
}

#[tokio::test]
async fn a_request_that_was_built_elsewhere_goes_to_the_target_all_the_same() {
    let peer = Peer::open(|_| ok("hello")).await;
    let mut catalog = client(&peer).await;
    let request =
        || http::Request::put("http://elsewhere.example/films?x=1").body(Body::full("x")).expect("a request");
    assert_eq!(catalog.send(request()).await.expect("a reply").text().await.expect("text"), "hello");
    let reply = catalog.call(request()).await.expect("a reply");
    assert_eq!(reply.into_body().collect().await.expect("a body").to_bytes(), "hello");
    for heard in peer.heard() {
        assert_eq!((heard.line.as_str(), heard.header("host")), ("PUT /films?x=1 HTTP/1.1", Some("catalog")));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_when_it_is_sent() {
    let peer = Peer::open(|_| ok("")).await;
    let catalog = client(&peer).await;
    let table = [
        (catalog.get("films"), "does not begin with /"),
        (catalog.get("/films 7"), "the path"),
        (catalog.get("/").header("bad name", "x"), "a header: invalid HTTP header name"),
        (catalog.get("/").header("x", "a\nb"), "a header: "),
        (catalog.get("/").json(&std::collections::HashMap::from([((1, 2), 3)])), "cannot be written as JSON"),
    ];
    for (request, part) in table {
        let error = request.send().await.expect_err(part);
        assert_eq!((error.kind(), error.target()), (ErrorKind::Invalid, Some("catalog")), "{part}");
        assert!(error.detail().contains(part), "{error}");
    }
    assert!(peer.heard().is_empty());
}

#[tokio::test]
async fn importance_is_lowered_and_never_raised() {
    let peer = Peer::open(|_| ok("")).await;
    let app = app("[clients.catalog]\ncriticality = \"critical-plus\"").await;
    let raising = builder(&app, &peer).build().expect("a client");
    let batch = Client::builder(&app, "report").preset(Preset::Batch).target(peer.target());
    let batch = batch.build().expect("a client");
    let mut served = Context::root(Instant::now());
    served.lower(Criticality::SheddablePlus);
    scope(served, async {
        raising.get("/").send().await.expect("a reply");
        batch.get("/").send().await.expect("a reply");
    })
    .await;
    let heard = peer.heard();
    assert!(heard[0].header("baggage").expect("baggage").contains("platform-criticality=sheddable-plus"));
    let baggage = heard[1].header("baggage").expect("baggage").split(',').collect::<Vec<_>>();
    assert!(baggage.contains(&"platform-criticality=sheddable"), "{baggage:?}");
}

#[tokio::test]
async fn what_was_called_is_counted() {
    let peer = Peer::open(|_| reply("404 Not Found", &[], "")).await;
    let app = app("").await;
    builder(&app, &peer).build().expect("a client").get("/").send().await.expect("a reply");
    let text = app.metrics().encode();
    for series in [
        r#"target="catalog",kind="first",outcome="caller"} 1"#,
        r#"http_request_method="GET",server_address="catalog",http_response_status_code="404",error_type="404"} 1"#,
        r#"target="catalog",outcome="caller"} 1"#,
    ] {
        assert!(text.contains(series), "{series}\n{text}");
    }
}

#[tokio::test]
async fn an_endpoint_is_busy_with_us_until_its_reply_has_been_read() {
    let peer = Peer::open(|_| ok("hello")).await;
    let app = app("").await;
    let catalog = builder(&app, &peer).build().expect("a client");
    let in_flight = || {
        let discovery = platform_http::discovery(&app).expect("discovery");
        let view = serde_json::to_value(discovery.targets()).expect("JSON").to_string();
        view.split("\"in_flight\":").nth(1).and_then(|rest| rest.chars().next()).expect("a number")
    };
    let reply = catalog.get("/").send().await.expect("a reply");
    assert_eq!(in_flight(), '1');
    reply.bytes().await.expect("a body");
    assert_eq!(in_flight(), '0');
}

#[tokio::test]
async fn the_order_of_every_client_can_be_looked_at() {
    let peer = Peer::open(|_| ok("")).await;
    let app = app("").await;
    let catalog = builder(&app, &peer).policy(|policy| policy.timeout = None).build().expect("a client");
    builder(&app, &peer).policy(|policy| policy.timeout = None).build().expect("the same");
    let layers: Vec<_> = catalog.describe().iter().map(|row| row.layer).collect();
    let order = [
        "context",
        "observe-call",
        "deadline",
        "rate-limit",
        "bulkhead",
        "recovery",
        "budget",
        "observe-attempt",
        "throttle",
        "breaker",
        "concurrency",
        "attempt-deadline",
        "balance",
        "fault",
        "inject",
        "connect",
        "judge",
    ];
    assert_eq!(layers, order);
    let known = platform_http::client::described(&app);
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].1, catalog.describe());
    assert_eq!(known[0].1[2].settings["timeout"], "none");
}

#[tokio::test]
async fn attempts_made_for_a_request_are_noted_in_it() {
    let peer = Peer::open(|_| ok("")).await;
    let catalog = client(&peer).await;
    let notes = std::sync::Arc::new(context::Notes::default());
    let mut served = Context::root(Instant::now());
    served.set_notes(notes.clone());
    scope(served, async {
        for _ in 0..3 {
            catalog.get("/").send().await.expect("a reply");
        }
    })
    .await;
    assert_eq!(notes.attempts(), 3);
}
