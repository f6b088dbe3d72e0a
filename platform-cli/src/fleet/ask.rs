//! One question to one admin listener.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use platform_core::{Error, ErrorKind, Result};
use platform_discovery::Endpoint;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use super::{Said, Who};

/// Asks an instance at the address that its record names.
pub(super) async fn ask(
    instance: &Endpoint,
    who: &Who,
    method: &Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Said> {
    let Some(admin) = instance.admin else {
        return Err(Error::new(ErrorKind::Unreachable, "its record names no admin address"));
    };
    ask_at(&admin.to_string(), who, method, path, body).await
}

/// Asks `HOST:PORT`; the answer of one that refuses is an upstream error with its own words.
pub(crate) async fn ask_at(
    admin: &str,
    who: &Who,
    method: &Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Said> {
    let silent = |_| Error::new(ErrorKind::Timeout, format!("{admin} does not answer within {PATIENCE:?}"));
    let failed = |why: String| Error::new(ErrorKind::Unreachable, format!("{admin}: {why}"));
    let asked = async {
        let stream = TcpStream::connect(admin).await.map_err(|error| failed(error.to_string()))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| failed(error.to_string()))?;
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, admin);
        request = match who {
            Who::Token(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            Who::Named(name) => request.header("x-platform-actor", name),
        };
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| Error::new(ErrorKind::Usage, error.to_string()))?;
        let answer = async {
            let reply = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
            let (status, json) = (reply.status(), is_json(reply.headers()));
            let body = Limited::new(reply.into_body(), LARGEST).collect().await;
            let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
            read(status, json, &body)
        };
        tokio::pin!(connection);
        tokio::select! {
            answer = answer => answer,
            // It ends before its answer is read only where there is none.
            ended = &mut connection => Err(failed(match ended {
                Ok(()) => "it closed the connection without an answer".to_owned(),
                Err(error) => error.to_string(),
            })),
        }
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
