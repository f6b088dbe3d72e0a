//! Is it alive, has it started, may it be asked?
//!
//! A probe reads the status: 200 or 503. A person adds `?verbose` and reads each check, a program asks for JSON.

use std::fmt::Write as _;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri};
use platform_core::lifecycle::{Finding, Need, Report};

use super::{answer::accepts, server::Desk};

/// `GET /livez`.
pub(super) async fn live(State(desk): State<Desk>, uri: Uri, headers: HeaderMap) -> Response {
    reply("live", &desk.app.health().live(), &uri, &headers)
}

/// `GET /startupz`.
pub(super) async fn started(State(desk): State<Desk>, uri: Uri, headers: HeaderMap) -> Response {
    reply("started", &desk.app.health().started(), &uri, &headers)
}

/// `GET /readyz`.
pub(super) async fn ready(State(desk): State<Desk>, uri: Uri, headers: HeaderMap) -> Response {
    reply("ready", &desk.app.health().ready().await, &uri, &headers)
}

fn reply(word: &str, report: &Report, uri: &Uri, headers: &HeaderMap) -> Response {
    let status = if report.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if accepts(headers, "application/json") {
        return (status, Json(report)).into_response();
    }
    let text = if is_verbose(uri) {
        verbose(word, report)
    } else if report.ok {
        "ok\n".to_owned()
    } else {
        format!("not {word}: {}\n", reason(report))
    };
    (status, text).into_response()
}

fn is_verbose(uri: &Uri) -> bool {
    let mut keys = uri.query().unwrap_or_default().split('&').map(|pair| pair.split('=').next());
    keys.any(|key| key == Some("verbose"))
}

/// What keeps it: the checks that fail, else the phase.
fn reason(report: &Report) -> String {
    let failing = report.failing();
    if failing.is_empty() { format!("the process is {}", report.phase) } else { failing }
}

/// A line for each check, in the form of Kubernetes' own.
fn verbose(word: &str, report: &Report) -> String {
    let mut text = format!("phase {}\n", report.phase);
    for Finding { name, ok, need, reason } in &report.checks {
        let _ = match (ok, need) {
            (true, _) => writeln!(text, "[+] {name} ok"),
            (false, Need::Required) => writeln!(text, "[-] {name} failed: {reason}"),
            (false, Need::Optional) => writeln!(text, "[-] {name} failed, and is optional: {reason}"),
        };
    }
    let not = if report.ok { "" } else { "not " };
    let _ = writeln!(text, "{not}{word}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, need: Need, reason: &str) -> Finding {
        Finding { name: name.to_owned(), ok: reason.is_empty(), need, reason: reason.to_owned() }
    }

    #[test]
    fn every_check_has_its_line() {
        let checks = vec![
            found("database", Need::Required, ""),
            found("queue", Need::Required, "refused"),
            found("cache", Need::Optional, "slow"),
        ];
        let report = Report { ok: false, phase: "ready", checks };
        assert_eq!(
            verbose("ready", &report),
            "phase ready\n[+] database ok\n[-] queue failed: refused\n\
             [-] cache failed, and is optional: slow\nnot ready\n"
        );
        assert_eq!(reason(&report), "queue: refused");
    }

    #[test]
    fn without_a_failing_check_the_phase_is_the_reason() {
        let report = Report { ok: false, phase: "draining", checks: Vec::new() };
        assert_eq!(reason(&report), "the process is draining");
    }

    #[test]
    fn verbose_is_a_key_of_the_query() {
        for (uri, expected) in [
            ("/readyz?verbose", true),
            ("/readyz?a=b&verbose=1", true),
            ("/readyz", false),
            ("/readyz?verbosely", false),
        ] {
            assert_eq!(is_verbose(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
