//! What is spoken.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use platform_core::{ErrorKind, Outcome, context};
use platform_http::Client;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::peer::{Peer, app, ok};

/// Registers an instance.
pub(crate) fn record(
    registry: &std::path::Path,
    name: &str,
    (instance, address): (&str, SocketAddr),
    (protocol, state): (&str, &str),
) {
    let here = registry.join(name);
    std::fs::create_dir_all(&here).expect("a folder");
    let record = serde_json::json!({
        "name": name, "instance": instance, "address": address, "protocol": protocol, "state": state,
        "expires_unix_ms": 4_000_000_000_000_u64,
    });
    std::fs::write(here.join(".new"), record.to_string()).expect("a record");
    std::fs::rename(here.join(".new"), here.join(format!("{instance}.json"))).expect("the same folder");
}

/// A server that speaks HTTP/2 without an upgrade first, and answers with what it heard.
async fn h2_peer(connections: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    context::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            connections.fetch_add(1, Relaxed);
            let answer = service_fn(|request: Request<hyper::body::Incoming>| async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                assert_eq!(request.version(), Version::HTTP_2);
                assert!(
                    !request.headers().contains_key("host"),
                    "`:authority` says it, and some refuse both"
                );
                let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
                let timeout = request.headers().contains_key("platform-timeout-ms");
                let text = format!("{} {authority} {timeout}", request.uri().path());
                Ok::<_, Infallible>(Response::new(Full::new(bytes::Bytes::from(text))))
            });
            let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(tcp), answer);
            context::spawn(served);
        }
    });
    address
}

#[tokio::test]
async fn calls_share_one_h2_connection_where_that_is_set() {
    let connections = Arc::new(AtomicUsize::new(0));
    let address = h2_peer(Arc::clone(&connections)).await;
    let toml = format!("[clients.films]\ntarget = \"fixed://{address}\"\nconnect = {{ protocol = \"h2\" }}");
    let app = app(&toml).await;
    let films = Client::for_target(&app, "films").expect("a client");
    let ask = || async { films.get("/a").send().await?.text().await };
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    for text in [one, two, three] {
        assert_eq!(text.expect("a reply"), "/a films true");
    }
    assert_eq!(connections.load(Relaxed), 1);
}

#[tokio::test]
async fn what_an_endpoints_record_says_is_spoken() {
    let address = h2_peer(Arc::default()).await;
    let plain = Peer::open(|_| ok("http1")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let registry = folder.path().join("registry");
    record(&registry, "films", ("one", address), ("h2", "ready"));
    record(&registry, "ratings", ("one", plain.address), ("http1", "ready"));
    let app = app(&format!("[discovery.dir]\npath = \"{}\"", registry.display())).await;
    let films = Client::for_target(&app, "films").expect("a client");
    let ratings = Client::for_target(&app, "ratings").expect("a client");
    assert_eq!(films.get("/a").send().await.expect("a reply").text().await.expect("text"), "/a films true");
    assert_eq!(ratings.get("/a").send().await.expect("a reply").text().await.expect("text"), "http1");
    assert_eq!(plain.only().header("host"), Some("ratings"));
}

#[tokio::test]
async fn the_connections_of_an_endpoint_that_left_are_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let folder = tempfile::tempdir().expect("a folder");
    let registry = folder.path().join("registry");
    let address = listener.local_addr().expect("bound");
    record(&registry, "films", ("one", address), ("http1", "ready"));
    let peer = context::spawn(async move {
        let (mut tcp, _) = listener.accept().await.expect("a connection");
        let mut request = [0; 4096];
        assert!(tcp.read(&mut request).await.expect("a request") > 0);
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.expect("it listens");
        tcp.read(&mut request).await.expect("an orderly end")
    });
    let toml = format!("[discovery.dir]\npath = \"{}\"\npoll = \"20ms\"", registry.display());
    let app = app(&toml).await;
    let films = Client::for_target(&app, "films").expect("a client");
    assert_eq!(films.get("/a").send().await.expect("a reply").text().await.expect("text"), "hi");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!peer.is_finished(), "it is kept for the next request");
    record(&registry, "films", ("one", address), ("http1", "draining"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    std::fs::remove_file(registry.join("films/one.json")).expect("it is there");
    let read = tokio::time::timeout(Duration::from_secs(5), peer).await.expect("it is closed in time");
    assert_eq!(read.expect("the peer does not panic"), 0);
}

/// A server that answers the first request of each HTTP/2 connection with these bytes, and closes.
async fn frames_peer(frames: &'static [u8]) -> SocketAddr {
    const PREFACE: usize = 24;
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    context::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tcp.write_all(SETTINGS).await.expect("it listens");
            tcp.read_exact(&mut [0; PREFACE]).await.expect("it speaks HTTP/2");
            loop {
                let mut head = [0; 9];
                tcp.read_exact(&mut head).await.expect("a frame");
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                tcp.read_exact(&mut vec![0; length as usize]).await.expect("a whole frame");
                if head[3] == HEADERS {
                    break;
                }
            }
            tcp.write_all(frames).await.expect("it listens");
            tcp.shutdown().await.expect("it listens");
            // Closing before all was read would reset what was just said.
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        }
    });
    address
}

#[tokio::test]
async fn what_a_peer_refused_unseen_is_told_apart_from_what_it_may_have_done() {
    // Frames: length, type, flags, stream; RST_STREAM of stream 1 with a code, GOAWAY with the last stream and a code.
    const REFUSED: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
    const CANCELLED: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8];
    const GOES_WITHOUT: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const CALM_WITHOUT: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
    const GOES_WITH: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    const CALM_WITH: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 11];
    let app = app("[clients.films.connect]\nprotocol = \"h2\"").await;
    for (frames, unseen) in [
        (REFUSED, true),
        (GOES_WITHOUT, true),
        (CALM_WITHOUT, true),
        (CANCELLED, false),
        (GOES_WITH, false),
        (CALM_WITH, false),
        (&[], false),
    ] {
        let peer = frames_peer(frames).await;
        let films =
            Client::builder(&app, "films").target(format!("fixed://{peer}")).build().expect("a client");
        let error = films.post("/pay").send().await.expect_err("no reply");
        let expected = if unseen {
            (ErrorKind::Unreachable, Outcome::Unreachable)
        } else {
            (ErrorKind::Upstream, Outcome::ServerFault)
        };
        assert_eq!((error.kind(), error.outcome()), expected, "{frames:?}: {error}");
        let told = if unseen { "before it looked at it" } else { "it may have been done or not" };
        assert!(error.detail().contains(told), "{frames:?}: {error}");
    }
}
