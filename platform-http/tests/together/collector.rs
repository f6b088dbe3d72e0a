//! A collector that is down, hangs or refuses is nobody's problem but the traces'.

use std::{net::TcpListener, time::Duration};

use platform_core::context::TraceParent;
use tokio::time::Instant;

use crate::{
    sink::Sink,
    town::{House, Town, soon},
};

/// The slowest of many requests that are all kept, and how long the end took.
async fn asked_and_stopped(endpoint: &str) -> (Duration, Duration) {
    let town = Town::new();
    let toml = format!(
        "[telemetry.traces]\nendpoint = \"{endpoint}\"\nratio = 1.0\n[lifecycle]\nflush = \"{}ms\"",
        FLUSH.as_millis()
    );
    let catalog = town.catalog("catalog-1", &toml).await;
    let edge = town.edge(&toml).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..200 {
        slowest = slowest.max(took(&edge).await);
    }
    let begun = Instant::now();
    let (one, two) = (edge.stop(), catalog.stop());
    for stopped in [one, two] {
        let ended = soon(stopped).await.expect("no panic").expect("it ends");
        assert_eq!(ended.code(), 0, "{ended:?}");
    }
    (slowest, begun.elapsed())
}

async fn took(edge: &House) -> Duration {
    let kept = TraceParent::random().sampled(true);
    let parent = format!("traceparent: {}\r\n", std::str::from_utf8(&kept.to_header()).expect("hex"));
    let begun = Instant::now();
    let reply = edge.get("/films/7", &parent).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    begun.elapsed()
}

async fn stops_nobody(endpoint: &str) {
    let (slowest, end) = asked_and_stopped(endpoint).await;
    // An export gives up after ten seconds; a request that waited for one would show it.
    assert!(slowest < Duration::from_secs(1), "the slowest request took {slowest:?}");
    // Propagation is 200 ms, and what ends in between is counted generously.
    assert!(end < FLUSH + Duration::from_secs(2), "the end took {end:?}");
}

#[tokio::test]
async fn a_collector_that_hangs() {
    let Some(sink) = Sink::start("grpc", "hang") else { return };
    stops_nobody(&format!("http://127.0.0.1:{}", sink.port)).await;
    assert_eq!(sink.line()["calls"], 1, "it was asked");
}

#[tokio::test]
async fn a_collector_that_refuses() {
    let Some(sink) = Sink::start("grpc", "refuse") else { return };
    stops_nobody(&format!("http://127.0.0.1:{}", sink.port)).await;
    assert_eq!(sink.line()["calls"], 1, "it was asked");
}

#[tokio::test]
async fn a_collector_that_is_not_there() {
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    stops_nobody(&format!("http://127.0.0.1:{port}")).await;
}

/// `lifecycle.flush`.
const FLUSH: Duration = Duration::from_millis(600);
