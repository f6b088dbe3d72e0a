//! A request in the making.

use std::{fmt::Write as _, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use platform_core::{
    Context, Error, ErrorKind, Result,
    call::CarryCall as _,
    context::{self, Deadline},
    telemetry::Traces,
};
use serde::Serialize;
use tokio::time::Instant;

use super::{Client, Response};
use crate::Body;

/// A request in the making. What is wrong with it is said when it is sent.
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Body>,
    timeout: Option<Duration>,
    idempotent: bool,
    wrong: Option<Error>,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: Method, path: &str) -> Self {
        let mut request = RequestBuilder {
            client,
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: None,
            timeout: None,
            idempotent: false,
            wrong: None,
        };
        if !path.starts_with('/') {
            request.refuse(format!(
                "the path \"{}\" does not begin with /; the host is the target's business",
                without_query(path)
            ));
        }
        request
    }

    /// A body as JSON, with its content type.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => {
                self.headers.entry(header::CONTENT_TYPE).or_insert(JSON);
                self.body = Some(Body::full(bytes));
            }
            Err(error) => {
                self.refuse(format!("a {} cannot be written as JSON: {error}", std::any::type_name::<T>()));
            }
        }
        self
    }

    /// A body: text, bytes, or a [`Body::stream`].
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// A header; the last of a name counts.
    pub fn header<K, V>(mut self, name: K, value: V) -> Self
    where
        K: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        let pair = name.try_into().map_err(Into::into).and_then(|name| {
            let value = value.try_into().map_err(Into::into)?;
            Ok((name, value))
        });
        match pair {
            Ok((name, value)) => {
                self.headers.insert(name, value);
            }
            // Its text could be a secret.
            Err(error) => self.refuse(format!("a header: {error}")),
        }
        self
    }

    /// Another pair in the query, escaped as needed.
    pub fn query(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        escape(name, &mut self.path);
        self.path.push('=');
        escape(&value.to_string(), &mut self.path);
        self
    }

    /// At most so long, from sending to the last byte of the body. It only shortens: the policy and the
    /// request being served have theirs.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// It may be done twice without harm, whatever its method.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Sends it. Any status is a reply; see [`Response::error_for_status`].
    ///
    /// # Errors
    /// When there is no reply: no endpoint, no connection, no answer in time; or when the request was wrong.
    pub async fn send(self) -> Result<Response> {
        let (client, request) = self.build()?;
        let call = (request.method().clone(), request.uri().clone());
        // Into the box of the call at once: it is large, and what an `async fn` holds is moved with it.
        let answered = client.0.call(request);
        Ok(Response::new(&client, call, answered.await?))
    }

    fn build(self) -> Result<(Client, Request<Body>)> {
        let RequestBuilder { client, method, path, headers, body, timeout, idempotent, wrong } = self;
        if let Some(wrong) = wrong {
            return Err(wrong.at_target(client.target()));
        }
        let uri: Uri = path.parse().map_err(|error| {
            let shown = without_query(&path);
            Error::new(ErrorKind::Invalid, format!("the path \"{shown}\": {error}"))
                .at_target(client.target())
        })?;
        let mut body = body.unwrap_or_else(Body::empty);
        if idempotent {
            body = body.mark_idempotent();
        }
        let context = body.context_mut();
        if let Some(deadline) = timeout.and_then(|timeout| Deadline::after(Instant::now(), timeout)) {
            context.narrow(deadline);
        }
        begin_trace(context, &client.0.wire.traces);
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok((client, request))
    }

    fn refuse(&mut self, why: String) {
        self.wrong.get_or_insert_with(|| Error::new(ErrorKind::Invalid, why));
    }
}

/// Outside a served request a trace begins here, and whoever begins it decides whether it is kept.
pub(super) fn begin_trace(context: &mut Context, traces: &Traces) {
    let trace = context.trace();
    if !trace.is_sampled()
        && context::with_current(|_| ()).is_none()
        && traces.exports()
        && traces.samples(trace.trace_id())
    {
        context.set_trace(trace.sampled(true));
    }
}

/// What an error may show: a query, or what somebody put before a host, may hold what no log should.
fn without_query(path: &str) -> &str {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    match path.rsplit_once('@') {
        Some((_, rest)) if !path.starts_with('/') => rest,
        _ => path,
    }
}

/// Escapes all but what RFC 3986 leaves unreserved.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_path_and_nothing_secret() {
        for (path, shown) in [
            ("films/7?token=s3cret", "films/7"),
            ("/films/ö#s3cret", "/films/ö"),
            ("/users/@ann/ö", "/users/@ann/ö"),
            ("http://ann:s3cret@catalog/films", "catalog/films"),
        ] {
            assert_eq!(without_query(path), shown);
        }
    }

    #[test]
    fn a_query_is_escaped() {
        let mut out = String::new();
        escape("a b&c=d/é~", &mut out);
        assert_eq!(out, "a%20b%26c%3Dd%2F%C3%A9~");
    }
}
