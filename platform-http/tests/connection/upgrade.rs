//! What becomes of a connection that stops being HTTP.

use std::time::Duration;

use platform_http::server::{Limits, Served, Times};
use tokio::io::AsyncReadExt as _;

use crate::ground::{GRACE, Ground, Wire, soon, status_of};

const ASK: &str = "GET /upgrade HTTP/1.1\r\nhost: g\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

async fn upgraded(ground: &Ground) -> Wire {
    let mut wire = ground.wire().await;
    wire.say(ASK).await;
    assert_eq!(status_of(&wire.reply().await), "101");
    assert_eq!(echo(&mut wire, "first").await, "first");
    wire
}

async fn echo(wire: &mut Wire, word: &str) -> String {
    wire.say(word).await;
    let mut heard = vec![0; word.len()];
    soon(wire.0.read_exact(&mut heard)).await.expect("it comes back");
    String::from_utf8(heard).expect("what was sent")
}

#[tokio::test]
async fn it_is_left_alone_whatever_its_age_and_its_silence() {
    let brief = Duration::from_millis(50);
    let times = Times { header: brief, keep_alive: brief, body_idle: brief, connection_age: Some(brief) };
    let ground = Ground::timed(times).await;
    let mut wire = upgraded(&ground).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(echo(&mut wire, "still").await, "still");
}

#[tokio::test]
async fn a_drain_waits_for_it_and_is_over_when_it_ends() {
    let ground = Ground::open().await;
    let mut wire = upgraded(&ground).await;
    ground.ask();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(echo(&mut wire, "in the drain").await, "in the drain");
    drop(wire);
    let begun = tokio::time::Instant::now();
    assert_eq!(ground.end().await, Served::default());
    assert!(begun.elapsed() < GRACE / 2, "it did not wait for the grace");
}

#[tokio::test]
async fn it_is_cut_when_the_grace_is_over() {
    let ground = Ground::with(Limits::default(), Times::default(), Duration::from_millis(200)).await;
    let mut wire = upgraded(&ground).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(ground.drain().await, Served { cut: 1, connections: 1 });
    assert!(begun.elapsed() < Duration::from_secs(2), "its reader heard of the cut: {:?}", begun.elapsed());
    wire.closed_after().await;
}

#[tokio::test]
async fn it_keeps_its_place_among_the_connections() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let ground = Ground::with(limits, Times::default(), GRACE).await;
    let wire = upgraded(&ground).await;
    let mut next = ground.wire().await;
    assert!(tokio::time::timeout(Duration::from_millis(200), next.get("/")).await.is_err());
    drop(wire);
    assert!(next.reply().await.ends_with("hello"));
}
