//! Bad input gets a stated answer, and the service lives.

use std::time::Duration;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::Path,
    http::StatusCode,
    response::{AppendHeaders, IntoResponse},
    routing::{get, post},
};
use futures_util::StreamExt as _;
use platform_core::{Error, ErrorKind};
use platform_http::{Problem, Server};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::served::{Reply, Served};

fn routes() -> Router {
    Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/panic", get(broken))
        .route("/bare", get(|| async { StatusCode::NOT_FOUND }))
        .route("/cookies", get(cookies))
        .route("/bytes", post(|body: Bytes| async move { body.len().to_string() }))
        .route(
            "/slowly",
            post(|body: Body| async move {
                let mut pieces = body.into_data_stream();
                let mut length = 0;
                while let Some(piece) = pieces.next().await {
                    length += piece.map_or(0, |piece| piece.len());
                    // Busy with it for longer than a peer may be silent.
                    tokio::time::sleep(Duration::from_millis(600)).await;
                }
                length.to_string()
            }),
        )
        .route("/json", post(|Json(value): Json<Value>| async move { Json(value) }))
        .route(
            "/problem/{kind}",
            get(|Path(kind): Path<String>| async move {
                let kind = ErrorKind::parse(&kind).ok_or_else(|| Problem::not_found("no such kind"))?;
                let error = Error::new(kind, "as asked").at_layer("test");
                Err::<(), _>(Problem::from(error.with_source("the reason")))
            }),
        )
}

async fn cookies() -> impl IntoResponse {
    (
        AppendHeaders([("set-cookie", "a=1"), ("set-cookie", "b=2"), ("retry-after", "7")]),
        Problem::from(Error::new(ErrorKind::Overloaded, "as asked")),
    )
}

async fn broken() -> &'static str {
    panic!("a bug in {}", "the handler")
}

