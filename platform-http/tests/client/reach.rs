//! An endpoint that cannot be reached costs nobody anything but the first who tried.

use std::{net::SocketAddr, time::Duration};

use platform_http::Client;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use crate::{
    peer::{Peer, app, ok, reply},
    protocol::record,
};

async fn nobodys_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound")
}

/// So many calls, one after the other; says how many failed.
async fn calls(client: &Client, count: usize) -> usize {
    let mut failed = 0;
    for _ in 0..count {
        failed += usize::from(client.get("/").send().await.is_err());
    }
    failed
}

#[tokio::test]
async fn who_cannot_be_reached_is_left_alone_and_found_again() {
    let (lives, away) = (Peer::open(|_| ok("yes")).await, nobodys_port().await);
    let app = app("[clients.catalog.policy]\nrecovery = \"none\"").await;
    let target = format!("fixed://{},{away}", lives.address);
    let catalog = Client::builder(&app, "catalog").target(target).build().expect("a client");
    assert!(calls(&catalog, 200).await <= 1, "the first call finds out, and nobody pays after it");

    let back = Peer::at(away, |_| ok("again")).await;
    let begun = Instant::now();
    while back.heard().is_empty() {
        assert_eq!(calls(&catalog, 10).await, 0);
        assert!(begun.elapsed() < Duration::from_secs(20), "it was away for a moment only");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_single_endpoint_that_is_away_fails_fast_with_the_reason() {
    let away = nobodys_port().await;
    let app = app("[clients.catalog.policy]\nrecovery = \"none\"\nbreaker = { mode = \"off\" }").await;
    let target = format!("fixed://{away}");
    let catalog = Client::builder(&app, "catalog").target(target).build().expect("a client");
    assert_eq!(calls(&catalog, 50).await, 50);
    let error = catalog.get("/").send().await.expect_err("nobody listens").to_string();
    for part in ["nothing was sent: ", "refused", "(after ", "; the next is in "] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn a_newcomer_whom_nobody_can_reach_gets_no_call_and_one_who_can_gets_them() {
    let (lives, nobody) = (Peer::open(|_| ok("yes")).await, nobodys_port().await);
    let folder = tempfile::tempdir().expect("a folder");
    let registry = folder.path().join("registry");
    record(&registry, "films", ("one", lives.address), ("http1", "ready"));
    let toml = format!(
        "[discovery.dir]\npath = \"{}\"\npoll = \"20ms\"\n[clients.films.policy]\nrecovery = \"none\"",
        registry.display()
    );
    let app = app(&toml).await;
    let films = Client::for_target(&app, "films").expect("a client");
    assert_eq!(calls(&films, 5).await, 0);
    record(&registry, "films", ("two", nobody), ("http1", "ready"));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1_500) {
        assert_eq!(calls(&films, 5).await, 0, "nobody is sent where nobody is");
        sleep(Duration::from_millis(5)).await;
    }
    let newcomer = Peer::open(|_| reply("200 OK", &[], "new")).await;
    record(&registry, "films", ("three", newcomer.address), ("http1", "ready"));
    let begun = Instant::now();
    while newcomer.heard().is_empty() {
        assert_eq!(calls(&films, 5).await, 0);
        assert!(begun.elapsed() < Duration::from_secs(20), "it is prepared within a second, and warms up");
        sleep(Duration::from_millis(5)).await;
    }
}
