//! Streams and upgrades live longer than the head of their reply.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    response::sse::{Event, Sse},
    routing::get,
};
use futures_util::stream;
use platform_http::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::served::Served;

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
