//! What is counted?

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use platform_core::telemetry::{OPENMETRICS, PLAIN};

use super::{answer::accepts, server::Desk};

/// `GET /metrics`: OpenMetrics with exemplars for who asks for it, else the older text.
pub(super) async fn scrape(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    let metrics = desk.app.metrics();
    let (text, content_type) = if accepts(&headers, "application/openmetrics-text") {
        (metrics.encode(), OPENMETRICS)
    } else {
        (metrics.encode_plain(), PLAIN)
    };
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], text).into_response()
}
