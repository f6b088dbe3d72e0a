//! What an operator, a probe and a stranger get from the admin listener, over real sockets.

#[cfg(feature = "tls")]
mod asking;
#[cfg(feature = "tls")]
#[path = "../ground/authority.rs"]
mod authority;
mod faults;
mod house;
#[path = "../../../platform-core/tests/judges/mod.rs"]
mod judges;
mod outside;
mod switches;

use std::{
    collections::HashSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use house::{ANN, app, app_at, open, ready};
use platform_core::{
    App, Error, ErrorKind, Result,
    app::{Announce, Bound, Boxed, Withdrawal},
    config::{Config, Secret},
    lifecycle::{Need, Phase},
};
use platform_http::{Admin, admin::Views};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;

#[tokio::test]
async fn probes_follow_the_phase() {
    let app = app("").await;
    let gate = Arc::new(Semaphore::new(0));
    app.announce(Slow(Arc::clone(&gate)));
    let hook = Arc::clone(&gate);
    let slow = move || async move {
        hook.acquire().await.expect("it is never closed").forget();
        Ok(())
    };
    let house = open(app, |app| app.on_start("slow", slow)).await;

    for (path, status) in [("/livez", 200), ("/startupz", 503), ("/readyz", 503)] {
        assert_eq!(house.get(path).await.status, status, "{path} while starting");
    }
    assert_eq!(house.get("/readyz").await.body, "not ready: the process is starting\n");

    gate.add_permits(1);
    house.reached(Phase::Ready).await;
    for path in ["/livez", "/startupz", "/readyz"] {
        let reply = house.get(path).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok\n"), "{path} when ready");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }

    house.app.stop("test", "");
    house.reached(Phase::Draining).await;
    for (path, status) in [("/livez", 200), ("/startupz", 200), ("/readyz", 503)] {
        assert_eq!(house.get(path).await.status, status, "{path} while draining");
    }
    gate.add_permits(1);
    assert_eq!(house.ended().await.code(), 0);
}

/// Holds the drain open until it is let go.
struct Slow(Arc<Semaphore>);

impl Announce for Slow {
    fn announce<'a>(&'a self, _bound: &'a [Bound]) -> Boxed<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn withdraw(&self, step: Withdrawal) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            if step == Withdrawal::Draining {
                self.0.acquire().await.expect("it is never closed").forget();
            }
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_failing_check_is_named() {
    let app = app("").await;
    let broken = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&broken);
    app.health().check("database", Need::Required, move || {
        let broken = asked.load(Relaxed);
        async move { if broken { Err(Error::new(ErrorKind::Unreachable, "no route")) } else { Ok(()) } }
    });
    app.health().check("cache", Need::Optional, || async { Err(Error::new(ErrorKind::Timeout, "slow")) });
    let house = ready(app).await;

    let reply = house.get("/readyz").await;
    assert_eq!((reply.status, reply.body.as_str()), (503, "not ready: database: unreachable: no route\n"));
    broken.store(false, Relaxed);
    let reply = house.get("/readyz?verbose").await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (200, "phase ready\n[+] database ok\n[-] cache failed, and is optional: timeout: slow\nready\n")
    );
    let reply = house.ask("GET", "/readyz", &[("accept", "application/json")], "").await;
    assert_eq!(
        reply.json()["checks"][1],
        json!({ "name": "cache", "ok": false, "need": "optional", "reason": "timeout: slow" })
    );
    house.stop().await;
}

#[tokio::test]
async fn an_old_probe_without_a_host_is_answered() {
    let house = ready(app("").await).await;
    assert_eq!(house.tell("GET /readyz HTTP/1.0\r\n\r\n").await.status, 200);
    assert_eq!(house.ask("HEAD", "/readyz", &[], "").await.status, 200);
    house.stop().await;
}

#[tokio::test]
async fn a_scraper_gets_the_format_it_asks_for_and_no_series_twice() {
    let house = ready(app("").await).await;
    let plain = house.get("/metrics").await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!plain.body.contains("# EOF"), "the older text has no end mark");

    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let open = house.ask("GET", "/metrics", &[("accept", accept)], "").await;
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(open.body.ends_with("# EOF\n"));

    for text in [plain.body, open.body] {
        let mut seen = HashSet::new();
        // What a series is called ends before its value.
        for series in
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split("} ").next())
        {
            assert!(seen.insert(series.to_owned()), "{series} is there twice");
        }
        assert!(seen.iter().any(|series| series.starts_with("platform_changes_total{")), "{text}");
    }
    house.stop().await;
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    password: Secret<String>,
    seats: u32,
}

