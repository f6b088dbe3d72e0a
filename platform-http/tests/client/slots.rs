//! Layers of a team in the client's three slots.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode};
use platform_core::{App, Error, ErrorKind, call::Call as _, stack::Row};
use platform_http::{
    Body,
    client::{
        described,
        slots::{Around, Rest, To},
    },
};
use tower::service_fn;
use tower_layer::{Layer, layer_fn};
use tower_service::Service;

use crate::{
    does::does,
    peer::{Peer, app, builder, ok, reply},
};

/// What went by, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// Notes its name, what it sees of the headers, and how it ended.
fn notes(name: &'static str, log: &Log) -> impl Layer<Rest, Service: Around> + Send + Sync + 'static + use<> {
    let log = Arc::clone(log);
    does(move |mut rest, request| {
        let log = Arc::clone(&log);
        let note = |text: String| log.lock().expect("nobody panics").push(text);
        let final_headers = ["host", "traceparent", "platform-timeout-ms"]
            .iter()
            .all(|name| request.headers().contains_key(*name));
        note(format!("{name} {} {final_headers}", request.context().attempt()));
        let log = Arc::clone(&log);
        Box::pin(async move {
            let reply = rest.call(request).await;
            let told = reply
                .as_ref()
                .map_or_else(|error| error.kind().to_string(), |reply| reply.status().to_string());
            log.lock().expect("nobody panics").push(format!("{name} {told}"));
            reply
        })
    })
}

fn taken(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.lock().expect("nobody panics"))
}

/// The sum of the samples whose line begins and goes on so.
fn metric(app: &App, name: &str, labels: &[&str]) -> f64 {
    let text = app.metrics().encode();
    let lines =
        text.lines().filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn layers(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.layer).collect()
}

#[tokio::test]
async fn each_slot_stands_where_the_manual_says_and_the_first_of_a_slot_sees_a_call_first() {
    let asked = Arc::new(AtomicUsize::new(0));
    let peer = Peer::open(move |_| match asked.fetch_add(1, Relaxed) {
        0 => reply("503 Service Unavailable", &[("platform-retry", "safe")], ""),
        _ => ok("{}"),
    })
    .await;
    let (app, log) = (app("").await, Log::default());
    let catalog = builder(&app, &peer)
        .around_endpoint(notes("endpoint", &log))
        .around_attempt(notes("attempt", &log))
        .around_call(notes("call", &log))
        .around_call(notes("second", &log))
        .build()
        .expect("a client");
    let answer = catalog.get("/films").send().await.expect("the second answers");
    assert_eq!(answer.endpoint(), Some(peer.address.to_string().as_str()));
    let expected = [
        "call 0 false",
        "second 0 false",
        "attempt 0 true",
        "endpoint 0 true",
        "endpoint 503 Service Unavailable",
        "attempt 503 Service Unavailable",
        "attempt 1 true",
        "endpoint 1 true",
        "endpoint 200 OK",
        "attempt 200 OK",
        "second 200 OK",
        "call 200 OK",
    ];
    assert_eq!(taken(&log), expected);

    let rows = catalog.describe();
    let all = layers(&rows);
    let under = |layer: &str| all.iter().position(|one| *one == layer).expect(layer);
    assert_eq!(all[under("deadline")..=under("rate-limit")], ["deadline", "slot-call", "rate-limit"]);
    assert_eq!(
        all[under("inject")..=under("connect")],
        ["inject", "slot-attempt", "slot-endpoint", "connect"]
    );
    let slot = &rows[under("slot-call")];
    assert_eq!(slot.settings["layers"].matches("ServiceFn<").count(), 2, "{slot:?}");
    // What `/platform/stack` shows.
    assert_eq!(described(&app)[0].1, rows);

    let plain = builder(&app, &peer).build().expect("a client");
    assert!(!layers(&plain.describe()).iter().any(|layer| layer.starts_with("slot-")));
}

