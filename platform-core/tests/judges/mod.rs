//! Other people's programs read what we expose. Shared by the tests of several crates.

use std::{
    env,
    io::Write as _,
    process::{Command, Output, Stdio},
};

/// promtool finds nothing wrong with a scrape in the older text format.
pub(crate) fn promtool_is_content(text: &str) {
    if let Some(output) = judged_by("promtool", &["check", "metrics"], &["--version"], text) {
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{text}");
    }
}

/// The reference parser reads a scrape in OpenMetrics; what `show` prints of each `sample` of each `family`, or
/// `None` where it is not installed.
pub(crate) fn reference_parser_reads(text: &str, show: &str) -> Option<String> {
    let script = format!(
        "import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    for sample in family.samples:
        {show}"
    );
    let python = env::var("PLATFORM_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let present = ["-c", "import prometheus_client.openmetrics.parser"];
    let output = judged_by(&python, &["-c", &script], &present, text)?;
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Feeds `text` to a program; `None` where it is not installed, unless it must be.
fn judged_by(program: &str, arguments: &[&str], present: &[&str], text: &str) -> Option<Output> {
    let probe = Command::new(program).args(present).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        let required = env::var_os("PLATFORM_REQUIRE_OUTSIDE").is_some_and(|value| value == "1");
        assert!(!required, "{program} {present:?} is missing");
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
