//! A reply, and how to read it.

use std::{fmt, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Uri, header, response::Parts};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use platform_core::{
    Error, ErrorKind, Outcome, Result,
    call::CarryReply as _,
    deadline::{Limit, within},
    stack::Answered,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Client, Reply};
use crate::{Body, body::BoxError};

/// A reply. Its body is read under what is left of the call's limit, and no further than
/// `connect.max_response`.
pub struct Response {
    head: Parts,
    body: Body,
    call: (Method, Uri),
    target: Arc<str>,
    endpoint: Option<Arc<str>>,
    attempt: u16,
    limit: Option<Limit>,
    max: u64,
}

impl Response {
    pub(super) fn new(client: &Client, call: (Method, Uri), answered: Answered<Reply>) -> Self {
        let Answered { reply, endpoint, attempt, limit } = answered;
        let (head, body) = reply.into_parts();
        let max = client.settings().connect.max_response;
        Response { head, body, call, target: Arc::clone(client.target()), endpoint, attempt, limit, max }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Who answered: the endpoint's address.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Makes an error of every status from 400 on; a redirect is not followed and no error either.
    ///
    /// # Errors
    /// [`ErrorKind::Upstream`] with the status and, if the reply is a problem document, its explanation.
    pub async fn error_for_status(self) -> Result<Self> {
        let status = self.status();
        if status.is_client_error() || status.is_server_error() {
            Err(self.into_error().await)
        } else {
            Ok(self)
        }
    }

    /// The body as JSON. A reply that is no success (2xx) is the error of
    /// [`error_for_status`](Self::error_for_status): a problem document must not pass for a `T` whose fields
    /// are all optional.
    ///
    /// # Errors
    /// That one; what [`bytes`](Self::bytes) fails with; and [`ErrorKind::Upstream`] for what is no such JSON.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T> {
        if !self.status().is_success() {
            return Err(self.into_error().await);
        }
        let (bytes, place) = self.read(None).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let text = format!("{} answered no {}: {error}", place.call(), short(std::any::type_name::<T>()));
            place.error(ErrorKind::Upstream, text).with_source(error)
        })
    }

    /// The body's bytes, whatever the status.
    ///
    /// # Errors
    /// [`ErrorKind::Upstream`] for a body that is too large or that was cut, [`ErrorKind::Timeout`] for one
    /// that did not come in time.
    pub async fn bytes(self) -> Result<Bytes> {
        Ok(self.read(None).await?.0)
    }

    /// The body's text, whatever the status.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes); and [`ErrorKind::Upstream`] for what is not UTF-8.
    pub async fn text(self) -> Result<String> {
        let (bytes, place) = self.read(None).await?;
        String::from_utf8(bytes.into()).map_err(|error| {
            place.error(ErrorKind::Upstream, format!("{} answered no UTF-8 text: {error}", place.call()))
        })
    }

    /// The reply as plain parts: for streams, which are longer than any limit and read as they come.
    pub fn into_http(self) -> http::Response<Body> {
        http::Response::from_parts(self.head, self.body)
    }

    async fn into_error(self) -> Error {
        let status = self.status();
        let outcome = self.body.verdict().map_or(Outcome::ServerFault, |verdict| verdict.outcome);
        let told =
            self.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(PROBLEM));
        let answered = |place: &Place, why: String| {
            place.error(ErrorKind::Upstream, format!("{} answered {status}{why}", place.call()))
        };
        let (place, problem) = if told {
            let place = self.place();
            // Whatever goes wrong while reading the explanation, the status is what is told.
            let read = self.read(Some(MAX_PROBLEM)).await.ok();
            (place, read.and_then(|(bytes, _)| serde_json::from_slice::<Problem>(&bytes).ok()))
        } else {
            (self.place(), None)
        };
        answered(&place, problem.map(|problem| problem.told()).unwrap_or_default()).with_outcome(outcome)
    }

    async fn read(self, max: Option<u64>) -> Result<(Bytes, Place)> {
        let place = self.place();
        let Response { body, limit, max: largest, .. } = self;
        let max = max.unwrap_or(largest);
        match within(limit, collect(body, max)).await {
            Ok(Ok(bytes)) => Ok((bytes, place)),
            Ok(Err(Cut::TooLarge)) => {
                let text = format!("the reply is larger than {max} bytes (connect.max_response)");
                Err(place.error(ErrorKind::Upstream, text))
            }
            Ok(Err(Cut::Lost(error))) => {
                let text = format!("the connection was lost while the reply was read: {error}");
                Err(place.error(ErrorKind::Upstream, text).with_source(error))
            }
            Err(limit) => Err(place.put(limit.exceeded_by("the reply's end was not there"))),
        }
    }

    fn place(&self) -> Place {
        Place {
            call: self.call.clone(),
            target: Arc::clone(&self.target),
            endpoint: self.endpoint.clone(),
            attempt: self.attempt,
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.head.status)
            .field("target", &self.target)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// Where a reply came from, for errors.
struct Place {
    call: (Method, Uri),
    target: Arc<str>,
    endpoint: Option<Arc<str>>,
    attempt: u16,
}

impl Place {
    /// What was asked, without the query: that may hold what no log should.
    fn call(&self) -> String {
        format!("{} {}", self.call.0, self.call.1.path())
    }

    fn error(&self, kind: ErrorKind, text: String) -> Error {
        self.put(Error::new(kind, text))
    }

    fn put(&self, error: Error) -> Error {
        let error = error.at_target(&self.target).at_attempt(self.attempt);
        match &self.endpoint {
            Some(endpoint) => error.at_endpoint(endpoint),
            None => error,
        }
    }
}

/// Why a body was not read to its end.
enum Cut {
    TooLarge,
    Lost(BoxError),
}

async fn collect(mut body: Body, max: u64) -> Result<Bytes, Cut> {
    let announced = body.size_hint().lower();
    if announced > max {
        return Err(Cut::TooLarge);
    }
    // Most replies are one frame; it is handed on as it came.
    let mut first: Option<Bytes> = None;
    let mut more = BytesMut::new();
    let mut size: u64 = 0;
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(Cut::Lost)?.into_data() else { continue };
        size += bytes.len() as u64;
        if size > max {
            return Err(Cut::TooLarge);
        }
        match first.take() {
            None if more.is_empty() => first = Some(bytes),
            None => more.extend_from_slice(&bytes),
            Some(begin) => {
                // What was announced is believed only as far as it costs little.
                more.reserve(usize::try_from(announced.min(BELIEVED).max(size)).unwrap_or_default());
                more.extend_from_slice(&begin);
                more.extend_from_slice(&bytes);
            }
        }
    }
    Ok(first.unwrap_or_else(|| more.freeze()))
}

