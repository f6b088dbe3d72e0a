//! Other people's programs read a live `/metrics`.

use std::{
    env,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use super::house::{app, ready};

/// What a scraper gets from a service that has done something.
async fn scraped(accept: &str) -> String {
    let house = ready(app("").await).await;
    house.app.changes().record(platform_core::app::ChangeKind::Config, "ann", "a \"quoted\" \\ thing\n", "");
    let text = house.ask("GET", "/metrics", &[("accept", accept)], "").await.body;
    house.stop().await;
    text
}

/// Feeds `text` to a program; `None` where it is not installed.
fn judged_by(program: &str, arguments: &[&str], present: &[&str], text: &str) -> Option<Output> {
    let probe = Command::new(program).args(present).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        assert!(
            env::var_os("PLATFORM_REQUIRE_OUTSIDE").is_none_or(|value| value != "1"),
            "{program} {present:?} is missing"
        );
        eprintln!("skipped: {program} {present:?} is missing");
        return None;
    }
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it ran a moment ago");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    Some(child.wait_with_output().expect("it ends"))
}

#[tokio::test]
async fn promtool_finds_nothing_wrong() {
    let text = scraped("*/*").await;
    let Some(output) = judged_by("promtool", &["check", "metrics"], &["--version"], &text) else { return };
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{text}");
}

#[tokio::test]
async fn the_reference_parser_reads_it() {
    const READ: &str = "import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    for sample in family.samples:
        print(family.name, family.type, sample.name, sample.labels.get('kind', ''), float(sample.value))";
    let python = env::var("PLATFORM_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let text = scraped("application/openmetrics-text").await;
    let probe = ["-c", "import prometheus_client.openmetrics.parser"];
    let Some(output) = judged_by(&python, &["-c", READ], &probe, &text) else { return };
    let read = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "platform_changes counter platform_changes_total config 1.0",
        "platform_service info platform_service_info  1.0",
    ] {
        assert!(read.lines().any(|known| known == line), "{line} is not in\n{read}");
    }
}
