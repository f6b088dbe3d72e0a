//! What is sent twice over a real socket, and what the peer learns of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use platform_core::ErrorKind;
use platform_http::{Body, body::BoxError};

use crate::peer::{Does, Heard, Peer, app, builder, ok, reply};

/// Does `first` with the first request and answers the others.
async fn peer(first: impl Fn() -> Does + Send + Sync + 'static) -> Peer {
    let asked = Arc::new(AtomicUsize::new(0));
    Peer::open(move |_: &Heard| if asked.fetch_add(1, Relaxed) == 0 { first() } else { ok("{}") }).await
}

fn failing() -> Does {
    reply("500 Internal Server Error", &[], "")
}

#[tokio::test]
async fn a_get_is_repeated_and_marked_and_its_body_and_headers_are_the_same() {
    let peer = peer(failing).await;
    let app = app("").await;
    let catalog = builder(&app, &peer).build().expect("a client");
    let answer = catalog.put("/films/7").header("x-shop", "north").body("{\"a\":1}").send().await;
    assert_eq!(answer.expect("the second answers").status(), 200);
    let heard = peer.heard();
    assert_eq!(heard.len(), 2);
    for (number, one) in heard.iter().enumerate() {
        assert_eq!((one.header("x-shop"), one.body.as_slice()), (Some("north"), &b"{\"a\":1}"[..]));
        let marks = (one.header("platform-previous-attempts"), one.header("platform-retry"));
        assert_eq!(marks, if number == 0 { (None, None) } else { (Some("1"), Some("never")) });
    }
    let span = |one: &Heard| one.header("traceparent").expect("a trace")[36..52].to_owned();
    assert_ne!(span(&heard[0]), span(&heard[1]), "each attempt is a span of its own");
}

/// PEERS: a POST is retried behind its user's back.
#[tokio::test]
async fn a_post_is_repeated_only_when_somebody_says_that_it_may_be() {
    for (keyed, marked, expected) in [(false, false, 1), (true, false, 2), (false, true, 2)] {
        let peer = peer(failing).await;
        let app = app("").await;
        let catalog = builder(&app, &peer).build().expect("a client");
        let mut request = catalog.post("/films").body("x");
        if keyed {
            request = request.header("idempotency-key", "7");
        }
        if marked {
            request = request.idempotent();
        }
        let _ = request.send().await.expect("a reply");
        assert_eq!(peer.heard().len(), expected, "key {keyed}, marked {marked}");
    }
}

#[tokio::test]
async fn a_refusal_before_any_work_lets_any_method_go_again() {
    let peer = peer(|| reply("503 Service Unavailable", &[("platform-retry", "safe")], "")).await;
    let app = app("").await;
    let catalog = builder(&app, &peer).build().expect("a client");
    assert_eq!(catalog.post("/films").body("x").send().await.expect("an answer").status(), 200);
    assert_eq!(peer.heard().len(), 2);
}

#[tokio::test]
async fn whoever_has_given_up_below_is_not_asked_again() {
    let peer = peer(|| reply("502 Bad Gateway", &[("platform-retry", "never")], "")).await;
    let app = app("").await;
    let catalog = builder(&app, &peer).build().expect("a client");
    assert_eq!(catalog.get("/films").send().await.expect("a reply").status(), 502);
    assert_eq!(peer.heard().len(), 1);
}

#[tokio::test]
async fn a_body_that_is_too_large_to_keep_is_sent_once() {
    let peer = peer(failing).await;
    let app = app("[clients.catalog.policy.retry]\nbody = \"8B\"").await;
    let catalog = builder(&app, &peer).build().expect("a client");
    assert_eq!(catalog.put("/a").body("123456789").send().await.expect("a reply").status(), 500);
    assert_eq!(peer.heard().len(), 1);
    assert_eq!(catalog.put("/a").body("12345678").send().await.expect("a reply").status(), 200);
}

/// Pieces that come one by one, and no word of how many.
fn stream(pieces: &'static [&'static str]) -> Body {
    let frames =
        pieces.iter().map(|piece| Ok::<_, BoxError>(Frame::data(Bytes::from_static(piece.as_bytes()))));
    Body::stream(StreamBody::new(futures_util::stream::iter(frames)))
}

#[tokio::test]
async fn a_stream_is_sent_again_from_its_beginning_while_it_is_small_enough_to_keep() {
    let peer = peer(failing).await;
    let app = app("[clients.catalog.policy.retry]\nbody = \"8B\"").await;
    let catalog = builder(&app, &peer).build().expect("a client");
    let too_large = catalog.put("/a").body(stream(&["1234", "5678", "9"])).send().await;
    assert_eq!((too_large.expect("a reply").status().as_u16(), peer.heard().len()), (500, 1));
    assert_eq!(peer.heard()[0].body, b"123456789", "sent whole all the same");

    let peer = self::peer(failing).await;
    let catalog = builder(&app, &peer).build().expect("a client");
    assert_eq!(
        catalog.put("/a").body(stream(&["1234", "5678"])).send().await.expect("a reply").status(),
        200
    );
    let bodies: Vec<_> = peer.heard().into_iter().map(|one| one.body).collect();
    assert_eq!(bodies, [b"12345678", b"12345678"]);
}

#[tokio::test]
async fn an_open_breaker_does_not_connect_and_says_why_and_when_it_asks_again() {
    let peer = Peer::open(|_| failing()).await;
    let app = app("[clients.catalog.policy]\nrecovery = \"none\"\nbreaker = { consecutive = 3 }").await;
    let catalog = builder(&app, &peer).build().expect("a client");
    for _ in 0..3 {
        assert_eq!(catalog.get("/").send().await.expect("a reply").status(), 500);
    }
    let error = catalog.get("/").send().await.expect_err("it is open");
    assert_eq!((error.kind(), error.layer()), (ErrorKind::BreakerOpen, "breaker"));
    let text = error.to_string();
    assert!(text.contains("3 failures in a row") && text.contains("breaker.consecutive = 3"), "{text}");
    assert!(error.hint().after.is_some());
    assert_eq!(peer.heard().len(), 3);
}

#[tokio::test]
async fn values_that_contradict_each_other_refuse_the_start_with_their_keys() {
    for (toml, words) in [
        ("breaker = { open = \"2m\" }", "breaker.open"),
        ("retry = { max_attempts = 9 }", "retry.max_attempts"),
        ("hedge = { quantile = 0.2 }", "hedge.quantile"),
        ("bulkhead = { max_in_flight = 0 }", "bulkhead.max_in_flight"),
        ("breaker = { consecutiv = 3 }", "did you mean"),
        ("throttle = { k = 0.5 }", "throttle.k"),
        ("budget = { ratio = 5 }", "budget.ratio"),
        ("recovery = \"both\"", "recovery"),
    ] {
        let app = app(&format!("[clients.catalog.policy]\n{toml}")).await;
        let error = platform_http::Client::for_target(&app, "catalog").map(|_| ()).expect_err(toml);
        assert_eq!(error.kind(), ErrorKind::Config, "{toml}");
        assert!(error.detail().contains(words), "{toml}: {error}");
    }
}