#[tokio::test]
async fn a_reader_sees_whose_it_is_what_is_set_and_what_changed() {
    let app = app("[settings]\npassword = \"hunter2\"\n").await;
    app.settings::<Settings>().unwrap();
    Views::of(&app).add("targets", || json!({ "target": "catalog", "endpoints": 3 }));
    Views::of(&app).add("broken", || panic!("oh no"));
    let house = ready(app).await;

    let info = house.get("/platform/info").await.json();
    assert_eq!((&info["identity"]["name"], &info["phase"]), (&json!("orders"), &json!("ready")));
    assert_eq!(info["process_id"], std::process::id());
    assert!(info["built"]["rustc"].as_str().unwrap().starts_with("rustc "), "{info}");
    assert!(info["started_unix_ms"].as_u64().unwrap() > 1_500_000_000_000, "{info}");

    let config = house.get("/platform/config").await;
    assert!(!config.body.contains("hunter2"), "{}", config.body);
    let config = config.json();
    let of = |key: &str| config.as_array().unwrap().iter().find(|value| value["key"] == key).cloned();
    assert_eq!(of("settings.password").unwrap()["value"], "***");
    assert_eq!(of("settings.seats").unwrap()["value"], 0);
    let listen = of("admin.listen").unwrap_or_else(|| panic!("{config}"));
    assert!(listen["origin"].to_string().contains("inline"), "{listen}");

    let changes = house.get("/platform/changes").await.json();
    assert_eq!((&changes[0]["kind"], &changes[1]["kind"]), (&json!("ready"), &json!("start")), "{changes}");

    assert_eq!(house.get("/platform/targets").await.json(), json!([{ "target": "catalog", "endpoints": 3 }]));
    assert_eq!(house.get("/platform/stack").await.json(), json!([]), "nobody has added to it");
    house.get("/platform/broken").await.refuses(500, "oh no");
    house.get("/platform/orders").await.refuses(404, "GET /platform/targets");
    house.stop().await;
}

#[tokio::test]
async fn the_index_lists_what_is_there() {
    let house = ready(app("").await).await;
    let index = house.get("/").await;
    assert!(index.body.starts_with("orders 1.4.2 (stable), "), "{}", index.body);
    let listed: Vec<(&str, String)> = index
        .body
        .lines()
        .skip_while(|line| !line.is_empty())
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (method, path) = (words.next()?, words.next()?.replace("{id}", "1"));
            let any = ["{name}", "{guard}", "{target}", "{client}", "{zone}"];
            Some((method, any.into_iter().fold(path, |path, any| path.replace(any, "x"))))
        })
        .collect();
    assert_eq!(listed.len(), 26, "{}", index.body);
    assert!(index.body.contains("the layers of each client"), "{}", index.body);
    for (method, path) in listed {
        // A stream has no end; its head says enough.
        let method = if path == "/platform/stream" { "HEAD" } else { method };
        // Nothing here has a body, so that nothing changes.
        let reply = house.ask(method, &path, &[ANN], "").await;
        let expected = if matches!(method, "GET" | "HEAD") { 200 } else { 400 };
        assert_eq!(reply.status, expected, "{method} {path}: {}", reply.body);
    }
    house.stop().await;
}

