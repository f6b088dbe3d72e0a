//! Somebody else's program that is as slow as it can be, and the users beside it.

use std::{
    env, fs,
    process::{Command, Stdio},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    routing::{get, post},
};
use platform_http::Server;
use tokio::time::Instant;

use crate::served::Served;

/// Each mode holds fifty connections open and says or reads next to nothing on them.
const MODES: [(&str, &[&str]); 3] = [
    // Headers, a few bytes every ten seconds.
    ("headers", &["-H", "-i", "10"]),
    // A body, likewise.
    ("body", &["-B", "-i", "10", "-s", "8192", "-t", "POST"]),
    // A reply, of which little is read.
    ("read", &["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slowhttptest_is_shown_the_door_and_nobody_else_notices() {
    // More than the buffers of two sockets hold.
    let large = Bytes::from(vec![b'x'; 8 << 20]);
    let routes = Router::new()
        .route("/quick", get(|| async { "hello" }))
        .route("/slow", get(move || async { large }))
        .route("/slow", post(|body: String| async move { body }));
    let toml = "[server]\ntimes = { header = '2s', body_idle = '1s' }\n";
    let served = Served::start(Server::new(routes), toml).await;
    for (name, arguments) in MODES {
        let mut command = Command::new("slowhttptest");
        command.args(["-c", "50", "-r", "50", "-l", "8", "-p", "1", "-x", "24"]).args(arguments);
        command.arg("-u").arg(format!("http://{}/slow", served.address)).stdin(Stdio::null());
        let running = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
            Ok(child) => tokio::task::spawn_blocking(move || child.wait_with_output()),
            Err(error) => {
                let required = env::var("PLATFORM_REQUIRE_OUTSIDE").is_ok_and(|required| required == "1");
                assert!(!required, "slowhttptest: {error}");
                eprintln!("skipped: slowhttptest is not installed");
                return;
            }
        };
        let (mut slowest, begun, mut held) = (Duration::ZERO, Instant::now(), usize::MAX);
        while !running.is_finished() {
            if begun.elapsed() > ENOUGH {
                // Least, because the last of our own may be going.
                held = held.min(connections(served.address.port()));
            }
            let asked = Instant::now();
            assert_eq!(served.get("/quick", "").await.status, 200, "{name}");
            slowest = slowest.max(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let output = running.await.expect("it does not panic").expect("it ran");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        // It looks at a connection when it reads, and reads seldom: what the kernel has left of them counts as well.
        let gone = told.contains("No open connections left") || held == 0;
        assert!(gone, "{name}: {held} are open still: {told}");
        assert!(!told.contains("service available:   NO"), "{name}: {told}");
        assert!(slowest < Duration::from_secs(2), "{name}: a user waited {slowest:?}");
    }
    assert_eq!(served.stop().await.code(), 0);
}

/// Connections of this port, on the server's side, over which something may still come or go.
fn connections(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux");
    let open = table.lines().skip(1).filter(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (Some(local), Some(state)) = (fields.next(), fields.nth(1)) else { return false };
        // Not the one that listens (0A), nor what only keeps a port for a while (06).
        local.ends_with(&format!(":{port:04X}")) && !matches!(state, "0A" | "06")
    });
    open.count()
}

/// Twice the longest of the limits, and some.
const ENOUGH: Duration = Duration::from_secs(5);
