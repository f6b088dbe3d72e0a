//! Bodies that come slowly, or stop: whoever waits for one holds no place.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    routing::{get, post},
};
use platform_http::{Server, server::slots::Rest};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};
use tower_layer::layer_fn;

use crate::served::{Reply, Served};

/// How many handlers were begun, and how many worked at a time at most after they had read their bodies.
#[derive(Clone, Default)]
struct Seen {
    begun: Arc<AtomicU32>,
    works: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
}

impl Seen {
    fn routes(&self) -> Router {
        let seen = self.clone();
        let upload = async move |request: axum::extract::Request| {
            seen.begun.fetch_add(1, Relaxed);
            let body = axum::body::to_bytes(request.into_body(), 100).await;
            let works = seen.works.fetch_add(1, Relaxed) + 1;
            seen.most.fetch_max(works, Relaxed);
            sleep(Duration::from_millis(20)).await;
            seen.works.fetch_sub(1, Relaxed);
            body.map_err(|_| "cut")
        };
        Router::new().route("/upload", post(upload)).route("/quick", get(|| async { "hello" }))
    }

    async fn has_begun(&self, count: u32) {
        while self.begun.load(Relaxed) < count {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Two places, for which anybody waits long enough.
const TWO: &str = "[server]\ntimes = { body_idle = '20s' }\n\
                   [server.policy]\nconcurrency = { start = 2, min = 2, max = 2, queue_wait = '5s' }\n";
const STALLED: u32 = 30;

/// Requests that have sent half of their body, each when the one before is in its handler.
async fn stalled(served: &Served, seen: &Seen) -> Vec<TcpStream> {
    let (before, mut open) = (seen.begun.load(Relaxed), Vec::new());
    for number in before + 1..=before + STALLED {
        let mut socket = served.connect().await;
        let head = "POST /upload HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\nab";
        socket.write_all(head.as_bytes()).await.expect("it takes the request");
        seen.has_begun(number).await;
        open.push(socket);
    }
    open
}

async fn nobody_else_notices(server: impl FnOnce(Router) -> Server) {
    let seen = Seen::default();
    let served = Served::start(server(seen.routes()), TWO).await;
    let open = stalled(&served, &seen).await;
    for _ in 0..10 {
        let reply = served.get("/quick", "").await;
        assert_eq!((reply.status, &*reply.body), (200, "hello"));
    }
    // Their callers go on, all at once.
    let mut replies = Vec::new();
    for mut socket in open {
        replies.push(async move {
            socket.write_all(b"cd").await.expect("it takes the rest");
            Reply::read(&mut socket).await
        });
    }
    for reply in futures_util::future::join_all(replies).await {
        assert_eq!((reply.status, &*reply.body), (200, "abcd"), "who was let in is refused nothing");
    }
    assert_eq!(seen.most.load(Relaxed), 2, "the limit is exact");
    assert_eq!(served.get("/quick", "").await.status, 200);
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn thirty_stalled_bodies_hold_no_place() {
    nobody_else_notices(Server::new).await;
}

#[tokio::test]
async fn nor_below_an_identity_layer() {
    nobody_else_notices(|routes| Server::new(routes).identity(layer_fn(|rest: Rest| rest))).await;
}

#[tokio::test]
async fn callers_that_leave_take_their_places_with_them() {
    let seen = Seen::default();
    let served = Served::start(Server::new(seen.routes()), TWO).await;
    drop(stalled(&served, &seen).await);
    served.lines(STALLED as usize).await;
    // Two at a time are served, as if nobody had been there.
    let open = stalled(&served, &seen).await;
    assert_eq!(served.get("/quick", "").await.status, 200);
    // Those would be waited for until the end of the grace, which is as long as their bodies may be idle.
    drop(open);
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_body_that_never_goes_on_is_cut_as_before() {
    let seen = Seen::default();
    let toml = "[server]\ntimes = { body_idle = '200ms' }\n";
    let served = Served::start(Server::new(seen.routes()), toml).await;
    for mut socket in stalled(&served, &seen).await {
        let reply = Reply::read(&mut socket).await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(
            reply.body.contains("no byte of the body came for 200ms (server.times.body_idle)"),
            "{reply:?}"
        );
    }
    assert_eq!(served.stop().await.code(), 0);
}
