//! What is seen of a request: its line, its metric, its trace, and what its handler knows.

use std::time::Duration;

use axum::{Json, Router, routing::get};
use futures_util::FutureExt as _;
use http::HeaderName;
use platform_core::{context, fault::Faults, identity::Identity, telemetry::Metrics};
use platform_http::Server;
use serde_json::{Value, json};
use tokio::time::{advance, pause, resume};
use tower_http::cors::CorsLayer;

use crate::served::Served;

fn routes() -> Router {
    let about = || async {
        context::note("order_id", "o-17");
        let context = context::current().expect("a handler has a context");
        Json(json!({
            "trace": context.trace().trace_id().to_string(),
            "span": context.trace().span_id().to_string(),
            "recorded": context.trace().is_sampled(),
            "criticality": context.criticality().as_str(),
            "tenant": context.tenant().map(ToString::to_string),
        }))
    };
    Router::new().route("/about/{id}", get(about)).nest("/v2", Router::new().route("/about", get(about)))
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

#[tokio::test]
async fn the_context_reaches_the_handler_and_the_line_under_one_trace() {
    let served = Served::routes(routes()).await;
    let headers = format!(
        "traceparent: 00-{TRACE}-{SPAN}-00\r\nbaggage: platform-criticality=sheddable,platform-tenant=acme\r\nuser-agent: edge/1.0 platform/0.1.0\r\n"
    );
    let reply = served.get("/about/7", &headers).await;
    let seen = reply.json();
    assert_eq!(
        (seen["trace"].as_str(), seen["criticality"].as_str(), seen["tenant"].as_str()),
        (Some(TRACE), Some("sheddable"), Some("acme"))
    );
    assert_ne!(seen["span"], SPAN, "the request is a span of its own");
    assert_eq!(reply.header("x-request-id"), Some(TRACE), "without an id of the caller's the trace serves");

    let line = &served.lines(1).await[0];
    let expected = json!({
        "level": "info", "message": "request", "service.name": "orders", "service.version": "1.4.2", "trace_id": TRACE,
        "http.request.method": "GET", "http.route": "/about/{id}", "http.response.status_code": 200, "outcome": "ok",
        "reason": "", "attempts": 0, "criticality": "sheddable", "tenant": "acme", "client": "edge/1.0 platform/0.1.0",
        "order_id": "o-17",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&line[key], value, "{key} in {line}");
    }
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_request_that_asks_to_be_kept_is_told_and_recorded_whatever_the_budget() {
    let poor = "[telemetry.log]\nformat = \"json\"\nbytes_per_second = \"1KiB\"\n";
    let debug = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\nbaggage: platform-debug=1\r\n";
    let told = async |trust: &str| {
        let served = Served::start(Server::new(routes()), &format!("{poor}[server]\ntrust = {trust}")).await;
        let mut recorded = 0;
        for _ in 0..40 {
            recorded += usize::from(served.get("/about/7", debug).await.json()["recorded"] == true);
        }
        let told = served.lines(1).await.len();
        let suppressed =
            served.metric("platform_log_lines_dropped_total", &["reason=\"budget\"", "level=\"info\""]);
        assert_eq!(told as f64 + suppressed, 40.0, "each is accounted for");
        assert_eq!(served.stop().await.code(), 0);
        (told, recorded)
    };
    // The trace's head decided against it; who may ask is heard all the same.
    assert_eq!(told("{ inbound = \"internal\", overrides = true }").await, (40, 40));
    let (told, recorded) = told("{ inbound = \"internal\" }").await;
    assert!(told < 40 && recorded == 0, "{told} lines, {recorded} recorded");
}

#[tokio::test]
async fn a_fault_that_hit_a_call_is_on_the_line_of_the_request_that_made_it() {
    // What a client does on the handler's behalf, without a dependency to call.
    let faults = Faults::new(&Metrics::new(&Identity::default()));
    let call = move || async move {
        let context = context::current().expect("a handler has a context");
        let planned = faults.plan(&context, "payments", None, "", context.now(), [0, 0]);
        planned.and_then(|planned| planned.abort?.status()).unwrap_or(http::StatusCode::OK)
    };
    let server = Server::new(Router::new().route("/pay", get(call)));
    let served =
        Served::start(server, "[server]\ntrust = { inbound = \"internal\", overrides = true }").await;
    for (headers, status, fault) in
        [("", 200, ""), ("baggage: platform-fault=payments:abort=503\r\n", 503, "consent")]
    {
        assert_eq!(served.get("/pay", headers).await.status, status);
        let lines = served.lines(if fault.is_empty() { 1 } else { 2 }).await;
        assert_eq!(lines.last().map(|line| &line["fault"]), Some(&Value::from(fault)), "{lines:?}");
    }
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn routes_are_templates_and_methods_are_known_words() {
    let served = Served::routes(routes()).await;
    for path in ["/about/1", "/about/2", "/v2/about"] {
        assert_eq!(served.get(path, "").await.status, 200);
    }
    served.ask("BREW /about/1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let count = |labels: &[&str]| served.metric("http_server_request_duration_seconds_count", labels);
    assert_eq!(
        count(&[
            "http_route=\"/about/{id}\"",
            "http_request_method=\"GET\"",
            "http_response_status_code=\"200\""
        ]),
        2.0
    );
    assert_eq!(count(&["http_route=\"/v2/about\""]), 1.0);
    assert_eq!(count(&["http_request_method=\"_OTHER\"", "http_response_status_code=\"405\""]), 1.0);
    assert_eq!(count(&["/about/1"]), 0.0);
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_path_is_served_and_counted_the_third_time_as_the_first() {
    let films = get(async || "all").post(async |body: String| body);
    let router = Router::new()
        .route("/films", films)
        .route("/films/{id}", get(async || "one"))
        .nest("/v2", Router::new().route("/films", get(async || "nested")));
    let served = Served::start(Server::new(router), "").await;
    let head = "HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let long = "x".repeat(3_000_000);
    for round in 1..=3 {
        for (request, status, body) in [
            (format!("GET /films {head}\r\n"), 200, "all"),
            (format!("POST /films {head}content-length: 3\r\n\r\nnew"), 200, "new"),
            // More than axum by itself lets in.
            (format!("POST /films {head}content-length: {}\r\n\r\n{long}", long.len()), 200, &long),
            (format!("GET /films/7 {head}\r\n"), 200, "one"),
            (format!("GET /v2/films {head}\r\n"), 200, "nested"),
        ] {
            let reply = served.ask(&request).await;
            let line = request.lines().next();
            assert_eq!((reply.status, &*reply.body), (status, body), "{line:?} in round {round}");
        }
        for (line, status) in [("DELETE /films", 405), ("GET /films/", 404), ("GET /Films", 404)] {
            assert_eq!(
                served.ask(&format!("{line} {head}\r\n")).await.status,
                status,
                "{line} in round {round}"
            );
        }
    }
    let count = |route: &str, method: &str| {
        let labels = [format!("http_route=\"{route}\""), format!("http_request_method=\"{method}\"")];
        served.metric("http_server_request_duration_seconds_count", &[&labels[0], &labels[1]])
    };
    for (route, method, expected) in [
        ("/films", "GET", 3.0),
        ("/films", "POST", 6.0),
        ("/films", "DELETE", 3.0),
        ("/films/{id}", "GET", 3.0),
        ("/v2/films", "GET", 3.0),
        ("", "GET", 6.0),
    ] {
        assert_eq!(count(route, method), expected, "{method} {route}");
    }
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn the_caller_decides_whether_to_record_and_a_stranger_does_not() {
    let headers = format!("traceparent: 00-{TRACE}-{SPAN}-01\r\n");
    let bucket = |served: &Served| {
        let text = served.app.metrics().encode();
        text.lines().any(|line| {
            line.starts_with("http_server_request_duration_seconds_bucket") && line.contains(TRACE)
        })
    };
    let served = Served::routes(routes()).await;
    served.get("/about/7", &headers).await;
    assert!(bucket(&served), "a recorded request is an exemplar");
    assert_eq!(served.stop().await.code(), 0);

    let served = Served::start(Server::new(routes()), "[server]\ntrust = { inbound = \"edge\" }").await;
    assert_eq!(served.get("/about/7", &headers).await.json()["trace"], TRACE, "found again all the same");
    assert!(!bucket(&served));
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_reply_says_how_busy_its_server_is_and_not_to_strangers() {
    let served = Served::routes(routes()).await;
    assert_eq!(
        served.get("/about/7", "").await.header("endpoint-load-metrics"),
        None,
        "nothing is known yet"
    );
    served.lines(1).await;
    let reply = served.get("/about/7", "").await;
    let report = reply.header("endpoint-load-metrics").expect("a report");
    let latency = report.strip_prefix("TEXT named_metrics.rif=0,named_metrics.latency_ms=").expect(report);
    assert!(latency.parse::<f64>().is_ok_and(|ms| ms < 1_000.0), "{report}");
    assert_eq!(served.stop().await.code(), 0);

    let served = Served::start(Server::new(routes()), "[server]\ntrust = { inbound = \"edge\" }").await;
    for _ in 0..2 {
        let reply = served.get("/about/7", "").await;
        assert_eq!(reply.header("endpoint-load-metrics"), None);
        served.lines(1).await;
    }
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn cors_and_sensitive_headers_are_a_line_each() {
    let server = Server::new(routes())
        .cors(CorsLayer::permissive())
        .sensitive_headers([HeaderName::from_static("authorization")]);
    let served = Served::start(server, "").await;
    let reply = served.get("/about/7", "origin: http://elsewhere.example\r\n").await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_tower_service_is_served_like_routes() {
    let service = tower_service_of(|request: http::Request<platform_http::Body>| {
        let tenant = platform_core::call::Call::context(&request).tenant().map(ToString::to_string);
        http::Response::new(platform_http::Body::reply(tenant.unwrap_or_default()))
    });
    let served = Served::start(Server::service(service), "").await;
    let reply = served.get("/anything", "baggage: platform-tenant=acme\r\n").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "acme"));
    assert_eq!(served.lines(1).await[0]["http.response.status_code"], Value::from(200));
    assert_eq!(served.stop().await.code(), 0);
}

/// A service of a function, for lack of a smaller one.
fn tower_service_of<F>(answer: F) -> Answering<F>
where
    F: Fn(http::Request<platform_http::Body>) -> http::Response<platform_http::Body> + Clone,
{
    Answering(answer)
}

#[derive(Clone)]
struct Answering<F>(F);

impl<F> tower_service::Service<http::Request<platform_http::Body>> for Answering<F>
where
    F: Fn(http::Request<platform_http::Body>) -> http::Response<platform_http::Body> + Clone,
{
    type Response = http::Response<platform_http::Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<platform_http::Body>) -> Self::Future {
        std::future::ready(Ok((self.0)(request)))
    }
}

/// The clock goes on in one step, which is what a handler that holds its thread makes of it. It stands still for no
/// longer, so that nobody's timers run ahead of the sockets.
fn hold() {
    pause();
    let _ = advance(HELD).now_or_never();
    resume();
}

#[tokio::test]
async fn a_handler_that_holds_its_thread_is_counted_by_route_and_named_on_its_line() {
    let later = async || {
        tokio::task::yield_now().await;
        hold();
        "late"
    };
    let routes = Router::new()
        .route("/quick", get(|| async { "well" }))
        .route("/held/{id}", get(async || hold()))
        .route("/later", get(later));
    let served = Served::routes(routes).await;
    for (number, (path, slow)) in
        [("/quick", false), ("/held/7", true), ("/later", true)].into_iter().enumerate()
    {
        assert_eq!(served.get(path, "").await.status, 200);
        let line = served.lines(number + 1).await.pop().expect("a line");
        let longest = line["slow_poll_ms"].as_str().and_then(|text| text.parse::<u64>().ok());
        // A machine that stops for 10 ms makes anything slow, so only what has to be slow is judged.
        assert!(!slow || longest.is_some_and(|longest| longest >= 15), "{line}");
    }
    let counted = |route: &str| {
        served.metric("platform_runtime_slow_polls_total", &[&format!("http_route=\"{route}\"")])
    };
    assert_eq!((counted("/held/{id}"), counted("/later")), (1.0, 1.0));
    assert_eq!(served.stop().await.code(), 0);
}

/// Longer than a step may hold its thread (10 ms).
const HELD: Duration = Duration::from_millis(15);
