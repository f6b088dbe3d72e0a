//! A service is the same whether its file, its program or its running process is asked.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use axum::Router;
use platform_core::{App, Result, config::Config, context, lifecycle::Phase};
use platform_http::{Client, Server, prepare};

fn rules(folder: &Path, source: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
    command.args(["ops", "rules"]).args(source).current_dir(folder).output().unwrap()
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

#[test]
fn a_program_is_asked_with_describe_and_its_own_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("service");
    let description = r#"{"identity":{"name":"orders","owner":"team-orders"},"slo":{"availability":0.999},"stack":[{"target":"inventory"}]}"#;
    let script = format!("#!/bin/sh\n[ \"$*\" = '--role orders --describe' ] && echo '{description}'\n");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let command = format!("{} --role orders", program.display());
    let out = rules(folder.path(), &["--from", &command]);
    assert!(out.status.success(), "{out:?}");
    assert!(read(folder.path()).contains("slo: availability"));
    let out = rules(folder.path(), &["--from", program.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1), "without its arguments it ends with 1: {out:?}");
}
