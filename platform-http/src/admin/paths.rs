//! What may be asked: the list for people who guessed wrong, and for those who look around.

use std::fmt::Write as _;

use platform_core::identity::Identity;

use super::{access::Right, server::Desk};

/// One path.
struct Listed {
    method: &'static str,
    path: &'static str,
    right: Right,
    about: &'static str,
}

/// Every path but the views of other rooms; a test holds it equal to what is routed.
const ALL: [Listed; 24] = [
    path("GET", "/livez", Right::Open, "does the process live; ?verbose names each check"),
    path("GET", "/startupz", Right::Open, "has it started"),
    path("GET", "/readyz", Right::Open, "may it be asked"),
    path("GET", "/metrics", Right::Open, "OpenMetrics, or the older text"),
    path("GET", "/", Right::Open, "the live page for a browser; this list for who may read"),
    path("GET", "/platform/state", Right::Read, "what the live page shows now"),
    path("GET", "/platform/stream", Right::Read, "the same once a second, as server-sent events; ?of=fleet"),
    path("GET", "/platform/fleet", Right::Read, "every instance that discovery knows, merged"),
    path("GET", "/platform/pulse", Right::Open, "what the fleet view of another instance reads"),
    path("GET", "/platform/info", Right::Read, "whose process this is, and since when"),
    path("GET", "/platform/config", Right::Read, "every value that was read, and where it came from"),
    path("GET", "/platform/changes", Right::Read, "the last 200 changes: who, what, why"),
    path("DELETE", "/platform/changes/{id}", Right::Change, "undo a change: {why}"),
    path("PUT", "/platform/log", Right::Change, "another log filter: {filter, why, for}"),
    path("GET", "/platform/faults", Right::Read, "what goes wrong on purpose, and for how long"),
    path("POST", "/platform/faults", Right::Change, "a fault: {name, target, delay, abort, share, why, for}"),
    path("DELETE", "/platform/faults/{name}", Right::Change, "stop a fault: {why}"),
    path("DELETE", "/platform/faults", Right::Change, "the kill switch, stops every fault: {why}"),
    path("PUT", "/platform/modes/{guard}", Right::Change, "a guard's mode: {mode, target, why, for}"),
    path("PUT", "/platform/modes/server/{guard}", Right::Change, "the server's own guard: {mode, why, for}"),
    path("PUT", "/platform/breakers/{target}", Right::Change, "hold a breaker: {state, why, for}"),
    path("PUT", "/platform/policy/{client}", Right::Change, "a part of a policy: {policy, why, for}"),
    path("PUT", "/platform/zones/{zone}", Right::Change, "ask nobody in a zone: {why, for}"),
    path("POST", "/platform/drain", Right::Change, "end this process, in order: {why}"),
];

/// `GET /` for who has no browser.
pub(super) fn index(desk: &Desk) -> String {
    let app = &desk.app;
    let identity = app.identity();
    let version = if identity.version.is_empty() { "without a version" } else { &identity.version };
    let phase = app.phases().current().as_str();
    let Identity { name, variant, instance, .. } = &**identity;
    let mut text = format!("{name} {version} ({variant}), {instance}, {phase}\n");
    for (key, value) in [
        ("why", &identity.why),
        ("owner", &identity.owner),
        ("runbook", &identity.runbook),
        ("zone", &identity.zone),
    ] {
        if !value.is_empty() {
            let _ = writeln!(text, "{key}: {value}");
        }
    }
    text.push('\n');
    for listed in &ALL {
        let Listed { method, path, right, about } = listed;
        let _ = writeln!(text, "{method:<6} {path:<30} {:<8} {about}", who(*right));
    }
    for view in desk.views.names() {
        let path = format!("/platform/{view}");
        let about = match view.as_str() {
            "stack" => "the layers of each client, in order, with what is set",
            "targets" => "who is called, where from they are known, and each endpoint",
            _ => "what a room of this process shows",
        };
        let _ = writeln!(text, "GET    {path:<30} {:<8} {about}", who(Right::Read));
    }
    text
}

/// All of it on one line.
pub(super) fn line(desk: &Desk) -> String {
    let views = desk.views.names().into_iter().map(|view| format!("GET /platform/{view}"));
    let all = ALL.iter().map(|listed| format!("{} {}", listed.method, listed.path)).chain(views);
    all.collect::<Vec<_>>().join(", ")
}

fn who(right: Right) -> &'static str {
    match right {
        Right::Open => "anybody",
        Right::Read => "reader",
        Right::Change => "by name",
    }
}

const fn path(method: &'static str, path: &'static str, right: Right, about: &'static str) -> Listed {
    Listed { method, path, right, about }
}
