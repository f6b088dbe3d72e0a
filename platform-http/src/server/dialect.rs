//! What else is spoken on this listener?
//!
//! gRPC is HTTP/2 with words of its own: the status stands in trailers, a refusal is a status and no document, a
//! call is named by its method and judged by its status. The page stays one; where it speaks or is told about, it
//! asks the dialect of the request.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Method, Response, StatusCode};
use platform_core::{Error, ErrorKind, Outcome, context::TraceId, telemetry::trace::Value};

use crate::Body;

/// A protocol over HTTP that has its own words for refusals, statuses and names.
pub trait Dialect: Send + Sync + 'static {
    /// Is a request with this head in it?
    fn is_spoken(&self, method: &Method, headers: &HeaderMap) -> bool;

    /// Is there a method with this path? `None` where nobody has said which there are.
    fn knows(&self, _path: &str) -> Option<bool> {
        None
    }

    /// The reply to an error. Strangers are told what they did wrong, and nothing of what went wrong inside.
    fn refuse(&self, error: &Error, to_strangers: bool) -> Response<Body>;

    /// The reply in place of one that is not in it: a router that knows no such path answers in HTTP's words.
    fn translate(&self, status: StatusCode) -> Response<Body>;

    /// Is this reply in it?
    fn is_reply(&self, reply: &HeaderMap) -> bool;

    /// What a reply ends with after its head has said that all is well.
    fn trailers(&self, error: &Error, to_strangers: bool) -> HeaderMap;

    /// How a call ended, if these headers or trailers tell it.
    fn status(&self, fields: &HeaderMap) -> Option<Status>;

    /// The status of a call that ended for this reason without a word on the wire.
    fn status_of(&self, reason: ErrorKind) -> Status;

    /// Counts a call that has ended, and names it.
    fn measure(&self, call: &Ended<'_>) -> Named;
}

/// How a call ended, in the dialect's own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The code; what it means the dialect knows.
    pub code: i32,
    /// The kind of error behind it, where one of ours is.
    pub reason: Option<ErrorKind>,
    /// What it means to who operates the server.
    pub outcome: Outcome,
}

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// What was asked for.
    pub path: &'a str,
    /// How it ended.
    pub status: Status,
    /// From its head to the end of its reply.
    pub took: Duration,
    /// Its trace, if that is recorded.
    pub trace: Option<TraceId>,
}

/// What a call is called.
#[derive(Clone, Debug)]
pub struct Named {
    /// `film.Ratings/Get`.
    pub method: Arc<str>,
    /// `DEADLINE_EXCEEDED`.
    pub status: &'static str,
    /// Is the server to blame, so that its span is an error?
    pub is_error: bool,
    /// What a span tells of it besides.
    pub attributes: Vec<(&'static str, Value)>,
}
