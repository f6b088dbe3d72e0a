//! How is this one process told to go?

use axum::{Extension, Json, body::Body, extract::State};
use http::HeaderMap;
use platform_core::app::Change;
use serde::Deserialize;

use super::{
    answer::Who,
    body::{self, Ask, Why},
    server::Desk,
};
use crate::Problem;

/// Ends the process, in order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drain {
    why: Why,
}

impl Ask for Drain {
    const EXAMPLE: &'static str = r#"{"why": "this machine is replaced"}"#;
}

/// `POST /platform/drain`: there is no way back, so it has no end.
pub(super) async fn post(
    State(desk): State<Desk>,
    Extension(Who(who)): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Change>, Problem> {
    let Drain { why } = body::read(&headers, body).await?;
    Ok(Json(desk.app.stop(who, why.0)))
}
