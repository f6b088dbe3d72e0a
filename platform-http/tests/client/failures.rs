//! What is told when there is no reply, or none that can be read.

use std::{net::SocketAddr, time::Duration};

use platform_core::{Context, ErrorKind, Outcome, context::scope};
use platform_http::Client;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::peer::{Does, Peer, app, builder, client, ok, reply};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Film {
    year: u16,
}

async fn nobodys_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound")
}

#[tokio::test]
async fn a_refused_connection_names_the_endpoint() {
    let nobody = nobodys_port().await;
    let app = app("").await;
    let catalog =
        Client::builder(&app, "catalog").target(format!("fixed://{nobody}")).build().expect("a client");
    let error = catalog.get("/").send().await.expect_err("nobody listens");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unreachable, Outcome::Unreachable));
    let text = error.to_string();
    assert!(text.contains("; not repeated: 4 of 4 attempts are made (retry.max_attempts = 3)"), "{text}");
    assert!(text.contains("nothing was sent: ") && text.contains("refused"), "{text}");
    assert!(text.contains(&format!("[target=catalog endpoint={nobody} attempt=4 layer=connect]")), "{text}");
}

#[tokio::test]
async fn silence_ends_at_the_attempts_limit_and_names_who_was_silent() {
    let peer = Peer::open(|_| Does::Begin(String::new())).await;
    let app = app("[clients.catalog.policy]\ntimeout = \"5s\"\nattempt_timeout = \"100ms\"").await;
    let catalog = builder(&app, &peer).build().expect("a client");
    let begun = tokio::time::Instant::now();
    let error = catalog.get("/").send().await.expect_err("it is silent");
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(
        error.to_string(),
        format!(
            "timeout: no answer within 100ms, one attempt's limit (policy.attempt_timeout); \
             not repeated: 3 of 3 attempts are made (retry.max_attempts = 3) \
             [target=catalog endpoint={} attempt=3 layer=attempt-deadline]",
            peer.address
        )
    );
}

#[tokio::test]
async fn a_request_may_shorten_its_time_and_not_lengthen_it() {
    let peer = Peer::open(|_| Does::Begin(String::new())).await;
    let app = app("[clients.catalog.policy]\ntimeout = \"200ms\"").await;
    let catalog = builder(&app, &peer).build().expect("a client");
    let error = catalog.get("/").timeout(Duration::from_millis(50)).send().await.expect_err("it is silent");
    assert!(error.detail().contains("all that was left of the request's own deadline"), "{error}");
    let error = catalog.get("/").timeout(Duration::from_secs(60)).send().await.expect_err("it is silent");
    assert!(error.detail().contains("within 200ms, the whole call's limit"), "{error}");
}

#[tokio::test]
async fn a_spent_deadline_sends_nothing() {
    let peer = Peer::open(|_| ok("")).await;
    let catalog = client(&peer).await;
    let error = catalog.get("/").timeout(Duration::ZERO).send().await.expect_err("there is no time");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Local));
    assert!(peer.heard().is_empty());
}

#[tokio::test]
async fn a_body_that_never_ends_ends_with_the_call() {
    let peer = Peer::open(|_| Does::Begin("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhel".into())).await;
    let app = app("[clients.catalog.policy]\ntimeout = \"200ms\"").await;
    let catalog = builder(&app, &peer).build().expect("a client");
    let reply = catalog.get("/").send().await.expect("a head");
    let error = reply.text().await.expect_err("no end");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let text = error.to_string();
    assert!(text.contains("the reply's end was not there within 200ms, the whole call's limit"), "{text}");
    assert!(text.contains(&format!("endpoint={}", peer.address)), "{text}");
}

#[tokio::test]
async fn a_connection_lost_after_sending_says_that_nobody_knows() {
    let peer = Peer::open(|_| Does::End(String::new())).await;
    let error = client(&peer).await.post("/pay").send().await.expect_err("no reply");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Upstream, Outcome::ServerFault));
    let text = error.to_string();
    assert!(text.contains("lost after the request had been sent, so it may have been done or not"), "{text}");
    assert!(
        text.contains(&format!("[target=catalog endpoint={} attempt=1 layer=connect]", peer.address)),
        "{text}"
    );
    assert_eq!(peer.heard().len(), 1, "and it is not sent again");
}

#[tokio::test]
async fn what_is_no_http_is_told_as_such() {
    let peer = Peer::open(|_| Does::End("SSH-2.0-OpenSSH_9.2\r\n\r\n".into())).await;
    let error = client(&peer).await.get("/").send().await.expect_err("no HTTP");
    assert_eq!(error.kind(), ErrorKind::Upstream);
    assert!(error.detail().contains("(connect.protocol)"), "{error}");
}

#[tokio::test]
async fn a_reply_that_is_too_large_is_refused_before_it_is_in_memory() {
    let announced = |_: &_| Does::Begin("HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n".into());
    let unannounced = |_: &_| {
        let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
        Does::Begin(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}"))
    };
    for peer in [Peer::open(announced).await, Peer::open(unannounced).await] {
        let app = app("[clients.catalog.connect]\nmax_response = \"1KiB\"").await;
        let catalog = builder(&app, &peer).build().expect("a client");
        let error = catalog.get("/").send().await.expect("a head").bytes().await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::Upstream);
        assert!(error.detail().contains("larger than 1024 bytes (connect.max_response)"), "{error}");
        assert_eq!(error.target(), Some("catalog"));
    }
}