#[tokio::test]
async fn a_rebound_name_and_a_foreign_page_are_refused() {
    let house = ready(app("").await).await;
    for path in ["/", "/platform/info", "/metrics", "/readyz", "/nowhere"] {
        let rebound = house.ask("GET", path, &[("host", "attacker.example:9464")], "").await;
        rebound.refuses(403, "DNS rebinding");
        let foreign = house.ask("GET", path, &[("origin", "http://localhost:3000")], "").await;
        foreign.refuses(403, "is another site");
    }
    let own = format!("http://{}", house.address);
    assert_eq!(house.ask("GET", "/platform/info", &[("origin", &own)], "").await.status, 200);

    // A form needs no permission to post across origins; it is refused before it is read.
    let form = [("origin", "null"), ("content-type", "text/plain")];
    house.ask("POST", "/platform/drain", &form, r#"{"why":"x"}"#).await.refuses(403, "is another site");
    house
        .ask("POST", "/platform/drain", &[("content-type", "text/plain"), ANN], r#"{"why":"x"}"#)
        .await
        .refuses(400, "must be application/json");
    assert_eq!(house.app.phases().current(), Phase::Ready);
    house.stop().await;
}

#[tokio::test]
async fn a_public_listener_without_tokens_shows_health_and_metrics_only() {
    let house = ready(app_at("0.0.0.0:0", "").await).await;
    for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
        assert_eq!(house.get(path).await.status, 200, "{path}");
    }
    for path in ["/", "/platform/info", "/platform/config", "/platform/changes", "/platform/targets"] {
        house.get(path).await.refuses(403, "set `admin.token_file`");
    }
    house.change("POST", "/platform/drain", r#"{"why":"x"}"#).await.refuses(403, "set `admin.token_file`");
    house.stop().await;
}

#[tokio::test]
async fn tokens_are_people_and_a_changed_file_counts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    fs::write(&path, "bob:s3cret-of-bob\n").unwrap();
    let house = ready(app_at("0.0.0.0:0", &format!("token_file = \"{}\"\n", path.display())).await).await;

    // A proxy on this machine passes it on: as far away as another machine.
    let away = ("x-forwarded-for", "10.1.2.3");
    let stranger = house.ask("GET", "/platform/info", &[away, ANN], "").await;
    stranger.refuses(401, "needs a token");
    assert_eq!(stranger.header("www-authenticate"), Some("Bearer"));
    let bob = ("authorization", "Bearer s3cret-of-bob");
    assert_eq!(house.ask("GET", "/platform/info", &[away, bob], "").await.status, 200);

    fs::write(&path, "eve:s3cret-of-eve\n").unwrap();
    let refused = house.ask("GET", "/platform/info", &[away, bob], "").await;
    refused.refuses(401, "this token is not in `admin.token_file`");
    assert!(!refused.body.contains("s3cret"), "{}", refused.body);
    let eve = ("authorization", "Bearer s3cret-of-eve");
    let json = ("content-type", "application/json");
    let drained = house.ask("POST", "/platform/drain", &[away, eve, json], r#"{"why":"moving"}"#).await;
    assert_eq!(drained.json()["who"], "eve");
    assert_eq!(house.ended().await.code(), 0);
}

#[tokio::test]
async fn a_drain_by_hand_ends_the_run() {
    let house = ready(app("").await).await;
    house.ask("POST", "/platform/drain", &[], "").await.refuses(401, "x-platform-actor: YOUR-NAME");

    let reply = house.change("POST", "/platform/drain", r#"{"why": "this machine is replaced"}"#).await;
    let change = reply.json();
    assert_eq!((reply.status, &change["kind"], &change["who"]), (200, &json!("drain"), &json!("ann")));
    assert_eq!(change["why"], "this machine is replaced");
    let app = house.app.clone();
    let ended = house.ended().await;
    assert_eq!((ended.code(), ended.cut), (0, 0));
    let recorded = app.changes().latest();
    assert_eq!(recorded.iter().filter(|change| change.what == "draining").count(), 1, "{recorded:?}");
    assert_eq!(recorded[0].id, change["id"]);
}

#[tokio::test]
async fn what_cannot_be_meant_is_explained() {
    let house = ready(app("").await).await;
    for (method, path, body, status, told) in [
        ("PUT", "/platform/log", "{", 400, "the body was not understood: EOF"),
        ("PUT", "/platform/log", r#"{"filter":"debug"}"#, 400, "missing field `why`"),
        ("PUT", "/platform/log", r#"{"filter":"debug","why":"x","for":"1 day"}"#, 400, "not a duration"),
        ("PUT", "/platform/log", r#"{"filter":"debug","why":"x","for":"25h"}"#, 400, "at most 24h"),
        ("PUT", "/platform/log", r#"{"filter":"debgu","why":"x"}"#, 400, "`debgu` is no level"),
        ("PUT", "/platform/log", r#"{"level":"debug","why":"x"}"#, 400, r#"send {"filter": "#),
        ("POST", "/platform/drain", r#"{"why":"x","for":"1h"}"#, 400, "unknown field `for`"),
        ("DELETE", "/platform/changes/x", r#"{"why":"x"}"#, 400, "`x` is not the id of a change"),
        ("DELETE", "/platform/changes/99", r#"{"why":"x"}"#, 404, "no change 99 is kept"),
        ("DELETE", "/platform/changes/1", r#"{"why":"x"}"#, 400, "cannot be undone"),
        ("GET", "/platform/log", "", 405, "is not asked with GET; there is GET /livez"),
        ("POST", "/livez", "", 405, "is not asked with POST"),
        ("GET", "/nowhere", "", 404, "there is no /nowhere here; there is GET /livez"),
    ] {
        house.change(method, path, body).await.refuses(status, told);
    }
    assert_eq!(house.change("POST", "/livez", "").await.header("allow"), Some("GET,HEAD"));
    assert_eq!(house.app.changes().latest().len(), 2, "start and ready, and nothing else");
    house.stop().await;
}

#[tokio::test]
async fn what_keeps_it_from_listening_names_the_key() {
    let house = ready(app("").await).await;
    let second = app_at(&house.address.to_string(), "").await;
    let error = second.run_until_stopped().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Start);
    let told = error.to_string();
    assert!(told.contains("`admin.listen` (inline") && told.contains("address in use"), "{told}");

    let absent = app("token_file = \"/nowhere/tokens\"\n").await;
    let error = absent.run_until_stopped().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Start);
    assert!(error.to_string().contains("`admin.token_file`: /nowhere/tokens"), "{error}");

    let config = Config::builder().toml("[admin]\nlsten = \"127.0.0.1:0\"").load().unwrap();
    let wrong = App::builder("orders").config(config).start().await.unwrap();
    let error = Admin::new(&wrong).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("listen"), "{error}");
    house.stop().await;
}
