//! Streams and upgrades live longer than the head of their reply.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    response::sse::{Event, Sse},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use platform_core::{Error, ErrorKind};
use platform_http::{Body, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::served::Served;

/// A service of one function.
#[derive(Clone)]
struct Answers<F>(F);

impl<F: Fn(Request<Body>) -> Response<Body>> tower_service::Service<Request<Body>> for Answers<F> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        ready(Ok((self.0)(request)))
    }
}

fn routes() -> Router {
    let events = || async {
        let ticks = stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_millis(60)).await;
            (n < 4).then(|| (Ok::<_, Infallible>(Event::default().data(n.to_string())), n + 1))
        });
        Sse::new(ticks)
    };
    let echo = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move {
            while let Some(Ok(Message::Text(text))) = socket.recv().await {
                let _ = socket.send(Message::Text(text)).await;
            }
        })
    };
    Router::new().route("/events", get(events)).route("/echo", get(echo))
}

#[tokio::test]
async fn server_sent_events_outlive_the_limit_of_the_head_and_are_told_at_their_end() {
    let served = Served::start(Server::new(routes()), "[server.policy]\ntimeout = \"100ms\"").await;
    let reply = served.get("/events", "").await;
    assert_eq!(reply.status, 200);
    for n in 0..4 {
        assert!(reply.body.contains(&format!("data: {n}")), "{reply:?}");
    }
    let line = &served.lines(1).await[0];
    assert!(line["duration_ms"].as_f64().unwrap() >= 240.0, "the whole stream: {line}");
    assert_eq!((line["outcome"].as_str(), line["class"].as_str()), (Some("ok"), Some("stream")));
    let seconds = served.metric("http_server_request_duration_seconds_sum", &["http_route=\"/events\""]);
    assert!(seconds < 0.2, "the time to its head: {seconds}");
    assert_eq!(served.stop().await.code(), 0);
}

/// Pieces a while apart; after the last, `end` if there is one.
fn pieces(end: Option<Error>) -> StreamBody<impl futures_util::Stream<Item = Result<Frame<Bytes>, Error>>> {
    StreamBody::new(stream::unfold((0, end), |(n, mut end)| async move {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let piece = if n < 4 { Ok(Frame::data(Bytes::from("piece "))) } else { Err(end.take()?) };
        Some((piece, (n + 1, end)))
    }))
}

#[tokio::test]
async fn a_services_own_stream_is_told_at_its_end_too() {
    let service = Answers(|_| Response::new(Body::reply_stream(pieces(None))));
    let served = Served::start(Server::service(service), "").await;
    let reply = served.get("/", "").await;
    assert_eq!(reply.status, 200);
    let line = &served.lines(1).await[0];
    assert!(line["duration_ms"].as_f64().unwrap() >= 240.0, "the whole stream: {line}");
    assert_eq!((line["outcome"].as_str(), line["reason"].as_str()), (Some("ok"), Some("")));
    assert_eq!(served.metric("http_server_active_requests", &["GET"]), 0.0);
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_told_as_what_it_failed_with() {
    let service = Answers(|request: Request<Body>| {
        let kind = if request.uri().path() == "/upstream" { ErrorKind::Upstream } else { ErrorKind::Timeout };
        Response::new(Body::reply_stream(pieces(Some(Error::new(kind, "as asked")))))
    });
    let served = Served::start(Server::service(service), "").await;
    for (count, path, outcome) in [(1, "/upstream", "server"), (2, "/timeout", "timeout")] {
        let reply = served.get(path, "").await;
        assert!(reply.status == 200 && !reply.body.ends_with("0\r\n\r\n"), "no end was said: {reply:?}");
        let line = &served.lines(count).await[count - 1];
        assert_eq!(line["reason"], path[1..]);
        assert_eq!(line["error"], format!("{}: as asked", &path[1..]), "{line}");
        assert_eq!((line["outcome"].as_str(), line["level"].as_str()), (Some(outcome), Some("error")));
    }
    // Counted with its head, and once.
    assert_eq!(served.metric("http_server_request_duration_seconds_count", &[]), 2.0);
    assert_eq!(served.metric("http_server_active_requests", &["GET"]), 0.0);
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_on_has_ended_well() {
    let served = Served::routes(routes()).await;
    let mut socket = served.connect().await;
    socket.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 256];
    assert!(socket.read(&mut some).await.unwrap() > 0);
    drop(socket);
    let line = &served.lines(1).await[0];
    assert_eq!(
        (line["outcome"].as_str(), line["http.response.status_code"].as_u64()),
        (Some("ok"), Some(200))
    );
    assert_eq!(served.metric("http_server_active_requests", &["GET"]), 0.0);
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_websocket_is_upgraded_and_echoes() {
    let served = Served::routes(routes()).await;
    let mut socket = served.connect().await;
    let upgrade = "GET /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    // A masked text frame "hi" with the key 0, and its echo.
    socket.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    let mut echo = [0; 4];
    socket.read_exact(&mut echo).await.unwrap();
    assert_eq!(echo, [0x81, 2, b'h', b'i']);
    let line = &served.lines(1).await[0];
    assert_eq!(
        (line["http.response.status_code"].as_u64(), line["class"].as_str()),
        (Some(101), Some("stream"))
    );
    drop(socket);
    assert_eq!(served.stop().await.code(), 0);
}
