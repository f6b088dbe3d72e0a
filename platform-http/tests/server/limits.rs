//! How long a request may take, and what happens to it at the end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use platform_core::context;
use platform_http::Server;
use tokio::io::AsyncWriteExt as _;

use crate::served::{Reply, Served};

/// Counts the handlers that were begun and those that were dropped before their end.
#[derive(Clone, Default)]
struct Work {
    begun: Arc<AtomicU32>,
    dropped: Arc<AtomicU32>,
}

struct Dropped(Option<Arc<AtomicU32>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Some(count) = self.0.take() {
            count.fetch_add(1, Relaxed);
        }
    }
}

impl Work {
    fn routes(&self) -> Router {
        let slow = self.clone();
        Router::new()
            .route(
                "/slow",
                get(move || {
                    let work = slow.clone();
                    async move {
                        work.begun.fetch_add(1, Relaxed);
                        let mut dropped = Dropped(Some(work.dropped.clone()));
                        tokio::time::sleep(Duration::from_millis(400)).await;
                        dropped.0 = None;
                        "done"
                    }
                }),
            )
            .route(
                "/left",
                get(|| async {
                    let left = context::current()
                        .and_then(|context| Some(context.deadline()?.remaining(context.now())));
                    left.map_or("none".to_owned(), |left| left.as_millis().to_string())
                }),
            )
    }
}

#[tokio::test]
async fn the_smaller_of_the_callers_limit_and_the_servers_counts() {
    let served =
        Served::start(Server::new(Work::default().routes()), "[server.policy]\ntimeout = \"5s\"").await;
    assert_eq!(served.get("/left", "").await.body, "5000");
    assert_eq!(served.get("/left", "platform-timeout-ms: 700\r\n").await.body, "700");
    assert_eq!(served.get("/left", "platform-timeout-ms: 60000\r\n").await.body, "5000");
    assert_eq!(served.get("/left", "x-envoy-expected-rq-timeout-ms: 300\r\n").await.body, "300");
    assert_eq!(served.stop().await.code(), 0);

    let served =
        Served::start(Server::new(Work::default().routes()), "[server.policy]\ntimeout = \"none\"").await;
    assert_eq!(served.get("/left", "").await.body, "none");
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_request_that_is_spent_on_arrival_runs_no_handler() {
    let work = Work::default();
    let served = Served::routes(work.routes()).await;
    let reply = served.get("/slow", "platform-timeout-ms: 0\r\n").await;
    assert_eq!((reply.status, reply.json()["reason"].as_str()), (504, Some("expired")));
    assert_eq!(work.begun.load(Relaxed), 0);
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn work_ends_with_its_deadline() {
    let work = Work::default();
    let served = Served::routes(work.routes()).await;
    let reply = served.get("/slow", "platform-timeout-ms: 60\r\n").await;
    assert_eq!((reply.status, reply.json()["reason"].as_str()), (504, Some("timeout")));
    assert_eq!(
        (work.begun.load(Relaxed), work.dropped.load(Relaxed)),
        (1, 1),
        "nobody would read its answer"
    );
    let line = &served.lines(1).await[0];
    assert_eq!((line["outcome"].as_str(), line["level"].as_str()), (Some("timeout"), Some("error")));
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_caller_that_leaves_is_told_as_abandoned() {
    let work = Work::default();
    let served = Served::routes(work.routes()).await;
    let mut socket = served.connect().await;
    socket.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    while work.begun.load(Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(socket);
    let line = &served.lines(1).await[0];
    assert_eq!((line["outcome"].as_str(), line["reason"].as_str()), (Some("abandoned"), Some("abandoned")));
    assert_eq!(line["http.response.status_code"], 499);
    assert_eq!(work.dropped.load(Relaxed), 1);
    assert_eq!(served.metric("http_server_active_requests", &["GET"]), 0.0);
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_drain_ends_what_is_begun_and_begins_nothing() {
    let work = Work::default();
    let served = Served::routes(work.routes()).await;
    let mut socket = served.connect().await;
    socket.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    while work.begun.load(Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let address = served.address;
    let ended = served.stop().await;
    assert_eq!((ended.cut, ended.code()), (0, 0));
    let reply = Reply::read(&mut socket).await;
    assert_eq!((reply.status, reply.body.as_str(), reply.header("connection")), (200, "done", Some("close")));
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn what_outlives_the_grace_is_cut_and_counted() {
    let work = Work::default();
    let served = Served::start(Server::new(work.routes()), "[lifecycle]\ngrace = \"50ms\"").await;
    let mut socket = served.connect().await;
    socket.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    while work.begun.load(Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ended = served.stop().await;
    assert_eq!((ended.cut, ended.code()), (1, 1));
    assert_eq!(work.dropped.load(Relaxed), 1);
}
