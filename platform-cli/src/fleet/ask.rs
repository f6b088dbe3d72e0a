//! One question to one admin listener.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use platform_core::{Error, ErrorKind, Result};
use platform_discovery::Endpoint;
use platform_http::asking::{Asker, Listener};
use serde_json::Value;
use tokio::time::timeout;

use super::{Said, Who};

/// Asks an instance of `service` at the address that its record names.
pub(super) async fn ask(
    asker: &Asker,
    service: &str,
    instance: &Endpoint,
    who: &Who,
    question: Question<'_>,
) -> Result<Said> {
    let Some(admin) = instance.admin else {
        return Err(Error::new(ErrorKind::Unreachable, "its record names no admin address"));
    };
    let listener = asker.instance(service, admin, instance.admin_tls)?;
    ask_at(&listener, &admin.to_string(), who, question).await
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) body: Option<&'a Value>,
}

/// Asks the listener at `at`; the answer of one that refuses is an upstream error with its own words.
pub(crate) async fn ask_at(listener: &Listener, at: &str, who: &Who, question: Question<'_>) -> Result<Said> {
    let Question { method, path, body } = question;
    let silent = |_| Error::new(ErrorKind::Timeout, format!("{at} does not answer within {PATIENCE:?}"));
    let (name, value) = who.shown()?;
    let mut request = Request::builder().method(method).uri(path).header(name, value);
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = body.map(ToString::to_string).unwrap_or_default();
    let request = request.body(Full::new(Bytes::from(body)));
    let request = request.map_err(|error| Error::new(ErrorKind::Usage, error.to_string()))?;
    let asked = async {
        let reply = listener.ask(request).await?;
        let (status, json) = (reply.status(), is_json(reply.headers()));
        let body = Limited::new(reply.into_body(), LARGEST).collect().await;
        let broken =
            |error| Error::new(ErrorKind::Unreachable, format!("{at}: its answer broke off: {error}"));
        read(status, json, &body.map_err(broken)?.to_bytes())
    };
    timeout(PATIENCE, asked).await.map_err(silent)?
}

fn read(status: StatusCode, json: bool, body: &[u8]) -> Result<Said> {
    let value: Option<Value> = if json { serde_json::from_slice(body).ok() } else { None };
    if status.is_success() {
        return Ok(value.map_or_else(|| Said::Text(String::from_utf8_lossy(body).into_owned()), Said::Json));
    }
    let told = value.as_ref().and_then(|problem| problem["detail"].as_str()).map(str::to_owned);
    let told = told.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    Err(Error::new(ErrorKind::Upstream, format!("{status}: {told}")))
}

fn is_json(headers: &http::HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    kind.is_some_and(|kind| {
        kind.starts_with(b"application/json") || kind.starts_with(b"application/problem+json")
    })
}

/// An admin listener answers in milliseconds; a person waits no longer than this.
const PATIENCE: Duration = Duration::from_secs(3);
/// The metrics of a large service are a megabyte.
const LARGEST: usize = 64 * 1024 * 1024;