#[tokio::test]
async fn what_a_layer_refuses_is_the_calls_end_or_one_attempts() {
    let peer = Peer::open(|_| ok("{}")).await;
    let app = app("").await;
    let refused = || {
        does(|_, _| {
            Box::pin(async { Err(Error::new(ErrorKind::Forbidden, "not on a Friday").at_layer("friday")) })
        })
    };
    let catalog = builder(&app, &peer).around_call(refused()).build().expect("a client");
    let error = catalog.get("/films").send().await.expect_err("refused");
    assert_eq!(
        (error.kind(), error.layer(), error.target()),
        (ErrorKind::Forbidden, "friday", Some("catalog"))
    );
    let calls = "platform_client_call_duration_seconds_count";
    assert_eq!(metric(&app, calls, &["\"caller\""]), 1.0);
    assert_eq!(metric(&app, "platform_client_attempts_total", &[]), 0.0);

    // A first attempt that fails so was never sent, and is made again.
    let asked = Arc::new(AtomicUsize::new(0));
    let first = does(move |mut rest, request| {
        let first = asked.fetch_add(1, Relaxed) == 0;
        Box::pin(async move {
            if first {
                Err(Error::new(ErrorKind::Unreachable, "the key server is away"))
            } else {
                rest.call(request).await
            }
        })
    });
    let catalog = builder(&app, &peer).around_attempt(first).build().expect("a client");
    assert_eq!(catalog.post("/films").body("x").send().await.expect("the second answers").status(), 200);
    assert_eq!(metric(&app, "platform_client_attempts_total", &["\"first\"", "\"unreachable\""]), 1.0);
    assert_eq!(peer.heard().len(), 1);
    assert_eq!(peer.only().header("platform-previous-attempts"), Some("1"));
}

#[tokio::test]
async fn a_layer_may_answer_by_itself_and_is_judged_by_its_status() {
    let peer = Peer::open(|_| ok("{}")).await;
    let app = app("[clients.catalog.policy]\nrecovery = \"none\"").await;
    // One of the bodies is made as if it were a request's.
    let answers = |body: fn() -> Body| {
        does(move |_, _| {
            let mut reply = Response::new(body());
            *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Box::pin(async move { Ok(reply) })
        })
    };
    for (count, body) in [(1.0, (|| Body::reply("known")) as fn() -> Body), (2.0, || Body::full("known"))] {
        let catalog = builder(&app, &peer).around_call(answers(body)).build().expect("a client");
        let answer = catalog.get("/films").send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.endpoint()), (500, None));
        assert_eq!(answer.text().await.expect("text"), "known");
        let calls = metric(&app, "platform_client_call_duration_seconds_count", &["\"server\""]);
        assert_eq!(calls, 2.0 * count - 1.0);

        let catalog = builder(&app, &peer).around_attempt(answers(body)).build().expect("a client");
        assert_eq!(catalog.get("/films").send().await.expect("an answer").status(), 500);
        assert_eq!(metric(&app, "platform_client_attempts_total", &["\"server\""]), count);
    }
    assert!(peer.heard().is_empty());
}

#[tokio::test]
async fn a_layer_that_hangs_is_cut_by_the_limit_that_it_stands_under() {
    let peer = Peer::open(|_| ok("{}")).await;
    let policy = "recovery = \"none\"\ntimeout = \"80ms\"\nattempt_timeout = \"40ms\"";
    let app = app(&format!("[clients.catalog.policy]\n{policy}")).await;
    let hangs = || does(|_, _| Box::pin(std::future::pending()));
    let around_call = builder(&app, &peer).around_call(hangs()).build().expect("a client");
    let around_attempt = builder(&app, &peer).around_attempt(hangs()).build().expect("a client");
    let around_endpoint = builder(&app, &peer).around_endpoint(hangs()).build().expect("a client");
    for (catalog, layer, limit) in [
        (around_call, "deadline", "within 80ms"),
        (around_attempt, "attempt-deadline", "within 40ms"),
        (around_endpoint, "attempt-deadline", "within 40ms"),
    ] {
        let error = catalog.get("/films").send().await.expect_err("nobody answers");
        assert_eq!((error.kind(), error.layer()), (ErrorKind::Timeout, layer));
        assert!(error.detail().contains(limit) && error.target() == Some("catalog"), "{error}");
    }
    assert_eq!(metric(&app, "platform_client_call_duration_seconds_count", &["\"timeout\""]), 3.0);
    assert_eq!(metric(&app, "platform_client_attempts_total", &["\"timeout\""]), 2.0);
}

