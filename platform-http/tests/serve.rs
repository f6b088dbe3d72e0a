//! What a service's `main` prepares.

use std::process::ExitCode;

use platform_core::{App, ErrorKind, config::Config};
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
