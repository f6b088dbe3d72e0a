//! What does an error become on the wire?
//!
//! The only table from our kinds to HTTP. A handler returns [`Problem`] as its error type and writes `?`; the
//! reply is a problem document (RFC 9457) with the reason, the layer, and what may be done about repeating.

use std::{borrow::Cow, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use platform_core::{Error, ErrorKind, context::wire};
use serde::Serialize;

use crate::Body;

/// A handler's error: an [`Error`] that knows how to be a reply.
#[derive(Clone, Debug)]
pub struct Problem(Error);

impl Problem {
    /// A problem of this kind, with its explanation for the caller.
    pub fn new(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Problem(Error::new(kind, detail))
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::new(ErrorKind::NotFound, detail)
    }

    /// The request makes no sense.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::new(ErrorKind::Invalid, detail)
    }

    /// The error behind it.
    pub fn error(&self) -> &Error {
        &self.0
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Problem(error)
    }
}

/// What the server's stack reads from a reply that is a problem, to count it and to complete the document.
#[derive(Clone, Debug)]
pub(crate) struct Refused(pub(crate) Error);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        refused(self.0).map(Body::into_axum)
    }
}

/// The reply to an error, which the server's stack completes.
pub(crate) fn refused(error: Error) -> http::Response<Body> {
    let mut response = render(&error, &Teller::default());
    response.extensions_mut().insert(Refused(error));
    response
}

/// Who tells, and how much.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Teller<'a> {
    /// The service that tells.
    pub(crate) service: &'a str,
    /// The request it is about.
    pub(crate) request_id: &'a str,
    /// Strangers are told what they did wrong, and nothing of what went wrong inside.
    pub(crate) to_strangers: bool,
}

/// The status of an error of this kind.
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::BreakerOpen
        | ErrorKind::BulkheadFull
        | ErrorKind::Draining
        | ErrorKind::NoEndpoints
        | ErrorKind::Overloaded
        | ErrorKind::Throttled => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Expired | ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Unreachable | ErrorKind::Upstream => StatusCode::BAD_GATEWAY,
        // In logs only: nobody is there to read it.
        ErrorKind::Abandoned => {
            StatusCode::from_u16(CLIENT_CLOSED_REQUEST).expect("a status has three digits")
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The problem document, with the marks and delays that machines read.
pub(crate) fn render(error: &Error, teller: &Teller<'_>) -> http::Response<Body> {
    render_as(status(error.kind()), error, teller)
}

/// The same where HTTP knows a status of its own: a method that is not allowed is no kind of ours.
pub(crate) fn render_as(status: StatusCode, error: &Error, teller: &Teller<'_>) -> http::Response<Body> {
    let ours = status.is_server_error() && teller.to_strangers;
    let hint = error.hint();
    let document = Document {
        r#type: Type(error.kind()),
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail: if ours { "" } else { error.detail() },
        instance: teller.request_id,
        reason: error.kind().as_str(),
        layer: if ours { "" } else { error.layer() },
        service: teller.service,
        target: error.target().filter(|_| !ours).unwrap_or_default(),
        retry_after_ms: hint.after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
    };
    // Most are refusals, of which a busy server makes more than anything else: it grows once at most.
    let mut json = Vec::with_capacity(FRAME + error.detail().len());
    serde_json::to_writer(&mut json, &document).expect("a document of texts and numbers is always JSON");
    let mut response = http::Response::new(Body::reply(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    if let Some(mark) = hint.mark {
        headers.insert(RETRY.clone(), HeaderValue::from_static(mark.as_str()));
    }
    if let Some(after) = hint.after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
    }
    response
}

/// `retry-after` speaks whole seconds, at least one: coming back too early is worse than a little late.
pub(crate) fn whole_seconds(after: Duration) -> u64 {
    after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0)).max(1)
}

