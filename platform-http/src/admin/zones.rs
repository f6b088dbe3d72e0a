//! Which zones are asked, for a while?
//!
//! For the operator who sees that a zone is going down before the guards do, or who wants to work on it in peace.

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
};
use http::HeaderMap;
use platform_core::app::{Change, ChangeKind};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    answer::Who,
    body::{self, Ask, Length, Why},
    in_force::{By, Undo},
    server::Desk,
};
use crate::Problem;

/// A zone that is to be left.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evacuation {
    why: Why,
    #[serde(default, rename = "for")]
    length: Length,
}

impl Ask for Evacuation {
    const EXAMPLE: &'static str = r#"{"why": "INC-42, the zone's network flaps", "for": "30m"}"#;
}

/// `PUT /platform/zones/ZONE`: nobody there is asked while somebody elsewhere is healthy.
pub(super) async fn evacuate(
    State(desk): State<Desk>,
    Path(zone): Path<String>,
    Extension(Who(who)): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Change>, Problem> {
    let Evacuation { why, length } = body::read(&headers, body).await?;
    let discovery = crate::discovery(&desk.app)?;
    let known = discovery.zones();
    if !known.contains(&zone) {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Problem::not_found(format!(
            "no target has an endpoint in zone `{zone}`; there is {known}"
        )));
    }
    let by = By { who, why: why.0, length: length.0 };
    let subject = format!("zone {zone}");
    let change = desk.in_force.make((ChangeKind::Zone, subject), by, Instant::now(), move || {
        discovery.evacuate(&zone);
        let what = format!("zone {zone} evacuated");
        let undo: Undo = Box::new(move || {
            discovery.readmit(&zone);
            Ok(format!("zone {zone} asked again"))
        });
        Ok((what, undo))
    })?;
    Ok(Json(change))
}
