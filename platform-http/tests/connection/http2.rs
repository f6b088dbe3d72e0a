//! What a cleartext HTTP/2 connection gets, asked with hyper's client and, where that is too polite, with frames
//! written by hand.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use platform_core::context;
use platform_http::server::{Limits, Served, Times};
use tokio::{net::TcpStream, task::JoinHandle};

use crate::{
    ground::{GRACE, Ground, soon},
    raw,
};

struct Client {
    ask: http2::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<Result<(), hyper::Error>>,
}

impl Client {
    async fn new(ground: &Ground) -> Client {
        let socket = soon(TcpStream::connect(ground.address)).await.expect("it listens");
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let (ask, connection) = builder
            .max_header_list_size(1 << 20)
            .handshake(TokioIo::new(socket))
            .await
            .expect("it speaks HTTP/2");
        Client { ask, connection: context::spawn(connection) }
    }

    fn get(&mut self, path: &str) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        self.send(Request::get(format!("http://ground{path}")))
    }

    fn send(
        &mut self,
        request: http::request::Builder,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        self.ask.send_request(request.body(Empty::new()).expect("a valid request"))
    }

    /// How long until the connection ends?
    async fn ended_after(self) -> Duration {
        let begun = tokio::time::Instant::now();
        let Client { ask: _ask, connection } = self;
        let _ = soon(connection).await.expect("hyper does not panic");
        begun.elapsed()
    }
}

async fn hello(reply: hyper::Result<Response<Incoming>>) {
    let reply = reply.expect("it answers");
    assert_eq!(reply.status(), StatusCode::OK);
    assert_eq!(reply.into_body().collect().await.expect("a whole body").to_bytes(), "hello");
}

fn fields(count: usize) -> http::request::Builder {
    (0..count).fold(Request::get("http://ground/"), |request, n| request.header(format!("h-{n}"), "x"))
}

#[tokio::test]
async fn streams_share_a_connection() {
    let ground = Ground::open().await;
    let mut client = Client::new(&ground).await;
    let slow = client.get("/sleep/300");
    let quick = client.get("/");
    hello(soon(quick).await).await;
    hello(soon(slow).await).await;
}

#[tokio::test]
async fn a_reply_that_cannot_have_a_body_has_none() {
    let ground = Ground::open().await;
    let mut client = Client::new(&ground).await;
    for (method, path, status, length) in [
        ("HEAD", "/", StatusCode::OK, Some("5")),
        ("GET", "/none", StatusCode::NO_CONTENT, None),
        ("GET", "/same", StatusCode::NOT_MODIFIED, None),
        ("HEAD", "/endless", StatusCode::OK, None),
    ] {
        let request = Request::builder().method(method).uri(format!("http://ground{path}"));
        let reply = soon(client.send(request)).await.expect("a head");
        assert_eq!(reply.status(), status, "{method} {path}");
        let told = reply.headers().get("content-length").map(|told| told.to_str().expect("digits"));
        assert_eq!(told, length, "{method} {path}");
        let body = soon(reply.into_body().collect()).await.expect("the stream is not reset").to_bytes();
        assert!(body.is_empty(), "{method} {path}: {body:?}");
    }
    hello(soon(client.get("/")).await).await;
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let ground = Ground::open().await;
    let mut client = Client::new(&ground).await;
    let large = Request::get("http://ground/").header("large", "x".repeat(200 << 10));
    // Beyond a few frames h2 does not read to the end what it will refuse, and ends the connection.
    let error = soon(client.send(large)).await.expect_err("it is not read to its end");
    assert!(format!("{error:?}").contains("ENHANCE_YOUR_CALM"), "{error:?}");
    let larger = Request::get("http://ground/").header("large", "x".repeat(65 << 10));
    let status = soon(Client::new(&ground).await.send(larger)).await.unwrap().status();
    assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    hello(soon(Client::new(&ground).await.get("/")).await).await;
}

#[tokio::test]
async fn too_many_header_fields_are_answered_431() {
    let ground = Ground::open().await;
    let mut client = Client::new(&ground).await;
    let status = soon(client.send(fields(101))).await.unwrap().status();
    assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    hello(soon(client.send(fields(100))).await).await;
}