#[tokio::test]
async fn a_handler_that_panics_is_a_500_and_the_service_lives() {
    let served = Served::routes(routes()).await;
    let reply = served.get("/panic", "").await;
    assert_eq!(reply.status, 500);
    let document = reply.json();
    assert_eq!((document["reason"].as_str(), document["service"].as_str()), (Some("panic"), Some("orders")));
    assert!(!reply.body.contains("a bug in"), "what went wrong is for the log");
    assert_eq!(served.get("/hello", "").await.body, "hello");
    assert_eq!(served.metric("platform_server_panics_total", &[]), 1.0);

    let line = &served.lines(1).await[0];
    assert_eq!((line["level"].as_str(), line["reason"].as_str()), (Some("error"), Some("panic")));
    assert!(line["error"].as_str().unwrap().ends_with("because a bug in the handler"), "{line}");
    assert_eq!(
        (line["http.route"].as_str(), line["http.response.status_code"].as_u64()),
        (Some("/panic"), Some(500))
    );
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn malformed_context_is_ignored_and_counted() {
    let served = Served::routes(routes()).await;
    let headers = "traceparent: 00-nonsense\r\nbaggage: no-equals-sign\r\nplatform-timeout-ms: soon\r\n";
    assert_eq!(served.get("/hello", headers).await.status, 200);
    for field in ["traceparent", "baggage", "timeout"] {
        let label = format!("field=\"{field}\"");
        assert_eq!(served.metric("platform_context_rejected_total", &[&label]), 1.0, "{field}");
    }
    assert_eq!(served.metric("platform_context_rejected_total", &["field=\"tenant\""]), 0.0);
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn nine_mebibytes_on_a_limit_of_eight_are_413() {
    let served = Served::routes(routes()).await;
    // The head says it: nothing is read.
    let reply = served.ask("POST /bytes HTTP/1.1\r\nhost: x\r\ncontent-length: 9437184\r\n\r\n").await;
    assert_eq!(reply.status, 413);
    let document = reply.json();
    assert_eq!(document["reason"], "body_too_large");
    assert_eq!(
        document["detail"],
        "the body has 9437184 bytes, at most 8388608 are allowed (server.limits.body)"
    );

    // The head does not say it: cut while reading.
    let mut socket = served.connect().await;
    socket.write_all(b"POST /bytes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    for _ in 0..9 {
        if socket.write_all(&chunk).await.is_err() {
            break; // It has heard enough.
        }
    }
    let reply = Reply::read(&mut socket).await;
    // A peer that is still sending may lose the reply to the reset that follows; the line says what was answered.
    assert!(reply.status == 413 || reply.head.is_empty(), "{reply:?}");
    let line = &served.lines(2).await[1];
    assert_eq!(
        (line["http.response.status_code"].as_u64(), line["reason"].as_str()),
        (Some(413), Some("body_too_large"))
    );

    // Just as much as is allowed, and more than axum allows by itself.
    let whole = [
        b"POST /bytes HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 8388608\r\n\r\n".as_slice(),
        &vec![b'x'; 8 << 20],
    ];
    let reply = served.ask(whole.concat()).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "8388608"));
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_body_that_stops_is_cut_and_said_so() {
    let toml = "[server.times]\nbody_idle = \"100ms\"";
    let served = Served::start(Server::new(routes()), toml).await;
    let reply = served.ask("POST /bytes HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhel").await;
    let line = &served.lines(1).await[0];
    assert_eq!(line["reason"], "invalid", "{line}");
    if !reply.head.is_empty() {
        assert_eq!(reply.status, 400);
        assert_eq!(reply.json()["detail"], "no byte of the body came for 100ms (server.times.body_idle)");
    }
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_handler_may_be_slow_while_its_caller_is_not() {
    let toml = "[server.times]\nbody_idle = \"400ms\"";
    let served = Served::start(Server::new(routes()), toml).await;
    let mut socket = served.connect().await;
    let head = "POST /slowly HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    // The second piece meets a busy handler, the third comes 200 ms after it has asked.
    for (pause, piece) in [(100, "one"), (100, "two"), (1_200, "six")] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        socket.write_all(piece.as_bytes()).await.unwrap();
    }
    let reply = Reply::read(&mut socket).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "9"), "{reply:?}");
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn two_hundred_kibibytes_of_headers_are_431() {
    let served = Served::routes(routes()).await;
    let headers: String = (0..200).map(|n| format!("x-{n}: {}\r\n", "v".repeat(1024))).collect();
    let mut socket = served.connect().await;
    // It stops reading before the end.
    let _ = socket.write_all(format!("GET /hello HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes()).await;
    let reply = Reply::read(&mut socket).await;
    assert!(reply.status == 431 || reply.head.is_empty(), "{reply:?}");
    assert_eq!(served.get("/hello", "").await.status, 200);
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_problem_is_a_document_with_its_mark_and_its_request() {
    let served = Served::routes(routes()).await;
    let reply = served.get("/problem/overloaded", "x-request-id: order-7\r\n").await;
    assert_eq!((reply.status, reply.header("platform-retry")), (503, Some("safe")));
    assert_eq!(
        (reply.header("content-type"), reply.header("x-request-id")),
        (Some("application/problem+json"), Some("order-7"))
    );
    assert_eq!(
        reply.json(),
        json!({
            "type": "urn:platform:problem:overloaded", "title": "Service Unavailable", "status": 503, "detail": "as asked",
            "instance": "order-7", "reason": "overloaded", "layer": "test", "service": "orders",
        })
    );
    let labels =
        ["http_route=\"/problem/{kind}\"", "http_response_status_code=\"503\"", "error_type=\"overloaded\""];
    assert_eq!(served.metric("http_server_request_duration_seconds_count", &labels), 1.0);
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn what_a_handler_set_beside_its_problem_stays() {
    let served = Served::routes(routes()).await;
    let reply = served.get("/cookies", "").await;
    assert_eq!((reply.status, reply.json()["reason"].as_str()), (503, Some("overloaded")));
    let cookies = reply.head.lines().filter(|line| line.starts_with("set-cookie: ")).count();
    assert_eq!((cookies, reply.header("retry-after")), (2, Some("7")), "{}", reply.head);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let length = reply.header("content-length").expect("a length").parse();
    assert_eq!(length, Ok(reply.body.len()));
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_handlers_bare_404_is_not_told_as_an_unknown_path() {
    let served = Served::routes(routes()).await;
    let reply = served.get("/bare", "").await;
    assert_eq!((reply.status, reply.body.as_str()), (404, ""));
    let line = &served.lines(1).await[0];
    assert_eq!((line["http.route"].as_str(), line["outcome"].as_str()), (Some("/bare"), Some("caller")));
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn strangers_learn_nothing_of_what_went_wrong_inside_and_the_line_tells_it() {
    let served = Served::start(Server::new(routes()), "[server]\ntrust = { inbound = \"edge\" }").await;
    let reply = served.get("/problem/internal", "").await;
    assert_eq!((reply.status, reply.json().get("detail"), reply.json().get("layer")), (500, None, None));
    assert_eq!(served.get("/problem/invalid", "").await.json()["detail"], "as asked");
    let lines = served.lines(2).await;
    assert_eq!(lines[0]["error"], "internal: as asked [layer=test]; because the reason");
    assert_eq!(lines[1].get("error"), None, "the caller was told");
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_problems_too() {
    let served = Served::routes(routes()).await;
    let reply = served.get("/nowhere", "").await;
    assert_eq!((reply.status, reply.json()["reason"].as_str()), (404, Some("not_found")));
    let reply = served.ask("DELETE /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET,HEAD")));
    assert_eq!(
        (reply.json()["status"].as_u64(), reply.json()["title"].as_str()),
        (Some(405), Some("Method Not Allowed"))
    );
    let line = &served.lines(2).await[0];
    assert_eq!(
        (line["http.route"].as_str(), line["outcome"].as_str()),
        (Some(""), Some("caller")),
        "the path is never a label"
    );
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let served = Served::routes(routes()).await;
    for hosts in ["", "host: a\r\nhost: b\r\n"] {
        let reply = served.ask(format!("GET /hello HTTP/1.1\r\n{hosts}connection: close\r\n\r\n")).await;
        assert_eq!(
            (reply.status, reply.json()["detail"].as_str()),
            (400, Some("a request has exactly one host header"))
        );
    }
    assert_eq!(served.ask("GET /hello HTTP/1.0\r\n\r\n").await.status, 200, "HTTP/1.0 had none");
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_json_that_is_none_is_the_callers_fault() {
    let served = Served::routes(routes()).await;
    let post = |body: &str| {
        format!(
            "POST /json HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    assert_eq!(served.ask(post("{\"a\":1}")).await.status, 200);
    assert_eq!(served.ask(post("{\"a\":")).await.status, 400);
    assert_eq!(served.stop().await.code(), 0);
}
