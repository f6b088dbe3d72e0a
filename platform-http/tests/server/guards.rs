//! Who is served when not all can be, and what the others are told.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, body::Body, response::sse, routing::get};
use platform_core::{App, ErrorKind, Result, config::Config, context::Criticality};
use platform_http::Server;
use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::served::Served;

/// Counts the handlers that were begun.
#[derive(Clone, Default)]
struct Begun(Arc<AtomicU32>);

impl Begun {
    /// `/work` takes 400 ms, `/reports/7` too, `/quick` nothing, `/events` never ends, `/big` has 64 MiB, all there.
    fn routes(&self) -> Router {
        let begun = self.clone();
        let work = move || {
            begun.0.fetch_add(1, Relaxed);
            async {
                sleep(Duration::from_millis(400)).await;
                "done"
            }
        };
        let events = || async {
            let events = futures_util::stream::unfold(0, |number| async move {
                sleep(Duration::from_millis(50)).await;
                Some((Ok::<_, Infallible>(sse::Event::default().data(number.to_string())), number + 1))
            });
            sse::Sse::new(events)
        };
        Router::new()
            .route("/work", get(work.clone()).post(work.clone()))
            .route("/reports/{id}", get(work))
            .route("/quick", get(|| async { "quick" }))
            .route("/events", get(events))
            .route("/big", get(|| async { Body::from_stream(futures_util::stream::iter(pieces())) }))
    }

    fn count(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

fn pieces() -> impl Iterator<Item = std::result::Result<Vec<u8>, Infallible>> {
    (0..1024).map(|_| Ok(vec![b'x'; 64 << 10]))
}

const ONE: &str = "[server.policy]\nconcurrency = { start = 1, min = 1, max = 1, queue_wait = \"20ms\" }\n";

/// `/work` under way, so that a limit of one is met.
async fn busy(served: &Arc<Served>, begun: &Begun) -> tokio::task::JoinHandle<u16> {
    let asked = begun.count();
    let first = Arc::clone(served);
    let task = platform_core::context::spawn(async move { first.get("/work", "").await.status });
    while begun.count() == asked {
        sleep(Duration::from_millis(1)).await;
    }
    task
}

#[tokio::test]
async fn who_finds_no_slot_in_time_is_told_why_and_no_handler_is_run() {
    let begun = Begun::default();
    let server = Server::new(begun.routes()).criticality(Criticality::Sheddable, ["/work"]);
    let served = Arc::new(Served::start(server, ONE).await);
    let first = busy(&served, &begun).await;
    // A body that nobody reads does not matter.
    let refused = served
        .ask("POST /work HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5000000\r\n\r\n")
        .await;
    assert_eq!((refused.status, refused.header("platform-retry")), (503, Some("safe")), "{refused:?}");
    let document = refused.json();
    assert_eq!((&document["reason"], &document["layer"]), (&"overloaded".into(), &"concurrency".into()));
    assert_eq!((first.await.unwrap(), begun.count()), (200, 1));
    let labels =
        ["guard=\"concurrency\"", "mode=\"enforce\"", "criticality=\"sheddable\"", "class=\"default\""];
    assert_eq!(served.metric("platform_server_refusals_total", &labels), 1.0);
    assert_eq!(served.metric("platform_server_queue_wait_seconds_count", &[]), 1.0);
    assert_eq!(served.get("/quick", "").await.status, 200, "the slot came back");
}

#[tokio::test]
async fn who_waits_and_gets_a_slot_in_time_is_served() {
    let begun = Begun::default();
    let patient = ONE.replace("20ms", "5s");
    let served = Arc::new(Served::start(Server::new(begun.routes()), &patient).await);
    let first = busy(&served, &begun).await;
    assert_eq!(served.get("/quick", "").await.status, 200);
    assert_eq!(first.await.unwrap(), 200);
    // And nobody waits beyond its own deadline.
    let first = busy(&served, &begun).await;
    let late = served.get("/quick", "platform-timeout-ms: 50\r\n").await;
    assert_eq!((late.status, &late.json()["reason"]), (504, &"expired".into()));
    assert_eq!(first.await.unwrap(), 200);
}

#[tokio::test]
async fn mode_observe_counts_and_changes_nothing() {
    let begun = Begun::default();
    let observe = ONE.replace("start", "mode = \"observe\", start") + "expired = { mode = \"observe\" }\n";
    let served = Arc::new(Served::start(Server::new(begun.routes()), &observe).await);
    let first = busy(&served, &begun).await;
    assert_eq!(served.get("/quick", "").await.status, 200);
    assert_eq!(served.get("/quick", "platform-timeout-ms: 0\r\n").await.status, 200);
    assert_eq!(first.await.unwrap(), 200);
    for guard in ["concurrency", "expired"] {
        let labels = [format!("guard=\"{guard}\""), "mode=\"observe\"".to_owned()];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        assert!(served.metric("platform_server_refusals_total", &labels) >= 1.0, "{guard}");
    }
    assert_eq!(served.metric("platform_server_refusals_total", &["mode=\"enforce\""]), 0.0);
}

#[tokio::test]
async fn a_class_has_a_limit_of_its_own() {
    let begun = Begun::default();
    let server = Server::new(begun.routes()).class("slow", ["/reports/{id}"]);
    let slow = "[server.classes.slow]\npolicy = { concurrency = { start = 1, min = 1, max = 1, queue_wait = \"0ms\" } }\n";
    let served = Arc::new(Served::start(server, slow).await);
    let (one, other) = tokio::join!(served.get("/reports/1", ""), served.get("/reports/2", ""));
    let mut both = [one.status, other.status];
    both.sort_unstable();
    assert_eq!(both, [200, 503]);
    let many = futures_util::future::join_all((0..5).map(|_| served.get("/work", ""))).await;
    assert!(many.iter().all(|reply| reply.status == 200), "{many:?}");
    assert_eq!(served.metric("platform_server_refusals_total", &["class=\"slow\""]), 1.0);
}

#[tokio::test]
async fn a_class_that_no_path_belongs_to_is_refused_at_the_start() {
    let config = Config::builder()
        .toml("[server.classes.slwo]\n[server.policy]\n")
        .set("server.listen", "127.0.0.1:0");
    let app = App::builder("orders").config(config.load().unwrap()).start().await.unwrap();
    app.add(Server::new(Router::new()).class("slow", ["/reports"]));
    let ended: Result<_> = app.run_until_stopped().await;
    let error = ended.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("server.classes.slwo"), "{error}");
}

#[tokio::test]
async fn a_stream_gives_its_slot_back_and_a_body_that_is_not_read_keeps_it() {
    let begun = Begun::default();
    let served = Served::start(Server::new(begun.routes()), ONE).await;
    let mut stream = served.connect().await;
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(150)).await;
    assert_eq!(served.get("/quick", "").await.status, 200, "a listener holds nothing");
    drop(stream);
    let mut deaf = served.connect().await;
    deaf.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(150)).await;
    assert_eq!(served.get("/quick", "").await.status, 503, "its reply is not sent yet");
    drop(deaf);
    sleep(Duration::from_millis(150)).await;
    assert_eq!(served.get("/quick", "").await.status, 200);
}