#[tokio::test]
async fn a_reply_of_many_pieces_is_put_together() {
    let chunks = "5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n";
    let peer = Peer::open(move |_| {
        Does::Say(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"))
    })
    .await;
    let text = client(&peer).await.get("/").send().await.expect("a head").text().await;
    assert_eq!(text.expect("text"), "hello world");
}

#[tokio::test]
async fn what_is_no_such_json_names_the_request_and_the_place() {
    let peer = Peer::open(|_| ok(r#"{"year": "1927"}"#)).await;
    let reply = client(&peer).await.get("/films/7?token=secret").send().await.expect("a reply");
    let error = reply.json::<Vec<Film>>().await.map(|_| ()).expect_err("no list");
    assert_eq!(error.kind(), ErrorKind::Upstream);
    let text = error.to_string();
    assert!(text.contains("GET /films/7 answered no Vec<Film>: "), "{text}");
    assert!(text.contains("at line 1 column"), "{text}");
    assert!(text.contains("target=catalog endpoint=127.0.0.1:"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn an_error_status_is_an_error_for_who_asks_with_the_peers_own_words() {
    let problem = r#"{"status":503,"detail":"more work than it can bear","reason":"overloaded","layer":"shed","service":"catalog"}"#;
    let headers =
        [("content-type", "application/problem+json"), ("platform-retry", "safe"), ("retry-after", "1")];
    let peer = Peer::open(move |_| reply("503 Service Unavailable", &headers, problem)).await;
    let catalog = client(&peer).await;
    let error =
        catalog.get("/films").send().await.expect("a reply").error_for_status().await.expect_err("503");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Upstream, Outcome::Overload));
    assert_eq!(
        error.to_string(),
        format!(
            "upstream: GET /films answered 503 Service Unavailable, overloaded: more work than it can bear \
             [service=catalog layer=shed] [target=catalog endpoint={} attempt=4]",
            peer.address
        )
    );
    // A problem document must not pass for a film whose fields all have defaults.
    let error =
        catalog.get("/films").send().await.expect("a reply").json::<Film>().await.expect_err("no film");
    assert!(error.detail().contains("503"), "{error}");
}

#[tokio::test]
async fn an_error_status_without_words_is_told_too() {
    let peer = Peer::open(|_| reply("404 Not Found", &[("content-type", "text/html")], "<html>")).await;
    let reply = client(&peer).await.get("/films/9").send().await.expect("a reply");
    let error = reply.error_for_status().await.expect_err("404");
    assert_eq!(error.outcome(), Outcome::CallerFault);
    assert_eq!(error.detail(), "GET /films/9 answered 404 Not Found");
}

#[tokio::test]
async fn a_target_that_nobody_announces_fails_in_time_and_says_where_it_was_looked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let toml = format!(
        "[discovery.dir]\npath = \"{}\"\n[clients.ghost.balance.set]\nempty_wait = \"50ms\"",
        folder.path().join("registry").display()
    );
    let app = app(&toml).await;
    let ghost = Client::for_target(&app, "ghost").expect("a client");
    let error = ghost.get("/").send().await.expect_err("nobody is there");
    assert_eq!((error.kind(), error.target()), (ErrorKind::NoEndpoints, Some("ghost")));
    assert_eq!(error.layer(), "balance");
}

#[tokio::test]
async fn what_cannot_be_meant_makes_no_client() {
    let app =
        app("[clients.broken]\ntarget = \"smoke://signals\"\n[clients.bad.policy]\ntimeout = \"5\"").await;
    for (name, part) in [
        ("Catalog", "a client's name: \"Catalog\" is not a name"),
        ("broken", "[clients.broken]: target \"smoke://signals\""),
        ("bad", "has no unit"),
    ] {
        let error = Client::for_target(&app, name).map(|_| ()).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.detail().contains(part), "{error}");
    }
}

/// Everything a call needs is in one box; every layer that moves it pays for its size.
#[tokio::test]
async fn a_call_in_flight_stays_small() {
    let peer = Peer::open(|_| ok("")).await;
    let mut catalog = client(&peer).await;
    let request = http::Request::new(platform_http::Body::empty());
    let call = tower_service::Service::call(&mut catalog, request);
    let size = size_of_val(&*call);
    // With the copy that a repeat is made from, and its reply beside the first one's.
    assert!(size <= 5632, "{size}");
}

#[tokio::test]
async fn a_handler_that_gives_up_is_counted_as_abandoned() {
    let peer = Peer::open(|_| Does::Begin(String::new())).await;
    let app = app("").await;
    let catalog = builder(&app, &peer).build().expect("a client");
    let served = Context::root(tokio::time::Instant::now());
    let waiting = scope(served, catalog.get("/").send());
    assert!(tokio::time::timeout(Duration::from_millis(100), waiting).await.is_err());
    let text = app.metrics().encode();
    let found = text.lines().any(|line| {
        line.starts_with("http_client_request_duration_seconds_count")
            && line.contains("error_type=\"abandoned\"")
    });
    assert!(found, "{text}");
}
