//! What changed, and how is it undone?

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
};
use http::HeaderMap;
use platform_core::app::Change;
use serde::Deserialize;

use super::{
    answer::Who,
    body::{self, Ask, Why},
    server::Desk,
};
use crate::Problem;

/// Takes a change back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Undo {
    why: Why,
}

impl Ask for Undo {
    const EXAMPLE: &'static str = r#"{"why": "found it"}"#;
}

/// `GET /platform/changes`: newest first.
pub(super) async fn latest(State(desk): State<Desk>) -> Json<Vec<Change>> {
    Json(desk.app.changes().latest())
}

/// `DELETE /platform/changes/ID`.
pub(super) async fn undo(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    Extension(Who(who)): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Change>, Problem> {
    let id: u64 = id.parse().map_err(|_| {
        Problem::invalid(format!("`{id}` is not the id of a change; GET /platform/changes lists them"))
    })?;
    let Undo { why } = body::read(&headers, body).await?;
    Ok(Json(desk.in_force.undo(id, &who, &why.0)?))
}