#[tokio::test]
async fn whoever_stops_waiting_ends_the_layers_too() {
    struct Held(Arc<AtomicUsize>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let peer = Peer::open(|_| ok("{}")).await;
    let (app, ended) = (app("").await, Arc::new(AtomicUsize::new(0)));
    let hangs = does({
        let ended = Arc::clone(&ended);
        move |_, _| {
            let held = Held(Arc::clone(&ended));
            Box::pin(async move {
                let _held = held;
                std::future::pending().await
            })
        }
    });
    let catalog = builder(&app, &peer).around_call(hangs).build().expect("a client");
    let waited = tokio::time::timeout(Duration::from_millis(20), catalog.get("/films").send()).await;
    assert!(waited.is_err() && ended.load(Relaxed) == 1);
    assert_eq!(metric(&app, "platform_client_call_duration_seconds_count", &["\"abandoned\""]), 1.0);
}

#[tokio::test]
async fn a_layer_may_ask_twice_and_it_is_one_call() {
    let asked = Arc::new(AtomicUsize::new(0));
    let peer = Peer::open(move |_| ok(if asked.fetch_add(1, Relaxed) == 0 { "old" } else { "new" })).await;
    let app = app("").await;
    let twice = does(|mut rest, request| {
        let again = request.repeat(0).expect("a GET has no bytes");
        Box::pin(async move {
            rest.call(request).await?;
            rest.call(again).await
        })
    });
    let catalog = builder(&app, &peer).around_call(twice).build().expect("a client");
    assert_eq!(catalog.get("/films").send().await.expect("an answer").text().await.expect("text"), "new");
    assert_eq!(peer.heard().len(), 2);
    assert_eq!(metric(&app, "platform_client_call_duration_seconds_count", &["\"ok\""]), 1.0);
    assert_eq!(metric(&app, "platform_client_attempts_total", &["\"first\"", "\"ok\""]), 2.0);
}

#[tokio::test]
async fn endpoint_layers_are_one_for_each_endpoint_and_learn_which() {
    let (one, other) = (Peer::open(|_| ok("{}")).await, Peer::open(|_| ok("{}")).await);
    let (app, made) = (app("").await, Arc::new(AtomicUsize::new(0)));
    let seen: Arc<Mutex<Vec<(usize, String)>>> = Arc::default();
    let layer = layer_fn({
        let (made, seen) = (Arc::clone(&made), Arc::clone(&seen));
        move |rest: Rest| {
            let (number, seen) = (made.fetch_add(1, Relaxed), Arc::clone(&seen));
            service_fn(move |request: Request<Body>| {
                let to = request.extensions().get::<To>().expect("whom it is for").0.to_string();
                seen.lock().expect("nobody panics").push((number, to));
                rest.clone().call(request)
            })
        }
    });
    let target = format!("fixed://{},{}", one.address, other.address);
    let catalog = builder(&app, &one)
        .target(target)
        .balance(|balance| balance.pick = platform_discovery::balance::Picker::RoundRobin)
        .around_endpoint(layer)
        .build()
        .expect("a client");
    for _ in 0..6 {
        catalog.get("/films").send().await.expect("an answer");
    }
    assert_eq!((made.load(Relaxed), one.heard().len(), other.heard().len()), (2, 3, 3));
    let mut seen = seen.lock().expect("nobody panics").clone();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 2, "each layer has one endpoint: {seen:?}");
}

#[tokio::test]
async fn a_request_that_forgot_whom_it_is_for_is_explained() {
    let peer = Peer::open(|_| ok("{}")).await;
    let app = app("").await;
    let forgets = does(|mut rest, _| Box::pin(async move { rest.call(Request::new(Body::empty())).await }));
    let catalog = builder(&app, &peer).around_attempt(forgets).build().expect("a client");
    let error = catalog.get("/films").send().await.expect_err("nobody to send it to");
    assert_eq!((error.kind(), error.layer()), (ErrorKind::Internal, "slot-attempt"));
    assert!(error.detail().contains("pass them on"), "{error}");
    assert!(peer.heard().is_empty());

    // Around a call there is nothing that has to be passed on.
    let anew = does(|mut rest, _| {
        Box::pin(async move { rest.call(Request::new(Body::reply("made with the wrong function"))).await })
    });
    let catalog = builder(&app, &peer).around_call(anew).build().expect("a client");
    assert_eq!(catalog.get("/films").send().await.expect("an answer").status(), 200);
    assert_eq!(peer.only().line, "GET / HTTP/1.1");
}
