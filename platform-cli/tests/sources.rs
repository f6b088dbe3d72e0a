//! A service is the same whether its file, its program or its running process is asked.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use axum::Router;
use platform_core::{
    App, Result,
    config::Config,
    context,
    lifecycle::Phase,
    telemetry::catalogue::{Board, Catalogue, GaugeSpec, Runbook, Signal, Spec as _, Unit, above, sum},
};
use platform_http::{Client, Server, prepare};
use serde_json::json;

fn rules(folder: &Path, source: &[&str]) -> Output {
    ops(folder, &[&["rules"], source].concat())
}

fn ops(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
    command.arg("ops").args(arguments).current_dir(folder).output().unwrap()
}

fn read(folder: &Path) -> String {
    fs::read_to_string(folder.join("ops/rules/orders.yaml")).unwrap()
}

const FILE: &str = r#"
    [service]
    name = "orders"
    owner = "team-orders"
    reports_to = "commerce"
    [slo]
    availability = 0.999
    latency = { bound = "250ms", share = 0.99 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_and_a_running_process_say_the_same() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("platform.toml"), FILE).unwrap();
    let out = rules(folder.path(), &["."]);
    assert!(out.status.success(), "{out:?}");
    let of_file = read(folder.path());
    assert!(of_file.contains("le=\"0.25\""), "{of_file}");

    let config = format!(
        "{FILE}\n[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [discovery]\nregister = {{ mode = \"off\" }}"
    );
    let app = App::builder("orders").config(Config::builder().toml(config).load()?).start().await?;
    let _client = Client::builder(&app, "inventory").target("fixed://127.0.0.1:9").build()?;
    prepare(&app, Server::new(Router::new()))?;
    let running = context::spawn(app.clone().run_until_stopped());
    app.phases().reached(Phase::Ready).await;
    let admin = format!("http://{}", app.address("admin").unwrap());
    let asked = folder.path().to_owned();
    let same = tokio::task::spawn_blocking(move || rules(&asked, &["--from", &admin, "--check"]));
    let same = same.await.unwrap();
    assert!(same.status.success(), "{same:?}");

    app.stop("the test", "it is over");
    assert_eq!(running.await.unwrap()?.code(), 0);
    Ok(())
}

/// One that says this when it is asked so.
fn program(folder: &Path, name: &str, asked: &str, description: &str) -> PathBuf {
    let (program, said) = (folder.join(name), folder.join(format!("{name}.json")));
    fs::write(&said, description).unwrap();
    fs::write(&program, format!("#!/bin/sh\n[ \"$*\" = '{asked}' ] && cat {}\n", said.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_one_service_shows_is_told_by_its_process_and_its_program() -> Result<()> {
    static LEFT: GaugeSpec<()> = GaugeSpec::new("tickets_unsold", "Tickets that nobody has bought");
    const UNSOLD: Runbook =
        Runbook { name: "tickets-unsold", means: "Empty seats.", look: &["The shop."], act: &["Sell."] };
    let signal = Signal::new("Tickets unsold", sum(&LEFT), Unit::Count).on(Board::Own);
    let signal = signal.page_when(above(100.0), UNSOLD);
    let own = Catalogue::default().room("tickets", vec![LEFT.declared()], vec![signal]);
    let config = "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [discovery]\nregister = { mode = \"off\" }";
    let config = Config::builder().toml(format!("{FILE}\n{config}")).load()?;
    let app = App::builder("orders").config(config).own(own).start().await?;
    prepare(&app, Server::new(Router::new()))?;
    let running = context::spawn(app.clone().run_until_stopped());
    app.phases().reached(Phase::Ready).await;

    let place = tempfile::tempdir().unwrap();
    let (folder, admin) = (place.path().to_owned(), format!("http://{}", app.address("admin").unwrap()));
    let asked = move || ["rules", "boards"].map(|kind| ops(&folder, &[kind, "--from", &admin]));
    for out in tokio::task::spawn_blocking(asked).await.unwrap() {
        assert!(out.status.success(), "{out:?}");
    }
    let folder = place.path();
    assert_eq!(read(folder).matches("alert: TicketsUnsold").count(), 2, "the owner's and the parent's");
    let file = |path: &str| fs::read_to_string(folder.join(path)).unwrap();
    assert!(file("ops/runbooks/tickets-unsold.md").contains("Empty seats."));
    assert!(file("dashboards/own/own-orders.json").contains("sum(tickets_unsold{"));

    // Its program says the same, and whoever asks for what all have alone finds nothing left over.
    let described = |name: &str| {
        json!({ "identity": { "name": name, "owner": "team-orders", "reports_to": "commerce" },
            "slo": app.objectives(), "own": app.own() })
        .to_string()
    };
    let one = program(folder, "one", "--describe", &described("orders"));
    let one = one.to_str().unwrap();
    fs::write(folder.join("platform.toml"), FILE).unwrap();
    for same in [
        &["rules", "--from", one, "--check"][..],
        &["rules", ".", "--from", one, "--check"],
        &["boards", "--from", one, "--check"],
        &["boards", "--check"],
    ] {
        let out = ops(folder, same);
        assert!(out.status.success(), "{same:?}: {out:?}");
    }
    let other = program(folder, "other", "--describe", &described("shop"));
    let out = rules(folder, &["--from", one, "--from", other.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(
        told.contains("orders and shop both have an alert of their own whose runbook is tickets-unsold.md"),
        "{told}"
    );

    app.stop("the test", "it is over");
    assert_eq!(running.await.unwrap()?.code(), 0);
    Ok(())
}

#[test]
fn what_a_program_calls_its_files_leads_out_of_no_folder() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("here");
    fs::create_dir(&folder).unwrap();
    let page = |name: &str| json!({ "name": name, "text": "" });
    for (name, own, told) in [
        ("../orders", json!({}), "has no name"),
        ("orders", json!({ "board": page("../../orders.json") }), "is no name of a file"),
        ("orders", json!({ "runbooks": [page("/tmp/orders.md")] }), "is no name of a file"),
        ("orders", json!({ "runbooks": [page("..")] }), "is no name of a file"),
    ] {
        let said = json!({ "identity": { "name": name, "owner": "team-orders" }, "slo": {}, "own": own });
        let program = program(place.path(), "service", "--describe", &said.to_string());
        for kind in ["boards", "rules"] {
            let out = ops(&folder, &[kind, "--from", program.to_str().unwrap()]);
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.code() == Some(1) && said.contains(told), "{kind} {name}: {said}");
        }
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is written");
}

#[test]
fn a_program_is_asked_with_describe_and_its_own_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let description = r#"{"identity":{"name":"orders","owner":"team-orders"},"slo":{"availability":0.999},"stack":[{"target":"inventory"}]}"#;
    let program = program(folder.path(), "service", "--role orders --describe", description);
    let command = format!("{} --role orders", program.display());
    let out = rules(folder.path(), &["--from", &command]);
    assert!(out.status.success(), "{out:?}");
    assert!(read(folder.path()).contains("slo: availability"));
    let out = rules(folder.path(), &["--from", program.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1), "without its arguments it ends with 1: {out:?}");
}
