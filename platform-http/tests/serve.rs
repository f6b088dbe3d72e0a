//! What a service's `main` prepares.

use std::process::ExitCode;

use platform_core::{App, ErrorKind, config::Config, context, lifecycle::Phase};
use platform_http::{Client, Server, prepare, serve};

async fn prepared(toml: &str) -> platform_core::Result<()> {
    let app = App::builder("orders").config(Config::builder().toml(toml).load()?).start().await?;
    prepare(&app, Server::new(axum::Router::new()))
}

#[tokio::test]
async fn routes_that_could_not_be_made_end_with_their_own_status() {
    let config = Config::builder()
        .toml("[clients.catalog]\npolicy = { timeout = \"soon\" }")
        .load()
        .expect("good TOML");
    let app = App::builder("edge").config(config).start().await.expect("a good start");
    let routes = Client::for_target(&app, "catalog").map(|catalog| axum::Router::new().with_state(catalog));
    let status = serve(app, routes).await.expect("what went wrong is in the status");
    assert_eq!(status, ExitCode::from(78));
}

#[tokio::test]
async fn every_section_of_a_server_is_judged_before_anything_starts() {
    prepared("").await.expect("the defaults are fine");
    for (toml, key) in [
        ("[server]\nlisten = 8080", "server.listen"),
        ("[server]\nlisten = \":8080\"", "inline:2: `server.listen` is \":8080\""),
        ("[admin]\nlisten = \"9464\"", "inline:2: `admin.listen` is \"9464\""),
        ("[server]\nlisen = \"127.0.0.1:0\"", "server.listen"),
        ("[server.limits]\nheaders = \"1KiB\"", "server.limits.headers"),
        ("[server.limits]\nbody = \"8MB\"", "server.limits.body"),
        ("[server.times]\nkeep_alive = \"0s\"", "server.times.keep_alive"),
        ("[server.policy]\ntimeout = \"0ms\"", "server.policy.timeout"),
        ("[server]\ntrust = { inbound = \"everybody\" }", "server.trust.inbound"),
        ("[admin]\nlisten = 1", "admin.listen"),
        ("[discovery.dir]\npoll = \"often\"", "discovery.dir.poll"),
        ("[discovery.dir]\npoll = \"1ms\"", "inline:2: `discovery.dir.poll` is 1ms"),
        ("[discovery]\netcd = { endpoints = [\"etcd:2379\"] }", "inline:2: `discovery.etcd.endpoints` holds"),
    ] {
        let error = prepared(toml).await.expect_err(toml);
        assert_eq!(error.kind(), ErrorKind::Config, "{toml}: {error}");
        assert!(error.to_string().contains(key), "{toml}: {error}");
    }
}

/// A rate begins with the second reading of a series, so a failure that is the first of its series is seen by nobody.
#[tokio::test]
async fn what_is_promised_has_its_bound_and_its_failures_from_0_on() {
    let scraped = async |promise: &str| {
        let toml = format!(
            "{promise}\n[service]\nowner = \"team-orders\"\n[server]\nlisten = \"127.0.0.1:0\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n[discovery]\nregister = {{ mode = \"off\" }}"
        );
        let config = Config::builder().toml(toml).load().expect("good TOML");
        let app = App::builder("orders").config(config).start().await.expect("a good start");
        let routes = axum::Router::new().route("/orders", axum::routing::get(|| async { "none" }));
        prepare(&app, Server::new(routes)).expect("nothing is wrong with it");
        let running = context::spawn(app.clone().run_until_stopped());
        app.phases().reached(Phase::Ready).await;
        let address = app.address("http").expect("ready, so it listens");
        let client = Client::builder(&app, "myself").target(format!("fixed://{address}"));
        let client = client.build().expect("a client");
        client.get("/orders").send().await.expect("a reply");
        let text = app.metrics().encode();
        app.stop("the test", "it is over");
        assert_eq!(running.await.expect("no panic").expect("it ran").code(), 0);
        text
    };
    let of = |text: &str, words: &[&str]| {
        let mut lines = text.lines().filter(|line| line.starts_with("http_server_request_duration_seconds"));
        lines.find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
    };
    let failed = ["_count", "http_route=\"/orders\"", "status_code=\"500\"", "method=\"GET\""];
    let promised =
        scraped("[slo]\navailability = 0.999\nlatency = { bound = \"333ms\", share = 0.99 }").await;
    assert!(of(&promised, &failed).is_some_and(|line| line.ends_with(" 0")), "{promised}");
    assert!(of(&promised, &["_bucket", "status_code=\"200\"", "le=\"0.333\""]).is_some(), "{promised}");
    let nothing = scraped("").await;
    assert_eq!((of(&nothing, &failed), of(&nothing, &["le=\"0.333\""])), (None, None));
}

#[tokio::test]
async fn a_promise_that_nobody_answers_for_is_refused() {
    let error = prepared("[slo]\navailability = 0.999").await.expect_err("there is no owner");
    assert!(error.to_string().contains("set `owner` in [service]"), "{error}");
}