#[tokio::test]
async fn each_tenant_has_its_rate_and_hears_it_exactly() {
    let rate = "[server.policy]\nrate_limit = { mode = \"enforce\", per_second = 0.1, burst = 2 }\n";
    let served = Served::start(Server::new(Begun::default().routes()), rate).await;
    let of = |tenant: &str| format!("baggage: platform-tenant={tenant}\r\n");
    for _ in 0..2 {
        assert_eq!(served.get("/quick", &of("acme")).await.status, 200);
    }
    let refused = served.get("/quick", &of("acme")).await;
    assert_eq!((refused.status, &refused.json()["reason"]), (429, &"rate_limited".into()));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"tenant\";q=1;w=10"));
    let left = refused.header("ratelimit").unwrap().strip_prefix("\"tenant\";r=0;t=").unwrap().to_owned();
    assert_eq!(refused.header("retry-after"), Some(left.as_str()));
    assert!((8..=10).contains(&left.parse::<u32>().unwrap()), "{left}");
    assert_eq!(served.get("/quick", &of("other")).await.status, 200);
    for _ in 0..4 {
        assert_eq!(served.get("/quick", "").await.status, 200, "who has no name has no contract");
    }
}

#[tokio::test]
async fn the_page_shows_the_guards_with_what_is_in_force() {
    let served = Served::start(Server::new(Begun::default().routes()), ONE).await;
    let shown = platform_http::admin::Views::of(&served.app);
    assert!(format!("{shown:?}").contains("stack"));
    // What strangers to the page rely on: limit and pressure are there before anything happened.
    assert_eq!(served.metric("platform_server_refusals_total", &[]), 0.0);
    let end = tokio::time::Instant::now() + Duration::from_secs(5);
    while served.metric("platform_server_concurrency_limit", &["class=\"default\""]) < 1.0 {
        assert!(tokio::time::Instant::now() < end, "the watch tells the limit");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(served.app.metrics().encode().contains("source=\"scheduling_delay\""));
}
