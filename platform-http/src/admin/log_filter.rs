//! Which log lines are written, for a while?

use axum::{Extension, Json, body::Body, extract::State};
use http::HeaderMap;
use platform_core::{
    Error, ErrorKind,
    app::{Change, ChangeKind},
};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    answer::Who,
    body::{self, Ask, Length, Why},
    in_force::{By, Undo},
    server::Desk,
};
use crate::Problem;

/// Other directives for the log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    filter: String,
    why: Why,
    #[serde(default, rename = "for")]
    length: Length,
}

impl Ask for Filter {
    const EXAMPLE: &'static str = r#"{"filter": "info,orders::stock=debug", "why": "INC-42", "for": "30m"}"#;
}

/// `PUT /platform/log`.
pub(super) async fn put(
    State(desk): State<Desk>,
    Extension(Who(who)): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Change>, Problem> {
    let Filter { filter, why, length } = body::read(&headers, body).await?;
    let by = By { who, why: why.0, length: length.0 };
    let logs = desk.app.logs().clone();
    let change = desk.in_force.make((ChangeKind::Log, SUBJECT), by, Instant::now(), move || {
        let before = logs.filter().set(&filter).map_err(asked_for)?;
        let undo: Undo = Box::new(move || {
            logs.filter().set(&before)?;
            Ok(format!("log filter `{before}`"))
        });
        Ok((format!("log filter `{filter}`"), undo))
    })?;
    Ok(Json(change))
}

/// In a file a bad filter is a bad configuration; here it is the mistake of who asks.
fn asked_for(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Config => Error::new(ErrorKind::Invalid, error.detail().to_owned()),
        _ => error,
    }
}

const SUBJECT: &str = "log";