/// What a 401 or 403 says of tokens (RFC 6750, section 3); the texts are ours or were checked, so that none ends a
/// quoted string.
pub(crate) fn challenge(error: Option<(&str, &str)>, scopes: &[&str]) -> HeaderValue {
    let mut text = "Bearer".to_owned();
    if let Some((error, why)) = error {
        text.push_str(&format!(" error=\"{error}\", error_description=\"{why}\""));
    }
    if !scopes.is_empty() {
        text.push_str(&format!("{} scope=\"{}\"", if error.is_some() { "," } else { "" }, scopes.join(" ")));
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: Type,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instance: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    layer: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    service: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// What kind of problem it is, as a URI.
struct Type(ErrorKind);

impl Serialize for Type {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("urn:platform:problem:{}", self.0))
    }
}

/// A document without its detail, with names of usual length.
const FRAME: usize = 352;
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
static RETRY: &HeaderName = &wire::RETRY;
/// nginx's status for a client that closed its request; it stands in logs.
const CLIENT_CLOSED_REQUEST: u16 = 499;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};

    use super::*;

    async fn document(response: http::Response<Body>) -> Value {
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    /// The table of the contract, row by row.
    #[test]
    fn every_kind_has_its_status_and_mark() {
        for (kind, expected, mark) in [
            (ErrorKind::Invalid, 400, None),
            (ErrorKind::Unauthenticated, 401, None),
            (ErrorKind::Forbidden, 403, None),
            (ErrorKind::NotFound, 404, None),
            (ErrorKind::BodyTooLarge, 413, None),
            (ErrorKind::HeadersTooLarge, 431, None),
            (ErrorKind::RateLimited, 429, Some("safe")),
            (ErrorKind::Overloaded, 503, Some("safe")),
            (ErrorKind::Draining, 503, Some("safe")),
            (ErrorKind::Expired, 504, None),
            (ErrorKind::Timeout, 504, None),
            (ErrorKind::BreakerOpen, 503, Some("never")),
            (ErrorKind::Throttled, 503, Some("never")),
            (ErrorKind::NoEndpoints, 503, Some("never")),
            (ErrorKind::BulkheadFull, 503, Some("never")),
            (ErrorKind::Unreachable, 502, Some("never")),
            (ErrorKind::Upstream, 502, Some("never")),
            (ErrorKind::Panic, 500, None),
            (ErrorKind::Internal, 500, None),
            (ErrorKind::Abandoned, 499, None),
        ] {
            let response = render(&Error::new(kind, "x"), &Teller::default());
            assert_eq!(response.status().as_u16(), expected, "{kind}");
            let seen = response.headers().get("platform-retry").map(|mark| mark.to_str().unwrap());
            assert_eq!(seen, mark, "{kind}");
        }
    }

    #[tokio::test]
    async fn the_document_says_what_where_and_when_to_come_back() {
        let error = Error::new(ErrorKind::Overloaded, "42 requests wait").at_layer("concurrency");
        let error = error.retry_after(Duration::from_millis(1_200));
        let teller = Teller { service: "orders", request_id: "abc", to_strangers: false };
        let response = render(&error, &teller);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "2", "never too early");
        assert_eq!(
            document(response).await,
            json!({
                "type": "urn:platform:problem:overloaded", "title": "Service Unavailable", "status": 503,
                "detail": "42 requests wait", "instance": "abc", "reason": "overloaded", "layer": "concurrency",
                "service": "orders", "retry_after_ms": 1200,
            })
        );
    }

    #[tokio::test]
    async fn strangers_learn_their_own_mistakes_and_not_ours() {
        let teller = Teller { service: "edge", request_id: "abc", to_strangers: true };
        let ours = render(&Error::new(ErrorKind::Internal, "no such table: users").at_layer("db"), &teller);
        let ours = document(ours).await;
        assert_eq!((ours.get("detail"), ours.get("layer")), (None, None));
        let theirs = document(render(&Error::new(ErrorKind::Invalid, "no id"), &teller)).await;
        assert_eq!(theirs["detail"], "no id");
    }
}
