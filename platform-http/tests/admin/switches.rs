//! What an operator may switch of the clients of a running service, and how it goes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use platform_core::{
    App, Error, ErrorKind,
    config::Mode,
    context,
    stack::{Around, ClientPolicy, GUARDS, Guarding, Servers, Targets},
};
use platform_http::{Client, Server};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::house::{House, app, ready, soon};

/// A service that answers everything, and where it listens.
async fn catalog() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    context::spawn(async move {
        while let Ok((mut wire, _)) = listener.accept().await {
            context::spawn(async move {
                let mut heard = [0; 4096];
                while wire.read(&mut heard).await.is_ok_and(|read| read > 0) {
                    let _ = wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    format!("fixed://{address}")
}

/// A service with the clients `catalog` and, for what is no service, `films-db`.
async fn house() -> (House, Client, Around) {
    let app = app("").await;
    show_stack(&app);
    let client = Client::builder(&app, "catalog").target(catalog().await).build().expect("a client");
    let films = Around::of(&app, "films-db", ClientPolicy::default()).expect("a sound policy");
    (ready(app).await, client, films)
}

/// As `prepare` adds it for a service with a server.
fn show_stack(app: &App) {
    let clients = app.clone();
    platform_http::admin::Views::of(app).add("stack", move || {
        let all = platform_http::client::described(&clients).into_iter();
        all.map(|(target, layers)| json!({ "target": &*target, "layers": layers })).collect()
    });
}

/// A setting of a layer, as `/platform/stack` shows it.
async fn shown(house: &House, target: &str, layer: &str, setting: &str) -> String {
    let stack = house.get("/platform/stack").await.json();
    let row = |list: &Value, key: &str, name: &str| {
        list.as_array().expect("a list").iter().find(|one| one[key] == name).cloned()
    };
    let client = row(&stack, "target", target).unwrap_or_else(|| panic!("{target}: {stack}"));
    let layer = row(&client["layers"], "layer", layer).unwrap_or_else(|| panic!("{layer}: {client}"));
    layer["settings"][setting].as_str().unwrap_or_else(|| panic!("{setting}: {layer}")).to_owned()
}

async fn put(house: &House, path: &str, body: &str) -> Value {
    let reply = house.change("PUT", path, body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

async fn undo(house: &House, change: &Value) -> Value {
    let path = format!("/platform/changes/{}", change["id"]);
    let reply = house.change("DELETE", &path, r#"{"why":"seen enough"}"#).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

/// Waits until a change has gone back by itself.
async fn over(house: &House, change: &Value) {
    let id = change["id"].as_u64().expect("an id");
    soon(async {
        while !house.app.changes().find(id).expect("it is kept").undone {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn call(client: &Client) -> Result<u16, Error> {
    client.get("/films/7").send().await.map(|reply| reply.status().as_u16())
}

#[tokio::test]
async fn a_breaker_is_held_open_by_hand_and_given_back() {
    let (house, client, _films) = house().await;
    assert_eq!(call(&client).await.expect("a reply"), 200);
    assert_eq!(shown(&house, "catalog", "breaker", "state").await, "closed");

    let open = r#"{"state":"open","why":"INC-42","for":"15m"}"#;
    let change = put(&house, "/platform/breakers/catalog", open).await;
    assert_eq!(
        (&change["kind"], &change["who"], &change["why"]),
        (&json!("breaker"), &json!("ann"), &json!("INC-42"))
    );
    assert_eq!(change["what"], "breaker of catalog held open by hand");
    let length = change["until_unix_ms"].as_u64().unwrap() - change["at_unix_ms"].as_u64().unwrap();
    assert_eq!(length, 15 * 60 * 1000);
    let refused = call(&client).await.expect_err("nobody is asked");
    assert_eq!(refused.kind(), ErrorKind::BreakerOpen);
    assert!(refused.to_string().contains("held open by hand"), "{refused}");
    assert_eq!(
        shown(&house, "catalog", "breaker", "state").await,
        "held open by hand until somebody lifts it"
    );

    // Mode observe lets it pass, and says so; the hand is still on it.
    let observe = r#"{"mode":"observe","target":"catalog","why":"x"}"#;
    let mode = put(&house, "/platform/modes/breaker", observe).await;
    assert_eq!(call(&client).await.expect("a reply"), 200);
    let again = put(&house, "/platform/breakers/catalog", open).await;
    let told = again["what"].as_str().expect("a text");
    assert!(told.ends_with("; mode of breaker: catalog observe, and only enforce refuses calls"), "{told}");
    undo(&house, &mode).await;
    call(&client).await.expect_err("enforced again");

    // The second replaced the first, and both go back to the rules.
    assert!(house.app.changes().find(change["id"].as_u64().unwrap()).unwrap().undone);
    let back = undo(&house, &again).await;
    assert_eq!(
        back["what"],
        format!("breaker of catalog back to its rules, as before change {}", again["id"])
    );
    assert_eq!(call(&client).await.expect("a reply"), 200);

    put(&house, "/platform/breakers/catalog", r#"{"state":"closed","why":"x"}"#).await;
    assert!(shown(&house, "catalog", "breaker", "state").await.starts_with("held closed by hand"));
    let auto = put(&house, "/platform/breakers/catalog", r#"{"state":"auto","why":"x"}"#).await;
    assert_eq!(
        (&auto["what"], &auto["until_unix_ms"]),
        (&json!("breaker of catalog back to its rules"), &Value::Null)
    );
    assert_eq!(shown(&house, "catalog", "breaker", "state").await, "closed");

    let short = put(&house, "/platform/breakers/catalog", r#"{"state":"open","why":"x","for":"50ms"}"#).await;
    over(&house, &short).await;
    assert_eq!(call(&client).await.expect("a reply"), 200);
    let counted = house.get("/metrics").await.body;
    assert!(
        counted
            .lines()
            .any(|line| line.starts_with("platform_changes_total{") && line.contains("kind=\"breaker\"")),
        "{counted}"
    );
    house.stop().await;
}

#[tokio::test]
async fn a_mode_is_switched_for_one_target_or_all() {
    let (house, client, films) = house().await;
    for guard in GUARDS {
        let path = format!("/platform/modes/{guard}");
        let (before, films_before) = (mode_of(&house, "catalog", guard), mode_of(&house, "films-db", guard));
        let off = put(&house, &path, r#"{"mode":"off","why":"x"}"#).await;
        assert_eq!(off["kind"], "mode");
        assert_eq!(off["what"], format!("mode of {guard}: catalog off, films-db off"));
        let one = put(&house, &path, r#"{"mode":"observe","target":"catalog","why":"x","for":"1h"}"#).await;
        assert_eq!(one["what"], format!("mode of {guard}: catalog observe"));
        assert_eq!(call(&client).await.expect("a reply"), 200);
        // Each goes back by itself, in any order.
        undo(&house, &off).await;
        let mixed = (mode_of(&house, "catalog", guard), mode_of(&house, "films-db", guard));
        assert_eq!(mixed, (Mode::Observe, films_before), "{guard}");
        let back = undo(&house, &one).await;
        assert_eq!(
            back["what"],
            format!("mode of {guard}: catalog {before}, as before change {}", one["id"])
        );
    }
    assert_eq!(films.stack().policy(), ClientPolicy::default());

    let short =
        put(&house, "/platform/modes/retry", r#"{"mode":"off","target":"films-db","why":"x","for":"50ms"}"#)
            .await;
    over(&house, &short).await;
    assert_eq!(films.stack().policy().retry.mode, Mode::Enforce);
    house.stop().await;
}

#[tokio::test]
async fn leaving_endpoints_out_is_switched_like_every_other_guard() {
    let (house, _client, _films) = house().await;
    assert_eq!(shown(&house, "catalog", "balance", "eject.mode").await, "enforce");
    let observe = put(&house, "/platform/modes/eject", r#"{"mode":"observe","why":"INC-42"}"#).await;
    assert_eq!(
        (&observe["kind"], &observe["what"]),
        (&json!("mode"), &json!("mode of eject: catalog observe"))
    );
    let off = put(&house, "/platform/modes/eject", r#"{"mode":"off","target":"catalog","why":"x"}"#).await;
    assert_eq!(off["what"], "mode of eject: catalog off");
    assert_eq!(shown(&house, "catalog", "balance", "eject.mode").await, "off");
    undo(&house, &observe).await;
    assert_eq!(shown(&house, "catalog", "balance", "eject.mode").await, "off");
    let back = undo(&house, &off).await;
    assert_eq!(back["what"], format!("mode of eject: catalog enforce, as before change {}", off["id"]));
    assert_eq!(shown(&house, "catalog", "balance", "eject.mode").await, "enforce");
    house.stop().await;
}

fn mode_of(house: &House, target: &str, guard: &str) -> Mode {
    let called = Targets::of(&house.app).called(Some(target)).expect("it is called");
    let modes = called[0].modes(guard);
    assert_eq!(modes.len(), 1, "{target} {guard}");
    modes[0]
}

#[tokio::test]
async fn repeats_stop_when_their_mode_is_off() {
    let (house, _client, films) = house().await;
    let asked = Arc::new(AtomicU32::new(0));
    let query = || async {
        let asked = Arc::clone(&asked);
        films
            .idempotent(move |_| {
                asked.fetch_add(1, Relaxed);
                async { Err::<(), _>(Error::new(ErrorKind::Upstream, "it broke")) }
            })
            .await
            .expect_err("it fails");
    };
    query().await;
    assert_eq!(asked.swap(0, Relaxed), 3);
    let off = put(&house, "/platform/modes/retry", r#"{"mode":"off","target":"films-db","why":"x"}"#).await;
    query().await;
    assert_eq!(asked.swap(0, Relaxed), 1);
    undo(&house, &off).await;

    put(&house, "/platform/breakers/films-db", r#"{"state":"open","why":"x"}"#).await;
    query().await;
    assert_eq!(asked.load(Relaxed), 0, "what is no service has a breaker too");
    house.stop().await;
}

#[tokio::test]
async fn a_part_of_a_policy_is_changed_and_goes_back() {
    let (house, client, films) = house().await;
    let path = "/platform/policy/catalog";
    let first = r#"{"policy":{"timeout":"2s","retry":{"max_attempts":2}},"why":"INC-42"}"#;
    let change = put(&house, path, first).await;
    assert_eq!((&change["kind"], &change["who"]), (&json!("policy"), &json!("ann")));
    assert_eq!(change["what"], r#"policy of catalog: {"retry":{"max_attempts":2},"timeout":"2s"}"#);
    assert_eq!(shown(&house, "catalog", "deadline", "timeout").await, "2s");
    assert_eq!(shown(&house, "catalog", "attempt-deadline", "attempt_timeout").await, "2s");
    assert_eq!(shown(&house, "catalog", "recovery", "max_attempts").await, "2");
    assert_eq!(shown(&house, "films-db", "deadline", "timeout").await, "10s");
    assert_eq!(call(&client).await.expect("a reply"), 200);

    // A second part comes over the first; a mode that was switched in between stays when both go back.
    put(&house, "/platform/modes/throttle", r#"{"mode":"off","why":"x"}"#).await;
    let second = put(&house, path, r#"{"policy":{"bulkhead":{"max_in_flight":5}},"why":"x"}"#).await;
    assert_eq!(shown(&house, "catalog", "deadline", "timeout").await, "2s");
    assert_eq!(shown(&house, "catalog", "bulkhead", "max_in_flight").await, "5");
    let back = undo(&house, &second).await;
    assert_eq!(back["what"], format!("policy of catalog, as before change {}", second["id"]));
    assert_eq!(shown(&house, "catalog", "deadline", "timeout").await, "10s");
    assert_eq!(shown(&house, "catalog", "attempt-deadline", "attempt_timeout").await, "3s");
    assert_eq!(shown(&house, "catalog", "bulkhead", "max_in_flight").await, "1000");
    assert_eq!(shown(&house, "catalog", "throttle", "mode").await, "off");

    let short =
        put(&house, "/platform/policy/films-db", r#"{"policy":{"timeout":"1s"},"why":"x","for":"50ms"}"#)
            .await;
    over(&house, &short).await;
    assert_eq!(films.stack().policy().timeout, Some(Duration::from_secs(10)));
    house.stop().await;
}

#[tokio::test]
async fn what_is_no_service_has_its_section_and_a_change_lies_over_it() {
    let app =
        app("[clients.films-db]\npolicy = { timeout = \"800ms\", bulkhead = { max_in_flight = 20 } }").await;
    show_stack(&app);
    let films = Around::of(&app, "films-db", ClientPolicy::default()).expect("a sound policy");
    let house = ready(app).await;
    assert_eq!(shown(&house, "films-db", "deadline", "timeout").await, "800ms");
    assert_eq!(shown(&house, "films-db", "bulkhead", "max_in_flight").await, "20");
    let body = r#"{"policy":{"timeout":"100ms"},"why":"x"}"#;
    let change = put(&house, "/platform/policy/films-db", body).await;
    assert_eq!(shown(&house, "films-db", "deadline", "timeout").await, "100ms");
    let silent = films.idempotent(|_| std::future::pending::<Result<(), Error>>()).await;
    assert!(silent.expect_err("nobody answers").to_string().contains("within 100ms"));
    undo(&house, &change).await;
    assert_eq!(films.stack().policy().timeout, Some(Duration::from_millis(800)));
    assert_eq!(shown(&house, "films-db", "attempt-deadline", "attempt_timeout").await, "800ms");
    house.stop().await;
}

#[tokio::test]
async fn a_switch_that_cannot_be_meant_is_explained() {
    let (house, client, _films) = house().await;
    let before = (house.app.changes().latest().len(), client.describe());
    for (path, body, status, told) in [
        (
            "modes/braker",
            r#"{"mode":"off","why":"x"}"#,
            404,
            "there is no guard `braker`; there is rate-limit, bulkhead",
        ),
        (
            "modes/breaker",
            r#"{"mode":"off","target":"catlog","why":"x"}"#,
            404,
            "no client here calls `catlog`; there is catalog, films-db",
        ),
        ("modes/breaker", r#"{"mode":"on","why":"x"}"#, 400, "unknown variant `on`"),
        ("modes/breaker", r#"{"mode":"off"}"#, 400, r#"send {"mode": "observe""#),
        ("modes/breaker", r#"{"mode":"off","why":"x","for":"25h"}"#, 400, "at most 24h"),
        ("breakers/catlog", r#"{"state":"open","why":"x"}"#, 404, "there is catalog, films-db"),
        (
            "breakers/catalog",
            r#"{"state":"half-open","why":"x"}"#,
            400,
            "unknown variant `half-open`, expected one of",
        ),
        ("breakers/catalog", r#"{"state":"auto","why":"x","for":"1h"}"#, 400, "leave it out"),
        ("policy/catlog", r#"{"policy":{"timeout":"1s"},"why":"x"}"#, 404, "there is catalog, films-db"),
        ("policy/catalog", r#"{"policy":{},"why":"x"}"#, 400, "would change nothing"),
        ("policy/catalog", r#"{"policy":[],"why":"x"}"#, 400, "is a section, not a value"),
        ("policy/catalog", r#"{"policy":{"timout":"1s"},"why":"x"}"#, 400, "did you mean `policy.timeout`?"),
        (
            "policy/catalog",
            r#"{"policy":{"timeout":"1 day"},"why":"x"}"#,
            400,
            "the request: `policy.timeout`",
        ),
        (
            "policy/catalog",
            r#"{"policy":{"attempt_timeout":"20s"},"why":"x"}"#,
            400,
            "longer than the whole call (10s)",
        ),
        ("policy/catalog", r#"{"policy":{"timeout":"1s"}}"#, 400, "missing field `why`"),
    ] {
        let refused = house.change("PUT", &format!("/platform/{path}"), body).await;
        refused.refuses(status, told);
    }
    let after = (house.app.changes().latest().len(), client.describe());
    assert_eq!(before, after, "nothing was changed, and nothing recorded");

    let nameless = [("content-type", "application/json")];
    let open = r#"{"state":"open","why":"x"}"#;
    house.ask("PUT", "/platform/breakers/catalog", &nameless, open).await.refuses(401, "x-platform-actor");
    house.stop().await;
}

#[tokio::test]
async fn a_service_without_clients_says_so() {
    let house = ready(app("").await).await;
    let off = r#"{"mode":"off","why":"x"}"#;
    house.change("PUT", "/platform/modes/breaker", off).await.refuses(404, "this process has no client yet");
    let open = r#"{"state":"open","why":"x"}"#;
    house
        .change("PUT", "/platform/breakers/catalog", open)
        .await
        .refuses(404, "calls `catalog`; there is none");
    house.stop().await;
}

/// A service with a server, whose class `slow` only looks on.
async fn serving() -> House {
    let app = app("[server]\nlisten = \"127.0.0.1:0\"\n[server.classes.slow]\n\
         policy = { concurrency = { mode = \"observe\" } }\n[discovery]\nregister = { mode = \"off\" }")
    .await;
    let routes = axum::Router::new().route("/", axum::routing::get(|| async { "well" }));
    app.add(Server::new(routes).class("slow", ["/slow"]));
    ready(app).await
}

/// The modes of a guard of the server as `/platform/stack` shows them, its classes' too.
async fn server_modes(house: &House, guard: Guarding) -> Vec<String> {
    let stack = house.get("/platform/stack").await.json();
    let pages = stack.as_array().cloned().unwrap_or_else(|| vec![stack.clone()]);
    let page = pages.into_iter().find(|page| page["server"] == "http").expect("the server's page");
    let rows = page["layers"].as_array().expect("a list").iter();
    let rows = rows.filter(|row| row["layer"] == guard.as_str());
    rows.map(|row| row["settings"]["mode"].as_str().expect("a mode").to_owned()).collect()
}

#[tokio::test]
async fn the_servers_own_guards_are_switched_and_go_back() {
    let house = serving().await;
    let guards = Servers::of(&house.app).guards().remove(0);
    for guard in Guarding::ALL {
        let path = format!("/platform/modes/server/{guard}");
        let before = (guards.mode(guard), server_modes(&house, guard).await);
        let off = put(&house, &path, r#"{"mode":"off","why":"INC-42","for":"15m"}"#).await;
        assert_eq!(
            (&off["kind"], &off["what"], &off["who"]),
            (&json!("mode"), &json!(format!("mode of the server's {guard}: off")), &json!("ann"))
        );
        assert_eq!(guards.mode(guard), Mode::Off);
        let observe = put(&house, &path, r#"{"mode":"observe","why":"INC-42"}"#).await;
        assert!(server_modes(&house, guard).await.iter().all(|mode| mode == "observe"), "{guard}");
        // The second replaced the first, and both go back together, each class to its own.
        house
            .change("DELETE", &format!("/platform/changes/{}", off["id"]), r#"{"why":"x"}"#)
            .await
            .refuses(400, "is in force no more");
        let back = undo(&house, &observe).await;
        let told = format!("mode of the server's {guard}: {}, as before change {}", before.0, observe["id"]);
        assert_eq!(back["what"], told);
        assert_eq!((guards.mode(guard), server_modes(&house, guard).await), before, "{guard}");
    }
    assert_eq!(server_modes(&house, Guarding::Concurrency).await, ["enforce", "observe"]);
    let short = put(&house, "/platform/modes/server/shed", r#"{"mode":"off","why":"x","for":"50ms"}"#).await;
    over(&house, &short).await;
    assert_eq!(guards.mode(Guarding::Shed), Mode::Enforce);

    let off = r#"{"mode":"off","why":"x"}"#;
    let wrong = house.change("PUT", "/platform/modes/server/breaker", off).await;
    wrong.refuses(404, "there is expired, rate-limit, fair-share, shed, concurrency");
    let whose = r#"{"mode":"off","target":"catalog","why":"x"}"#;
    house.change("PUT", "/platform/modes/server/shed", whose).await.refuses(400, "unknown field `target`");
    house.stop().await;
}

#[tokio::test]
async fn a_process_without_a_server_says_so() {
    let house = ready(app("").await).await;
    let off = r#"{"mode":"off","why":"x"}"#;
    house.change("PUT", "/platform/modes/server/shed", off).await.refuses(404, "no server with guards");
    house.stop().await;
}