#[tokio::test]
async fn a_connection_that_never_sends_its_preface_is_closed() {
    let ground = Ground::timed(Times { header: Duration::from_millis(200), ..Times::default() }).await;
    let mut wire = ground.wire().await;
    wire.say("PRI * HTTP/2.0\r\n\r\nSM").await;
    let waited = wire.closed_after().await;
    assert!((190..3000).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn a_connection_that_never_sends_a_request_is_idle_and_ends() {
    let times = Times {
        header: Duration::from_millis(100),
        keep_alive: Duration::from_millis(500),
        ..Times::default()
    };
    let ground = Ground::timed(times).await;
    let waited = Client::new(&ground).await.ended_after().await;
    assert!((490..4000).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_and_its_streams_finish() {
    let times = Times {
        connection_age: Some(Duration::from_millis(200)),
        header: Duration::from_millis(100),
        ..Times::default()
    };
    let ground = Ground::timed(times).await;
    let mut client = Client::new(&ground).await;
    let slow = client.get("/sleep/800");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(soon(client.get("/")).await.is_err(), "no new stream after the GOAWAY");
    hello(soon(slow).await).await;
    assert!(client.ended_after().await < Duration::from_secs(3));
}

#[tokio::test]
async fn a_drain_says_goaway_and_lets_streams_finish() {
    let ground = Ground::open().await;
    let mut idle = Client::new(&ground).await;
    hello(soon(idle.get("/")).await).await;
    let mut busy = Client::new(&ground).await;
    let slow = busy.get("/sleep/600");
    tokio::time::sleep(Duration::from_millis(100)).await;

    ground.ask();
    assert!(idle.ended_after().await < Duration::from_millis(400), "an idle one at once");
    assert!(soon(busy.get("/")).await.is_err(), "no new stream after the GOAWAY");
    hello(soon(slow).await).await;
    assert_eq!(ground.end().await, Served::default());
}

#[tokio::test]
async fn who_hears_that_the_service_leaves_finishes_what_was_begun() {
    let ground = Ground::open().await;
    let idle = Client::new(&ground).await;
    let mut busy = Client::new(&ground).await;
    let slow = busy.get("/sleep/900");
    tokio::time::sleep(Duration::from_millis(50)).await;

    ground.announce(Duration::from_millis(500));
    assert!(idle.ended_after().await < Duration::from_secs(5), "before anybody has asked for the drain");
    hello(soon(slow).await).await;
    let mut late = Client::new(&ground).await;
    hello(soon(late.get("/")).await).await;
    assert_eq!(ground.drain().await, Served::default());
}

#[tokio::test]
async fn streams_left_after_the_grace_are_cut_and_counted() {
    let ground = Ground::with(Limits::default(), Times::default(), Duration::from_millis(300)).await;
    let mut client = Client::new(&ground).await;
    let streams = [client.get("/sleep/60000"), client.get("/sleep/60000"), client.get("/sleep/60000")];
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(ground.drain().await, Served { cut: 3, connections: 1 });
    assert!((290..2000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    for stream in streams {
        assert!(soon(stream).await.is_err());
    }
}

#[tokio::test]
async fn a_panic_costs_its_stream_and_not_the_connection() {
    let ground = Ground::open().await;
    let mut client = Client::new(&ground).await;
    assert!(soon(client.get("/panic")).await.is_err());
    hello(soon(client.get("/")).await).await;
    drop(client);
    assert_eq!(ground.drain().await, Served::default(), "its request is not in flight for ever");
}

#[tokio::test]
async fn who_ignores_a_goaway_is_cut() {
    let times = Times { header: Duration::from_millis(200), ..Times::default() };
    let ground = Ground::with(Limits::default(), times, GRACE).await;
    let mut wire = ground.wire().await;
    // The preface, SETTINGS, and nothing more: the ping that ends a graceful shutdown is never answered.
    wire.say(raw::PREFACE).await;
    wire.say(raw::frame(raw::SETTINGS, 0, 0, &[])).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(ground.drain().await, Served::default());
    assert!(begun.elapsed() < GRACE / 2, "not only at the hard stop: {:?}", begun.elapsed());
}

#[tokio::test]
async fn rapid_resets_end_the_connection_and_nothing_else() {
    let ground = Ground::open().await;
    let mut wire = ground.wire().await;
    let mut flood = raw::PREFACE.to_vec();
    flood.extend(raw::frame(raw::SETTINGS, 0, 0, &[]));
    for stream in (1..4000).step_by(2) {
        flood.extend(raw::frame(raw::HEADERS, raw::END_HEADERS | raw::END_STREAM, stream, raw::GET));
        flood.extend(raw::frame(raw::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    wire.say(&flood).await;
    assert_eq!(raw::last_goaway(&mut wire).await, Some(raw::ENHANCE_YOUR_CALM));
    hello(soon(Client::new(&ground).await.get("/")).await).await;
    assert_eq!(ground.drain().await, Served::default());
}

#[tokio::test]
async fn endless_continuations_end_the_connection() {
    let ground = Ground::open().await;
    let mut wire = ground.wire().await;
    let mut flood = raw::PREFACE.to_vec();
    flood.extend(raw::frame(raw::SETTINGS, 0, 0, &[]));
    flood.extend(raw::frame(raw::HEADERS, 0, 1, raw::GET));
    for _ in 0..10_000 {
        flood.extend(raw::frame(raw::CONTINUATION, 0, 1, &[]));
    }
    wire.say(&flood).await;
    assert_eq!(raw::last_goaway(&mut wire).await, Some(raw::ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn frames_that_break_the_rules_end_the_connection_with_the_reason() {
    let ground = Ground::open().await;
    for (name, frame, reason) in [
        ("a frame larger than allowed", raw::frame(raw::DATA, 0, 1, &vec![0; 20_000]), raw::FRAME_SIZE_ERROR),
        ("data for a stream that was never opened", raw::frame(raw::DATA, 0, 1, b"x"), raw::PROTOCOL_ERROR),
        ("an even stream", raw::frame(raw::HEADERS, 5, 2, raw::GET), raw::PROTOCOL_ERROR),
        ("headers that are no HPACK", raw::frame(raw::HEADERS, 5, 1, &[0xff; 20]), raw::PROTOCOL_ERROR),
        (
            "a window that overflows",
            raw::frame(raw::WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]),
            raw::FLOW_CONTROL_ERROR,
        ),
    ] {
        let mut wire = ground.wire().await;
        wire.say([raw::PREFACE, &raw::frame(raw::SETTINGS, 0, 0, &[]), &frame].concat()).await;
        assert_eq!(raw::last_goaway(&mut wire).await, Some(reason), "{name}");
    }
}
