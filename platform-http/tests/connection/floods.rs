//! Peers that send much of what costs little: what they get, that memory stays flat, and that others are served.

use std::{env, fs, process::Command, time::Duration};

use platform_http::server::{Limits, Served, Times};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    ground::{GRACE, Ground, Wire, soon, status_of},
    raw,
};

/// A wire that has said its preface.
async fn http2(ground: &Ground) -> Wire {
    let mut wire = ground.wire().await;
    wire.say([raw::PREFACE, &raw::frame(raw::SETTINGS, 0, 0, &[])].concat()).await;
    wire
}

/// Sends as much of `flood` as is taken while nobody reads; how many bytes those are.
async fn pour(wire: &mut Wire, flood: &[u8]) -> usize {
    let mut sent = 0;
    while sent < flood.len() {
        match tokio::time::timeout(PATIENCE, wire.0.write(&flood[sent..])).await {
            Ok(Ok(length @ 1..)) => sent += length,
            // Not taken, or closed.
            _ => break,
        }
    }
    sent
}

#[tokio::test]
async fn what_has_to_be_answered_is_taken_no_faster_than_its_answers_are_read() {
    let ground = Ground::open().await;
    for (name, frame) in [
        ("pings", raw::frame(raw::PING, 0, 0, b"01234567")),
        ("settings", raw::frame(raw::SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])),
    ] {
        // 64 MiB, none of whose answers is read: the buffers of two sockets are all that is ever full.
        let flood = frame.repeat((64 << 20) / frame.len());
        let mut wire = http2(&ground).await;
        let sent = pour(&mut wire, &flood).await;
        assert!(sent < 32 << 20, "{name}: {sent} bytes were taken, and their answers are somewhere");
        assert!(ground.wire().await.get("/").await.ends_with("hello"), "others are served meanwhile");
    }
    assert_eq!(ground.drain().await, Served::default());
}

#[tokio::test]
async fn pings_whose_answers_are_read_are_all_answered() {
    let ground = Ground::open().await;
    let Wire(socket) = http2(&ground).await;
    let (mut from, mut to) = socket.into_split();
    let flood = raw::frame(raw::PING, 0, 0, b"01234567").repeat(PINGS);
    let reading = async {
        let (mut heard, mut pongs) = (Vec::new(), 0);
        while pongs < PINGS {
            let read = from.read_buf(&mut heard).await.expect("it goes on");
            assert!(read > 0, "closed after {pongs} answers");
            while heard.len() >= 9 {
                let length = usize::from(heard[2]) + (usize::from(heard[1]) << 8);
                if heard.len() < 9 + length {
                    break;
                }
                pongs += usize::from(heard[3] == raw::PING && heard[4] == raw::ACK);
                heard.drain(..9 + length);
            }
        }
    };
    let (written, ()) = tokio::join!(soon(to.write_all(&flood)), soon(reading));
    written.expect("all are taken");
}

#[tokio::test]
async fn frames_that_carry_nothing_end_in_a_goaway_or_cost_nothing() {
    let ground = Ground::open().await;
    let mut wire = http2(&ground).await;
    // A request whose body is a hundred thousand times nothing.
    let mut flood = raw::frame(raw::HEADERS, raw::END_HEADERS, 1, raw::POST);
    flood.extend(raw::frame(raw::DATA, 0, 1, &[]).repeat(100_000));
    wire.say(&flood).await;
    assert!(ground.wire().await.get("/").await.ends_with("hello"), "others are served meanwhile");
    drop(wire);
    assert_eq!(ground.drain().await, Served::default(), "the request ends with its connection");
}

/// Heads that HTTP/2 forbids (RFC 9113, section 8): whoever hands them on as HTTP/1.1 makes two requests of one.
#[tokio::test]
async fn a_head_that_would_be_two_in_http1_is_refused() {
    let ground = Ground::open().await;
    let rows: [(&str, Vec<u8>); 11] = [
        ("a line end in a value", raw::field(b"a", b"b\r\nx: y")),
        ("a bare CR in a value", raw::field(b"a", b"b\rc")),
        ("a NUL in a value", raw::field(b"a", b"b\0c")),
        ("a line end in a name", raw::field(b"a\r\nb", b"c")),
        ("a colon in a name", raw::field(b"a: b", b"c")),
        ("capitals in a name", raw::field(b"Content-Length", b"0")),
        ("an empty name", raw::field(b"", b"c")),
        ("transfer-encoding", raw::field(b"transfer-encoding", b"chunked")),
        ("connection", raw::field(b"connection", b"close")),
        ("a path twice", raw::field(b":path", b"/other")),
        ("a pseudo field after others", [raw::field(b"a", b"b"), raw::field(b":method", b"GET")].concat()),
    ];
    for (name, fields) in rows {
        let mut wire = http2(&ground).await;
        let head = [raw::GET, &fields].concat();
        wire.say(raw::frame(raw::HEADERS, raw::END_HEADERS | raw::END_STREAM, 1, &head)).await;
        let answer = raw::first_of_stream(&mut wire).await;
        let is_end = answer.is_some_and(|(kind, reason)| {
            matches!(kind, raw::RST_STREAM | raw::GOAWAY) && reason == raw::PROTOCOL_ERROR
        });
        assert!(is_end, "{name}: {answer:?}");
    }
    // A length that the body does not have.
    let mut wire = http2(&ground).await;
    let head = [raw::POST, &raw::field(b"content-length", b"2")].concat();
    wire.say(raw::frame(raw::HEADERS, raw::END_HEADERS, 1, &head)).await;
    wire.say(raw::frame(raw::DATA, raw::END_STREAM, 1, b"abc")).await;
    assert_eq!(raw::first_of_stream(&mut wire).await, Some((raw::RST_STREAM, raw::PROTOCOL_ERROR)));
    drop(wire);
    assert_eq!(ground.drain().await, Served::default());
}

