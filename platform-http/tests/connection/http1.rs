//! What an HTTP/1 connection gets, on real sockets.

use std::time::Duration;

use platform_http::server::{Limits, Listener, Served, Times};
use tokio::time::Instant;

use crate::ground::{GRACE, Ground, Wire, soon, status_of};

fn brief() -> Times {
    Times { header: Duration::from_millis(200), ..Times::default() }
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let ground = Ground::open().await;
    let mut wire = ground.wire().await;
    for _ in 0..3 {
        assert!(wire.get("/").await.ends_with("\r\n\r\nhello"));
    }
    assert_eq!(ground.drain().await, Served::default());
    assert_eq!(wire.rest().await, "", "closed without a word");
}

#[tokio::test]
async fn a_client_hears_that_the_service_leaves_before_it_does() {
    let ground = Ground::open().await;
    let mut open = Vec::new();
    for _ in 0..5 {
        let mut wire = ground.wire().await;
        assert!(!wire.get("/").await.contains("connection: close"));
        open.push(wire);
    }
    let (began, notice) = (Instant::now(), Duration::from_millis(500));
    ground.announce(notice);
    for mut wire in open {
        // Nobody who asks is cut off: each hears it with a reply.
        while !wire.get("/").await.contains("connection: close") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(wire.rest().await, "");
    }
    tokio::time::sleep_until(began + notice).await;
    let mut late = ground.wire().await;
    let reply = late.get("/").await;
    assert!(
        reply.contains("connection: close") && reply.ends_with("hello"),
        "who comes late is served, once"
    );
    assert_eq!(ground.drain().await, Served::default());
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order() {
    let ground = Ground::open().await;
    let mut wire = ground.wire().await;
    wire.say("GET /sleep/50 HTTP/1.1\r\nhost: g\r\n\r\nPOST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 3\r\n\r\ntwo")
        .await;
    assert!(wire.reply().await.ends_with("hello"));
    assert!(wire.reply().await.ends_with("two"));
}

#[tokio::test]
async fn headers_that_are_too_large_are_answered_431() {
    let ground = Ground::open().await;
    let large = format!("GET / HTTP/1.1\r\nhost: g\r\nlarge: {}\r\n\r\n", "x".repeat(200 << 10));
    let many = format!("GET / HTTP/1.1\r\nhost: g\r\n{}\r\n", "a: b\r\n".repeat(100));
    let fitting = format!("GET / HTTP/1.1\r\nhost: g\r\nconnection: close\r\n{}\r\n", "a: b\r\n".repeat(98));
    let long = format!("GET /{} HTTP/1.1\r\nhost: g\r\n\r\n", "x".repeat(200 << 10));

    // Several times: a reset that overtakes the answer would not happen every time.
    for _ in 0..10 {
        let heard = ground.tell(&large).await;
        assert!(status_of(&heard) == "431" && !heard.contains("[reset]"), "{heard}");
    }
    assert_eq!(status_of(&ground.tell(&many).await), "431");
    assert_eq!(status_of(&ground.tell(&long).await), "431");
    assert_eq!(status_of(&ground.tell(&fitting).await), "200");
}

#[tokio::test]
async fn the_limits_of_headers_can_be_set() {
    let limits = Limits { headers: 8 << 10, header_fields: 10, ..Limits::default() };
    let ground = Ground::with(limits, Times::default(), GRACE).await;
    let large = format!("GET / HTTP/1.1\r\nhost: g\r\nlarge: {}\r\n\r\n", "x".repeat(9 << 10));
    let many = format!("GET / HTTP/1.1\r\nhost: g\r\n{}\r\n", "a: b\r\n".repeat(10));
    assert_eq!(status_of(&ground.tell(&large).await), "431");
    assert_eq!(status_of(&ground.tell(&many).await), "431");
}

#[tokio::test]
async fn a_refusal_is_heard_although_the_body_was_never_read() {
    let ground = Ground::open().await;
    let large = 9 << 20;
    let mut request =
        format!("POST /refuse HTTP/1.1\r\nhost: g\r\ncontent-length: {large}\r\n\r\n").into_bytes();
    request.resize(request.len() + large, b'x');
    for _ in 0..3 {
        let mut wire = ground.wire().await;
        let sent = soon(tokio::io::AsyncWriteExt::write_all(&mut wire.0, &request)).await;
        sent.expect("many clients read no answer when their writing fails");
        let heard = wire.rest().await;
        assert!(status_of(&heard) == "413" && !heard.contains("[reset]"), "{heard}");
    }
}

#[tokio::test]
async fn one_header_byte_after_the_other_is_closed_in_time() {
    let ground = Ground::timed(brief()).await;
    let mut wire = ground.wire().await;
    let begun = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nhost: a-very-long-name-that-never-comes-to-an-end".iter().cycle() {
        wire.say([*byte]).await;
        let closed = tokio::time::timeout(Duration::from_millis(20), wire.rest()).await;
        if closed.is_ok() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "it goes on and on");
    }
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_slow_second_request_is_closed_in_time_as_well() {
    let ground = Ground::timed(brief()).await;
    let mut wire = ground.wire().await;
    wire.get("/").await;
    wire.say("GET / HT").await;
    let waited = wire.closed_after().await;
    assert!((190..3000).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let ground = Ground::timed(brief()).await;
    let waited = ground.wire().await.closed_after().await;
    assert!((190..3000).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_keep_alive_and_not_by_the_header_timeout() {
    let times = Times {
        keep_alive: Duration::from_millis(500),
        header: Duration::from_millis(100),
        ..Times::default()
    };
    let ground = Ground::timed(times).await;
    let mut wire = ground.wire().await;
    wire.get("/").await;
    let waited = wire.closed_after().await;
    assert!((490..4000).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn a_request_that_takes_long_is_not_idle() {
    let times = Times {
        keep_alive: Duration::from_millis(100),
        header: Duration::from_millis(100),
        ..Times::default()
    };
    let ground = Ground::timed(times).await;
    assert!(ground.wire().await.get("/sleep/500").await.ends_with("hello"));
}

#[tokio::test]
async fn an_old_connection_says_close_and_loses_nothing() {
    let times = Times {
        connection_age: Some(Duration::from_millis(300)),
        header: Duration::from_millis(100),
        ..Times::default()
    };
    let ground = Ground::timed(times).await;
    let mut wire = ground.wire().await;
    let young = wire.get("/").await;
    assert!(!young.contains("connection: close"), "{young}");
    let old = wire.get("/sleep/500").await;
    assert!(old.contains("connection: close") && old.ends_with("hello"), "{old}");
    assert_eq!(wire.rest().await, "");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let times = Times { body_idle: Duration::from_millis(200), ..Times::default() };
    let ground = Ground::timed(times).await;
    let mut wire = ground.wire().await;
    wire.say("GET /endless HTTP/1.1\r\nhost: g\r\n\r\n").await;
    // Serving ends by itself although the grace is far longer: the connection is gone.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(ground.drain().await, Served::default());
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_not_cut() {
    let times = Times { body_idle: Duration::from_millis(200), ..Times::default() };
    let ground = Ground::with(Limits::default(), times, Duration::ZERO).await;
    let mut wire = ground.wire().await;
    wire.say("GET /endless HTTP/1.1\r\nhost: g\r\n\r\n").await;
    let mut taken = vec![0; 4 << 20];
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        tokio::io::AsyncReadExt::read_exact(&mut wire.0, &mut taken).await.expect("it is still served");
    }
    assert_eq!(ground.drain().await, Served { cut: 1, connections: 1 });
}

#[tokio::test]
async fn at_the_limit_the_next_connection_waits_for_a_place() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let ground = Ground::with(limits, Times::default(), GRACE).await;
    let (mut first, mut second) = (ground.wire().await, ground.wire().await);
    first.get("/").await;
    second.get("/").await;

    let mut third = ground.wire().await;
    let early = tokio::time::timeout(Duration::from_millis(200), third.get("/")).await;
    assert!(early.is_err(), "there is no place yet");
    drop(first);
    assert!(third.reply().await.ends_with("hello"), "its request was only waiting");
}

#[tokio::test]
async fn an_idle_connection_gives_its_place_up_sooner_when_there_is_none() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let ground = Ground::with(limits, brief(), GRACE).await;
    let mut first = ground.wire().await;
    first.get("/").await;
    assert!(ground.wire().await.get("/").await.ends_with("hello"), "far sooner than 75 s");
}

#[tokio::test]
async fn a_panic_costs_its_connection_and_nobody_else() {
    let ground = Ground::open().await;
    let mut other = ground.wire().await;
    other.get("/").await;
    assert_eq!(status_of(&ground.tell("GET /panic HTTP/1.1\r\nhost: g\r\n\r\n").await), "closed");
    assert!(other.get("/").await.ends_with("hello"));
    assert_eq!(ground.drain().await, Served::default(), "its place is free again");
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    let ground = Ground::with(Limits { connections: 1, ..Limits::default() }, Times::default(), GRACE).await;
    for _ in 0..5 {
        let mut wire = ground.wire().await;
        wire.say("GET /sleep/60000 HTTP/1.1\r\nhost: g\r\n\r\n").await;
    }
    assert!(ground.wire().await.get("/").await.ends_with("hello"));
}

#[tokio::test]
async fn a_drain_closes_idle_connections_and_lets_requests_finish() {
    let ground = Ground::open().await;
    let mut idle = ground.wire().await;
    idle.get("/").await;
    let mut busy = ground.wire().await;
    busy.say("GET /sleep/500 HTTP/1.1\r\nhost: g\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;

    ground.ask();
    let waited = idle.closed_after().await;
    assert!(waited < Duration::from_millis(350), "at once, not with the last request: {waited:?}");
    let reply = busy.reply().await;
    assert!(reply.contains("connection: close") && reply.ends_with("hello"), "{reply}");
    let address = ground.address;
    assert_eq!(ground.end().await, Served::default());
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn who_waits_to_be_accepted_when_the_drain_begins_is_still_served() {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    let mut wires = Vec::new();
    for _ in 0..5 {
        let mut wire = Wire(tokio::net::TcpStream::connect(address).await.unwrap());
        wire.say("GET / HTTP/1.1\r\nhost: g\r\n\r\n").await;
        wires.push(wire);
    }
    let ground = Ground::on(listener, Limits::default(), Times::default(), GRACE);
    ground.ask();
    for wire in &mut wires {
        let reply = wire.rest().await;
        assert!(reply.contains("connection: close") && reply.ends_with("hello"), "{reply}");
    }
    assert_eq!(ground.end().await, Served::default());
}

#[tokio::test]
async fn who_has_just_connected_when_the_drain_begins_still_gets_one_answer() {
    let ground = Ground::open().await;
    let mut wire = ground.wire().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    ground.ask();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let reply = wire.get("/").await;
    assert!(reply.contains("connection: close") && reply.ends_with("hello"), "{reply}");
    assert_eq!(ground.end().await, Served::default());
}

#[tokio::test]
async fn what_is_left_after_the_grace_is_cut_and_counted() {
    let ground = Ground::with(Limits::default(), Times::default(), Duration::from_millis(300)).await;
    let mut wires = [ground.wire().await, ground.wire().await, ground.wire().await];
    for wire in &mut wires {
        wire.say("GET /sleep/60000 HTTP/1.1\r\nhost: g\r\n\r\n").await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    assert_eq!(ground.drain().await, Served { cut: 3, connections: 3 });
    assert!((290..2000).contains(&begun.elapsed().as_millis()));
    for wire in &mut wires {
        assert_eq!(status_of(&wire.rest().await), "closed");
    }
}
