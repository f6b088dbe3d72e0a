//! One request and its reply, counted from its first moment until its last byte is handed over.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use platform_core::context::wire;

use super::line::{Line, Peer, Turn};
use crate::{Body, body::BoxError};

/// What hyper calls for each request of one connection.
pub(super) struct Exchange<F> {
    pub(super) line: Arc<Line>,
    pub(super) peer: Peer,
    pub(super) header_fields: usize,
    pub(super) answer: F,
}

impl<F, Fut> hyper::service::Service<Request<Incoming>> for Exchange<F>
where
    F: Fn(Request<Incoming>, &Peer) -> Fut,
    Fut: Future<Output = Response<Body>>,
{
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = Answering<Fut>;

    fn call(&self, request: Request<Incoming>) -> Answering<Fut> {
        let (turn, first) = self.line.begin();
        let http1 = request.version() < Version::HTTP_2;
        // On HTTP/1 hyper counts while it parses; HTTP/2 knows only a limit of bytes.
        if !http1 && request.headers().len() > self.header_fields {
            return Answering::TooManyFields { turn: Some(turn) };
        }
        let (connect, head) = (request.method() == Method::CONNECT, request.method() == Method::HEAD);
        let future = (self.answer)(request, &self.peer);
        Answering::Running { future, turn: Some(turn), http1, first, connect, head }
    }
}

pin_project! {
    #[project = Projected]
    pub(super) enum Answering<Fut> {
        Running { #[pin] future: Fut, turn: Option<Turn>, http1: bool, first: bool, connect: bool, head: bool },
        TooManyFields { turn: Option<Turn> },
    }
}

impl<Fut: Future<Output = Response<Body>>> Future for Answering<Fut> {
    type Output = Result<Response<Reply>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (response, turn) = match self.project() {
            Projected::TooManyFields { turn } => {
                let mut response = Response::new(Body::empty_reply());
                *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                (response, take(turn))
            }
            Projected::Running { future, turn, http1, first, connect, head } => {
                let mut response = ready!(future.poll(cx));
                let turn = take(turn);
                if *http1 {
                    let status = response.status();
                    if status == StatusCode::SWITCHING_PROTOCOLS || (*connect && status.is_success()) {
                        turn.upgrade();
                    } else if turn.is_last_reply() {
                        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                } else {
                    if *first {
                        wire::lay_names(response.headers_mut());
                    }
                    if *head || NEVER_WITH_BODY.contains(&response.status()) {
                        leave_out_body(&mut response, *head);
                    }
                }
                (response, turn)
            }
        };
        Poll::Ready(Ok(response.map(|body| Reply { body, _turn: turn })))
    }
}

/// The body of a reply; the request is in flight until it is dropped.
pub(super) struct Reply {
    body: Body,
    _turn: Turn,
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// On HTTP/2 hyper sends what it is given, and a peer resets a stream with bytes where there can be none. The
/// reply to a HEAD keeps the length that the GET's would have.
#[cold]
fn leave_out_body(response: &mut Response<Body>, head: bool) {
    if head && let Some(length @ 1..) = response.body().size_hint().exact() {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    *response.body_mut() = Body::empty_reply();
}

fn take(turn: &mut Option<Turn>) -> Turn {
    turn.take().expect("a future is not polled again after its answer")
}

/// RFC 9110, sections 15.3.5 and 15.4.5.
const NEVER_WITH_BODY: [StatusCode; 2] = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];

#[cfg(test)]
mod tests {
    use super::*;

    /// What has more than 256 bytes is copied at twice the price, and hyper moves a reply seven times.
    #[test]
    fn a_reply_stays_small() {
        assert!(size_of::<Response<Reply>>() <= 256, "{}", size_of::<Response<Reply>>());
    }
}