#[tokio::test]
async fn chunks_without_end_or_sense_are_read_within_limits() {
    let ground = Ground::open().await;
    let head = "POST /echo HTTP/1.1\r\nhost: g\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let many = "1\r\na\r\n".repeat(50_000) + "0\r\n\r\n";
    let heard = ground.tell(format!("{head}{many}")).await;
    assert!(
        status_of(&heard) == "200" && heard.ends_with("aaaa"),
        "chunks of one byte are a body: {}",
        status_of(&heard)
    );
    for (name, body) in [
        ("an extension of 64 KiB", format!("1;x={}\r\na\r\n0\r\n\r\n", "y".repeat(64 << 10))),
        ("extensions of 64 KiB in all", "1;x=yyyyyyyyyyyy\r\na\r\n".repeat(5_000) + "0\r\n\r\n"),
        ("trailers of 64 KiB", format!("1\r\na\r\n0\r\nx: {}\r\n\r\n", "y".repeat(64 << 10))),
        ("trailers without end", "1\r\na\r\n0\r\n".to_owned() + &"a: b\r\n".repeat(20_000) + "\r\n"),
        ("a size of 2^64 - 1", "ffffffffffffffff\r\na\r\n".to_owned() + &"b".repeat(1000)),
        ("a size with a sign", "+1\r\na\r\n0\r\n\r\n".to_owned()),
        ("a size in a foreign base", "0x1\r\na\r\n0\r\n\r\n".to_owned()),
    ] {
        let mut wire = ground.wire().await;
        wire.say(format!("{head}{body}")).await;
        // What was begun and can never be whole ends with the peer.
        let _ = wire.0.shutdown().await;
        let heard = wire.rest().await;
        assert_eq!(status_of(&heard), "400", "{name}: {heard}");
    }
    assert_eq!(ground.drain().await, Served::default());
}

/// Memory is a process's, so the test runs itself again in one of its own.
#[test]
fn thousands_of_idle_connections_cost_little_and_leave_nothing() {
    if env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(idle());
    }
    let test = env::current_exe().expect("this test");
    let script = format!("ulimit -n {FILES} && exec \"$0\" --exact --nocapture {TEST}");
    let run = Command::new("sh").args(["-c", &script]).arg(test).env(ALONE, "1").output().expect("a shell");
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    let more = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && told.contains("1 passed"), "{told}{more}");
    println!("{}", told.lines().filter(|line| line.contains("KiB")).collect::<Vec<_>>().join("\n"));
}

/// Crowds come, ask once, stay idle, and go; one over HTTP/1.1, one that has only begun to speak HTTP/2.
async fn idle() {
    let limits = Limits { connections: CROWD as u32 + 10, ..Limits::default() };
    let ground = Ground::with(limits, Times::default(), GRACE).await;
    let (files, mut after_each) = (open_files(), Vec::new());
    for round in 0..ROUNDS {
        let before = resident();
        let mut crowd = Vec::with_capacity(CROWD);
        for number in 0..CROWD {
            if number % 2 == 0 {
                let mut wire = ground.wire().await;
                assert!(wire.get("/").await.ends_with("hello"));
                crowd.push(wire);
            } else {
                crowd.push(http2(&ground).await);
            }
        }
        let each = resident().saturating_sub(before) / CROWD as u64;
        println!("round {round}: {each} KiB for each of {CROWD} connections, {} KiB in all", resident());
        // Both ends are in this process.
        assert!(each < 64, "{each} KiB for an idle connection");
        assert!(ground.wire().await.get("/").await.ends_with("hello"), "the next one is served");
        drop(crowd);
        // Each end is heard of, and forgotten.
        let forgotten = async {
            while open_files() > files {
                tokio::task::yield_now().await;
            }
        };
        soon(forgotten).await;
        after_each.push(resident());
    }
    // What the allocator keeps of the first crowds is room for the next ones; those leave nothing.
    let (third, last) = (after_each[2], after_each[ROUNDS - 1]);
    assert!(last < third + third / 10, "memory grows with each crowd: {after_each:?} KiB");
    assert_eq!(ground.drain().await, Served::default());
}

/// Of this process; the sockets of both ends are among them.
fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").expect("Linux").count()
}

/// Memory of this process, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is told");
    line.split_ascii_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Longer than a server on this machine takes to read what it wants.
const PATIENCE: Duration = Duration::from_millis(500);
const PINGS: usize = 20_000;
const CROWD: usize = 2_000;
const ROUNDS: usize = 6;
/// Two for each connection, and some.
const FILES: usize = 5_000;
const ALONE: &str = "PLATFORM_TEST_ALONE";
const TEST: &str = "floods::thousands_of_idle_connections_cost_little_and_leave_nothing";
