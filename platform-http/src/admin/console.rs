//! The page, what it shows, and how it goes on.

use axum::{
    body::Body,
    extract::{RawQuery, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use platform_core::{App, Error, ErrorKind};
use serde_json::{Value, json};
use std::sync::Arc;

use super::{
    access::Right,
    answer::{self, accepts},
    faults, info, paths,
    server::Desk,
    views::Views,
};
use crate::{
    Problem,
    console::{Of, PAGE, POLICY, Rooms},
};

/// What this room tells the page.
pub(super) struct Told {
    pub(super) app: App,
    pub(super) views: Arc<Views>,
}

/// `GET /`: the page for a browser, else the list. The page is the same for everybody and tells nothing; what it shows
/// it has to ask for, and may have to show a token.
pub(super) async fn root(State(desk): State<Desk>, request: Request) -> Result<Response, Problem> {
    if accepts(request.headers(), "text/html") {
        return Ok(page());
    }
    answer::admit(&desk, &request, Right::Read)?;
    Ok(paths::index(&desk).into_response())
}

/// `GET /platform/state`.
pub(super) async fn state(State(desk): State<Desk>) -> Result<Response, Problem> {
    Ok(json_text(desk.console.shown().await?))
}

/// `GET /platform/stream`, of this process or with `?of=fleet`: once a second, as server-sent events.
pub(super) async fn stream(
    State(desk): State<Desk>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_site(&headers)?;
    let of = match query.as_deref() {
        None | Some("") => Of::Process,
        Some("of=fleet") => Of::Fleet,
        Some(_) => {
            return Err(Problem::invalid("a stream is of this process, or with `?of=fleet` of the fleet"));
        }
    };
    Ok(events(Body::from_stream(desk.console.stream(of)?)))
}

/// `GET /platform/fleet`.
pub(super) async fn fleet(State(desk): State<Desk>, headers: HeaderMap) -> Result<Response, Problem> {
    check_site(&headers)?;
    Ok(json_text(desk.console.fleet().await?))
}

/// `GET /platform/pulse`: what the fleet view of another instance reads. Open, because it tells hardly
/// more than the metrics.
pub(super) async fn pulse(State(desk): State<Desk>) -> Response {
    json_text(desk.console.pulse())
}

impl Rooms for Told {
    fn info(&self) -> Value {
        json!(info::of(&self.app))
    }

    fn view(&self, name: &str) -> Vec<Value> {
        self.views.show(name).unwrap_or_default()
    }

    fn faults(&self) -> Value {
        json!(faults::in_force(self.app.faults()))
    }
}

fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, PAGE).into_response()
}

/// A page of another site could not read the stream, but it could hold all its places.
fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(SITE).map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(site) => Err(Problem::from(Error::new(
            ErrorKind::Forbidden,
            format!("a page of another site (`{}`) may not hold a place here", site.escape_ascii()),
        ))),
    }
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn events(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Browsers say with it who asks: a page of this listener, or another one.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
