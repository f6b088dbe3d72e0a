//! What runs here, and with what?

use std::time::{SystemTime, UNIX_EPOCH};

use axum::{
    Json,
    extract::{Path, State},
};
use platform_core::{
    App,
    config::Effective,
    identity::Identity,
    ops::{Objectives, Own},
};
use serde::Serialize;
use serde_json::Value;

use super::{answer, server::Desk};
use crate::Problem;

/// What runs here.
#[derive(Debug, Serialize)]
pub(super) struct Info {
    identity: Identity,
    /// What it promises.
    slo: Objectives,
    phase: &'static str,
    started_unix_ms: u64,
    uptime_ms: u64,
    process_id: u32,
    /// The directives in force, which may be somebody's for a while.
    log_filter: String,
    built: Built,
}

/// What it was built with.
#[derive(Debug, Serialize)]
struct Built {
    platform: &'static str,
    rustc: &'static str,
    profile: &'static str,
}

/// The same for who asks once: `platform ops --from URL`.
#[derive(Debug, Serialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    info: Info,
    /// What it shows that no other does.
    own: Own,
}

/// `GET /platform/info`.
pub(super) async fn info(State(desk): State<Desk>) -> Json<Whole> {
    Json(Whole { info: of(&desk.app), own: desk.app.own().clone() })
}

/// The same of a process that is at hand.
pub(super) fn of(app: &App) -> Info {
    let started = app.started();
    Info {
        identity: Identity::clone(app.identity()),
        slo: app.objectives().clone(),
        phase: app.phases().current().as_str(),
        started_unix_ms: millis_since(started, UNIX_EPOCH),
        uptime_ms: millis_since(SystemTime::now(), started),
        process_id: std::process::id(),
        log_filter: app.logs().filter().text(),
        built: Built {
            platform: env!("CARGO_PKG_VERSION"),
            rustc: env!("PLATFORM_RUSTC"),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        },
    }
}

/// `GET /platform/config`: every value that was read, where it came from, secrets as `***`.
pub(super) async fn config(State(desk): State<Desk>) -> Json<Vec<Effective>> {
    Json(desk.app.config().effective())
}

/// `GET /platform/targets` and the other lists that rooms show here.
pub(super) async fn view(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<Vec<Value>>, Problem> {
    desk.views.show(&name).map(Json).ok_or_else(|| answer::unknown(&desk, &format!("/platform/{name}")))
}

/// Clocks of the wall may be set back; that is no reason to fail.
fn millis_since(later: SystemTime, earlier: SystemTime) -> u64 {
    let length = later.duration_since(earlier).unwrap_or_default();
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