/// What is read of a problem document (RFC 9457).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    reason: String,
    layer: String,
    service: String,
}

impl Problem {
    fn told(&self) -> String {
        let Problem { title, detail, reason, layer, service } = self;
        let what = if detail.is_empty() { title } else { detail };
        let mut text = String::new();
        for (before, part) in [(", ", reason), (": ", what), (" [service=", service), (" layer=", layer)] {
            if !part.is_empty() {
                text.push_str(before);
                // A stranger's document has a place in a log line, not a page.
                text.extend(part.chars().take(MAX_TOLD).filter(|c| !c.is_control()));
            }
        }
        if !service.is_empty() {
            text.push(']');
        }
        text
    }
}

/// `alloc::vec::Vec<shop::Stock>` as people write it: `Vec<Stock>`.
fn short(name: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in name.chars() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
        } else if c == ':' {
            word.clear();
        } else {
            out.push_str(&word);
            word.clear();
            out.push(c);
        }
    }
    out + &word
}

/// RFC 9457.
const PROBLEM: &[u8] = b"application/problem+json";
/// An explanation longer than that explains nothing.
const MAX_PROBLEM: u64 = 64 * 1024;
/// The longest text taken over from a problem document, in characters.
const MAX_TOLD: usize = 500;
/// The largest announcement that memory is set aside for at once.
const BELIEVED: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_as_people_write_them() {
        assert_eq!(short("alloc::vec::Vec<shop::stock::Stock>"), "Vec<Stock>");
        assert_eq!(short("(u32, alloc::string::String)"), "(u32, String)");
        assert_eq!(short("bool"), "bool");
    }

    #[test]
    fn a_problem_is_told_in_one_line() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"urn:platform:problem:overloaded","title":"Service Unavailable","status":503,
                "detail":"too\nmuch to do","reason":"overloaded","layer":"shed","service":"ratings"}"#,
        )
        .unwrap();
        assert_eq!(problem.told(), ", overloaded: toomuch to do [service=ratings layer=shed]");
        let foreign: Problem = serde_json::from_str(r#"{"title":"Out of credit"}"#).unwrap();
        assert_eq!(foreign.told(), ": Out of credit");
        assert_eq!(Problem::default().told(), "");
    }
}
