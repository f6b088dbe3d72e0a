//! What a page of another origin may read of what the server itself answers.

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use http::{HeaderValue, Method, header};
use platform_core::context;
use platform_http::Server;
use tokio::time::sleep;
use tower::layer::layer_fn;
use tower_http::cors::CorsLayer;

use crate::served::{Reply, Served};

const ORIGIN: &str = "https://shop.example";
const ALLOWED: &str = "access-control-allow-origin";
/// One at a time, nobody waits long, and no answer takes longer than half a second.
const ONE: &str = "[server]\nlimits = { body = \"1KiB\" }\n[server.policy]\ntimeout = \"500ms\"\n\
     concurrency = { start = 1, min = 1, max = 1, queue_wait = \"20ms\" }\n";

fn server() -> Server {
    let slow = || async {
        sleep(Duration::from_secs(5)).await;
        "done"
    };
    let panics = || async {
        if true {
            panic!("a bug")
        }
    };
    let routes = Router::new()
        .route("/", get(|| async { "hello" }).post(|body: String| async move { body }))
        .route("/slow", get(slow))
        .route("/panics", get(panics));
    let cors = CorsLayer::new()
        .allow_origin([HeaderValue::from_static(ORIGIN)])
        .allow_methods([Method::GET, Method::POST])
        .expose_headers([header::RETRY_AFTER])
        .vary([header::ORIGIN]);
    Server::new(routes).cors(cors)
}

/// The same from a page of `origin`; nobody's without one.
async fn ask(served: &Served, request: &str, origin: &str, more: &str) -> Reply {
    let origin = if origin.is_empty() { String::new() } else { format!("origin: {origin}\r\n") };
    served.ask(format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{origin}{more}\r\n")).await
}

#[tokio::test]
async fn a_page_may_read_why_the_server_refused_what_it_may_read_at_all() {
    for (what, server) in
        [("guards above", server()), ("guards below", server().identity(layer_fn(|below| below)))]
    {
        let served = Arc::new(Served::start(server, ONE).await);
        let slow = context::spawn({
            let served = Arc::clone(&served);
            async move { ask(&served, "GET /slow", ORIGIN, "").await }
        });
        while served.metric("http_server_active_requests", &[]) < 1.0 {
            sleep(Duration::from_millis(5)).await;
        }
        let refused = ask(&served, "GET /", ORIGIN, "").await;
        assert_eq!((refused.status, refused.header(ALLOWED)), (503, Some(ORIGIN)), "{what}: {refused:?}");
        assert_eq!(refused.header("access-control-expose-headers"), Some("retry-after"), "{what}");
        assert_eq!(refused.head.matches("vary: ").count(), 1, "{what}: {refused:?}");
        let document = refused.json();
        assert_eq!(document["reason"], "overloaded", "{what}: a page reads the same as anybody");
        // Others may read as little of it as of any reply.
        let stranger = ask(&served, "GET /", "https://attacker.example", "").await;
        assert_eq!((stranger.status, stranger.header(ALLOWED)), (503, None), "{what}: {stranger:?}");
        let nobodys = ask(&served, "GET /", "", "").await;
        assert_eq!(nobodys.status, 503, "{what}");

        // What a browser asks first takes no place.
        let first = "access-control-request-method: POST\r\n";
        let asked = ask(&served, "OPTIONS /", ORIGIN, first).await;
        let may = (asked.status, asked.header(ALLOWED), asked.header("access-control-allow-methods"));
        assert_eq!(may, (200, Some(ORIGIN), Some("GET,POST")), "{what}: {asked:?}");
        assert_eq!(
            served.metric("platform_server_refusals_total", &["guard=\"concurrency\""]),
            3.0,
            "{what}"
        );

        let late = slow.await.expect("it does not panic");
        assert_eq!((late.status, late.header(ALLOWED)), (504, Some(ORIGIN)), "{what}: {late:?}");
        for (request, more, status) in [
            ("GET /", "platform-timeout-ms: 0\r\n", 504),
            ("GET /panics", "", 500),
            ("POST /", "content-length: 5000\r\n", 413),
            ("GET /nowhere", "", 404),
            ("GET /", "", 200),
        ] {
            let reply = ask(&served, request, ORIGIN, more).await;
            assert_eq!((reply.status, reply.header(ALLOWED)), (status, Some(ORIGIN)), "{what}: {request}");
            assert_eq!(reply.head.matches("vary: ").count(), 1, "{what}: {reply:?}");
        }
        let served = Arc::into_inner(served).expect("nobody else asks");
        assert_eq!(served.stop().await.code(), 0);
    }
}

#[tokio::test]
async fn an_options_that_no_browser_asked_is_a_request_like_any_other() {
    let served = Arc::new(Served::start(server(), ONE).await);
    let slow = context::spawn({
        let served = Arc::clone(&served);
        async move { ask(&served, "GET /slow", "", "").await.status }
    });
    while served.metric("http_server_active_requests", &[]) < 1.0 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(ask(&served, "OPTIONS /", "", "").await.status, 503);
    assert_eq!(ask(&served, "OPTIONS /", ORIGIN, "").await.status, 503);
    assert_eq!(slow.await.expect("it does not panic"), 504);
}
