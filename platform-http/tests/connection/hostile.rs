//! What HTTP/1 bytes get that are no request, or two requests at once to whoever reads them differently.
//!
//! Where a row says 200 the shape is harmless as we read it: there is one reading, and it is the standard's.

use platform_http::server::Served;

use crate::ground::{Ground, status_of};

/// The statuses of all replies on one connection, until it is closed.
async fn statuses(ground: &Ground, request: &[u8]) -> String {
    let heard = ground.tell(request).await;
    let mut statuses: Vec<_> = heard.split("HTTP/1.1 ").skip(1).map(|reply| &reply[..3]).collect();
    if statuses.is_empty() {
        statuses.push(status_of(&heard));
    }
    statuses.join(" ")
}

/// Each is followed by a request that asks for the end, so that a connection left open shows as a further reply.
const LAST: &str = "GET / HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn what_is_no_request_is_answered_400_and_closed() {
    let ground = Ground::open().await;
    for (name, request) in ROWS_400 {
        let whole = [request, LAST.as_bytes()].concat();
        assert_eq!(statuses(&ground, &whole).await, "400", "{name}");
    }
    assert_eq!(ground.drain().await, Served::default(), "the service lives, and nothing is left");
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_or_has_one_reading() {
    let ground = Ground::open().await;
    for (name, request, expected) in ROWS_SMUGGLING {
        let whole = [request, LAST.as_bytes()].concat();
        assert_eq!(statuses(&ground, &whole).await, *expected, "{name}");
    }
    assert_eq!(ground.drain().await, Served::default(), "the service lives, and nothing is left");
}

#[tokio::test]
async fn random_bytes_never_stop_the_service() {
    let ground = Ground::open().await;
    let mut dice = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let mut noise: Vec<u8> = (0..dice.usize(1..400)).map(|_| dice.u8(..)).collect();
        if dice.bool() {
            noise.splice(0..0, *b"POST /echo HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n");
        }
        let mut wire = ground.wire().await;
        wire.say(&noise).await;
        drop(wire);
    }
    assert!(ground.wire().await.get("/").await.ends_with("hello"));
    assert_eq!(ground.drain().await, Served::default());
}

const ROWS_400: &[(&str, &[u8])] = &[
    ("no request line", b"nonsense\r\n\r\n"),
    ("binary", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n"),
    ("no version", b"GET /\r\n\r\n"),
    ("a version of the future", b"GET / HTTP/3.0\r\nhost: g\r\n\r\n"),
    ("a space in the target", b"GET / / HTTP/1.1\r\nhost: g\r\n\r\n"),
    ("a control byte in the target", b"GET /\x01 HTTP/1.1\r\nhost: g\r\n\r\n"),
    ("a method that is none", b"G@T / HTTP/1.1\r\nhost: g\r\n\r\n"),
    ("a header without a colon", b"GET / HTTP/1.1\r\nhost\r\n\r\n"),
    ("a space in a header's name", b"GET / HTTP/1.1\r\nho st: g\r\n\r\n"),
    ("a NUL in a header", b"GET / HTTP/1.1\r\nhost: g\r\na: b\0c\r\n\r\n"),
    ("bytes above ASCII in the target", b"GET /\xff\xfe HTTP/1.1\r\nhost: g\r\n\r\n"),
    ("broken UTF-8 in the target", b"GET /\xc3( HTTP/1.1\r\nhost: g\r\n\r\n"),
    ("bytes above ASCII in a name", b"GET / HTTP/1.1\r\nhost: g\r\n\xff: b\r\n\r\n"),
    ("a bare CR before the end of a line", b"GET / HTTP/1.1\r\nhost: g\r\na: b\r\r\n\r\n"),
    ("a bare CR instead of a line end", b"GET / HTTP/1.1\rhost: g\r\n\r\n"),
    ("a bare CR in a header", b"GET / HTTP/1.1\r\nhost: g\r\na: b\rc: d\r\n\r\n"),
];

const ROWS_SMUGGLING: &[(&str, &[u8], &str)] = &[
    (
        "content-length and transfer-encoding",
        b"POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "200",
    ),
    (
        "transfer-encoding and content-length",
        b"POST /echo HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
        "200",
    ),
    (
        "two lengths that differ",
        b"POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "400",
    ),
    (
        "two lengths that agree",
        b"POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nab",
        "200 200",
    ),
    ("a list of lengths", b"POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 2, 2\r\n\r\nab", "400"),
    ("a signed length", b"POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: +2\r\n\r\nab", "400"),
    ("a length of letters", b"POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: two\r\n\r\nab", "400"),
    (
        "a length beyond all numbers",
        b"POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 99999999999999999999999\r\n\r\nab",
        "400",
    ),
    ("a folded header", b"GET / HTTP/1.1\r\nhost: g\r\na: b\r\n c\r\n\r\n", "400"),
    ("lines that end in a bare LF", b"GET / HTTP/1.1\nhost: g\n\n", "200 200"),
    ("a space before the colon", b"POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length : 2\r\n\r\nab", "400"),
    ("a chunked that is not last", b"POST /echo HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "400"),
    ("an encoding that is none", b"POST /echo HTTP/1.1\r\nhost: g\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", "400"),
    ("two encodings", b"POST /echo HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n", "400"),
    ("chunked in HTTP/1.0", b"POST /echo HTTP/1.0\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
    ("a chunk size beyond all numbers", b"POST /echo HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nab", "400"),
    ("a chunk size that is none", b"POST /echo HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n-1\r\nab\r\n", "400"),
    ("a chunk longer than it says", b"POST /echo HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", "400"),
    ("chunk lines that end in a bare LF", b"POST /echo HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n1\na\n0\n\n", "400"),
    ("no host", b"GET / HTTP/1.1\r\n\r\n", "200 200"),
    ("two hosts", b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "200 200"),
    ("empty lines first", b"\r\n\r\nGET / HTTP/1.1\r\nhost: g\r\n\r\n", "200 200"),
    ("bytes above ASCII in a value", b"GET / HTTP/1.1\r\nhost: g\r\na: \xff\xfe\r\n\r\n", "200 200"),
    ("an absolute target of another host", b"GET http://other/ HTTP/1.1\r\nhost: g\r\n\r\n", "200 200"),
    ("a GET with a body", b"GET /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 2\r\n\r\nab", "200 200"),
];
