//! Which of several peers is asked, by what they answered before.

use std::time::Duration;

use platform_core::{App, config::Mode, recovery::Recovery};
use platform_discovery::{
    TargetView,
    balance::{self, Picker},
};
use platform_http::Client;

use crate::peer::{Does, Heard, Peer, app, ok, reply};

/// A client of both, which repeats nothing.
async fn client(
    first: &Peer,
    second: &Peer,
    change: impl FnOnce(&mut balance::Config) + Send + 'static,
) -> (App, Client) {
    let app = app("").await;
    let catalog = Client::builder(&app, "catalog")
        .target(format!("fixed://{},{}", first.address, second.address))
        .policy(|policy| {
            policy.recovery = Recovery::None;
            policy.attempt_timeout = Some(Duration::from_millis(200));
            policy.breaker.mode = Mode::Off;
        })
        .balance(change)
        .build()
        .expect("a client");
    (app, catalog)
}

fn view(app: &App) -> TargetView {
    platform_http::discovery(app).expect("discovery").targets().remove(0)
}

#[tokio::test]
async fn whoever_fails_at_once_is_asked_once_and_told_so() {
    let bad = Peer::open(|_| reply("500 Internal Server Error", &[], "")).await;
    let good = Peer::open(|_| ok("")).await;
    let (app, catalog) = client(&bad, &good, |balance| balance.eject.mode = Mode::Off).await;
    for _ in 0..40 {
        catalog.get("/").send().await.expect("a reply").bytes().await.expect("a body");
    }
    assert!(bad.heard().len() <= 2, "{}", bad.heard().len());
    assert!(good.heard().len() >= 38);
    let view = view(&app);
    let bad = view.endpoints.iter().find(|endpoint| endpoint.failures > 0).expect("the bad one");
    assert!(bad.latency_ms.expect("it answered") > 4_000.0);
    assert_eq!(bad.last_failure, Some("server"));
}

#[tokio::test]
async fn whoever_is_silent_is_left_out_and_the_view_says_why() {
    let silent = Peer::open(|_| Does::Begin(String::new())).await;
    let good = Peer::open(|_| ok("")).await;
    let (app, catalog) = client(&silent, &good, |balance| balance.pick = Picker::RoundRobin).await;
    let mut failed = 0;
    for _ in 0..20 {
        failed += usize::from(catalog.get("/").send().await.is_err());
    }
    assert_eq!(failed, 5);
    let view = view(&app);
    let out: Vec<_> = view.endpoints.iter().filter(|endpoint| endpoint.ejected).collect();
    let why = out[0].sick.as_deref().expect("a reason");
    assert!(why.starts_with("5 consecutive failures, the last one timeout, back in "), "{why}");
    assert_eq!((out.len(), out[0].failures), (1, 5));
}

#[tokio::test]
async fn what_a_peer_says_of_its_load_is_seen_and_nonsense_is_not() {
    let header =
        |value: &'static str| move |_: &Heard| reply("200 OK", &[("endpoint-load-metrics", value)], "");
    let busy = Peer::open(header("TEXT named_metrics.rif=17,named_metrics.latency_ms=12.5")).await;
    let odd = Peer::open(header("TEXT named_metrics.rif=many")).await;
    let (app, catalog) = client(&busy, &odd, |_| {}).await;
    for _ in 0..20 {
        catalog.get("/").send().await.expect("a reply").bytes().await.expect("a body");
    }
    let mut told: Vec<_> = view(&app).endpoints.iter().map(|endpoint| endpoint.under_way).collect();
    told.sort_unstable();
    assert_eq!(told, [None, Some(17)]);
}
