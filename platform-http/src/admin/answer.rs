//! What stands around every request: who asks, what goes wrong, and in whose name it is told.

use std::panic::AssertUnwindSafe;

use axum::{
    Router,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use hyper::body::Incoming;
use platform_core::{ErrorKind, lifecycle::panic_text};
use tower_service::Service as _;

use super::{
    access::{Caller, Right},
    paths,
    server::Desk,
};
use crate::{
    Body, Problem,
    problem::{Refused, Teller, render_as},
    server::Peer,
};

/// Who makes a change.
#[derive(Clone, Debug)]
pub(super) struct Who(pub(super) String);

/// Answers one request.
pub(super) async fn answer(
    mut routes: Router,
    desk: Desk,
    request: http::Request<Incoming>,
    peer: Peer,
) -> http::Response<Body> {
    let mut request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(peer);
    // Checks and views are other people's code.
    let answered = AssertUnwindSafe(routes.call(request)).catch_unwind().await;
    let response = answered.map_or_else(
        |panic| {
            let text = panic_text(&*panic);
            tracing::error!(panic = text, "a panic behind the admin listener");
            Problem::new(ErrorKind::Panic, text).into_response()
        },
        |Ok(response)| response,
    );
    finish(response, &desk)
}

/// Lets through who has the right.
pub(super) async fn guard(
    State((desk, right)): State<(Desk, Right)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    // Asking in a way that changes nothing needs no name, also where the only other way does.
    let right = if right == Right::Change && request.method().is_safe() { Right::Read } else { right };
    let who = admit(&desk, &request, right)?;
    request.extensions_mut().insert(Who(who));
    Ok(next.run(request).await)
}

/// The name of who asks, empty where none is needed; or why it is refused.
pub(super) fn admit(desk: &Desk, request: &Request, right: Right) -> Result<String, Problem> {
    let Some(Peer { address, identity }) = request.extensions().get() else {
        return Err(Problem::new(ErrorKind::Internal, "a request came from nowhere"));
    };
    let caller = Caller::new(*address, identity.as_ref(), request.uri(), request.headers());
    let whose = |token: &[u8]| desk.tokens.as_ref().and_then(|tokens| tokens.whose(token));
    Ok(desk.door.admit(&caller, right, whose)?)
}

/// No such path.
pub(super) async fn not_found(State(desk): State<Desk>, uri: Uri) -> Problem {
    unknown(&desk, uri.path())
}

/// The path is there, and is asked in another way.
pub(super) async fn wrong_method(State(desk): State<Desk>, method: Method, uri: Uri) -> Response {
    let detail = format!("{} is not asked with {method}; there is {}", uri.path(), paths::line(&desk));
    let mut response = Problem::invalid(detail).into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// What to say about a path that nobody knows.
pub(super) fn unknown(desk: &Desk, path: &str) -> Problem {
    Problem::not_found(format!("there is no {path} here; there is {}", paths::line(desk)))
}

/// Does the caller ask for this type by name? `*/*` is no name.
pub(super) fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        named && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
    })
}

/// Problems are told in the service's name; nothing here is worth keeping.
fn finish(mut response: Response, desk: &Desk) -> http::Response<Body> {
    let refused = response.extensions_mut().remove::<Refused>();
    let mut response = response.map(Body::reply_from_axum);
    if let Some(Refused(error)) = refused {
        let teller = Teller { service: &desk.app.identity().name, ..Teller::default() };
        let told = render_as(response.status(), &error, &teller);
        *response.body_mut() = told.into_body();
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let status = response.status();
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_accepted_by_its_name() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                          q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, expected) in [
            (prometheus, true),
            ("text/plain, application/openmetrics-text;q=0.3", true),
            ("Application/OpenMetrics-Text", true),
            ("*/*", false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text-2", false),
        ] {
            let headers = [(header::ACCEPT, HeaderValue::from_static(accept))].into_iter().collect();
            assert_eq!(accepts(&headers, "application/openmetrics-text"), expected, "{accept}");
        }
        assert!(!accepts(&HeaderMap::new(), "text/plain"));
    }
}
