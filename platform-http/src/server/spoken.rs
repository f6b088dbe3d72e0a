//! One call in a dialect: how its reply goes on after the head, and how it is told.
//!
//! A call's status stands in its trailers, so its reply is watched to the end. What a plain stream may do the whole
//! call may not: it ends with the caller's deadline, its panics are a status, and whoever makes its messages finds
//! the context beside it.

use std::{
    future::Future as _,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http_body::{Body as _, Frame, SizeHint};
use platform_core::{
    Error, ErrorKind, context,
    deadline::{Limit, Whose},
    telemetry::{Operation, trace},
};
use tokio::time::{Sleep, sleep_until};

use super::{
    dialect::{Dialect, Ended, Status},
    observe::Seen,
    stack::out_of_time,
};
use crate::{Body, body::BoxError};

/// A request in a dialect, while it is served.
pub(super) struct Spoken {
    pub(super) dialect: Arc<dyn Dialect>,
    path: PathAndQuery,
    /// What its reply has told.
    pub(super) status: Option<Status>,
}

impl Spoken {
    /// The request's, if it is in `dialect`.
    pub(super) fn of<B>(dialect: &Arc<dyn Dialect>, request: &http::Request<B>) -> Option<Box<Spoken>> {
        let path = request.uri().path_and_query()?;
        dialect
            .is_spoken(request.method(), request.headers())
            .then(|| Box::new(Spoken { dialect: Arc::clone(dialect), path: path.clone(), status: None }))
    }

    /// Counts the call, and tells its span and its line.
    pub(super) fn tell(&self, seen: &Seen, took: Duration) {
        let said = match (seen.reason(), self.status) {
            // The caller was gone before its status was: what was not sent counts for nothing.
            (Some(reason @ ErrorKind::Abandoned), _) | (Some(reason), None) => self.dialect.status_of(reason),
            (Some(reason), Some(status)) => Status { reason: Some(reason), ..status },
            (None, Some(status)) => status,
            // Neither head nor trailers: whoever made the reply forgot them.
            (None, None) => self.dialect.status_of(ErrorKind::Internal),
        };
        let trace = seen.context().trace();
        let sampled = trace.is_sampled().then(|| trace.trace_id());
        let named =
            self.dialect.measure(&Ended { path: self.path.path(), status: said, took, trace: sampled });
        if sampled.is_some() && seen.exports() {
            let status =
                if named.is_error { trace::Status::Error(named.status.into()) } else { trace::Status::Unset };
            seen.end_span(named.method.to_string().into(), named.attributes, status, took);
        }
        seen.count_slow_polls_of(&named.method);
        let operation = Operation::Rpc { method: &named.method, status: named.status };
        seen.write_line(operation, said.reason, said.outcome, took);
    }
}

/// The reply of a call after its head.
pub(super) struct Saying {
    body: Body,
    seen: Seen,
    limit: Option<Limit>,
    /// Armed by the first wait.
    timer: Option<Pin<Box<Sleep>>>,
    to_strangers: bool,
    /// Nothing follows its trailers.
    ended: bool,
    /// There was nothing to say for a while.
    waited: bool,
}

impl Saying {
    /// `body`, which `seen` is waiting for. A server's own limit is over with the head: a stream may be long.
    pub(super) fn new(body: Body, seen: Seen, limit: Option<Limit>, to_strangers: bool) -> Self {
        let limit = limit.filter(|limit| limit.whose() == Whose::Caller);
        Saying { body, seen, limit, timer: None, to_strangers, ended: false, waited: false }
    }

    /// The last words of a call whose head has said that all is well.
    fn fail(&mut self, error: &Error) -> Frame<Bytes> {
        self.ended = true;
        // What makes the messages is done with, whether or not this is dropped soon.
        self.body = Body::empty_reply();
        let trailers = self.seen.dialect().map(|dialect| dialect.trailers(error, self.to_strangers));
        let mut trailers = trailers.unwrap_or_default();
        self.seen.ends_with(&trailers);
        self.seen.tell_load_last(&mut trailers, self.waited);
        self.seen.note_error(error);
        self.seen.finish(Some(error.kind()));
        Frame::trailers(trailers)
    }

    /// Makes messages as a handler would: a panic is an error, and the context is there.
    fn poll_body(&mut self, cx: &mut task::Context<'_>) -> Polled {
        let body = Pin::new(&mut self.body);
        let context = self.seen.context().clone();
        catch_unwind(AssertUnwindSafe(|| context::enter(context, || body.poll_frame(cx))))
    }

    /// Why the request was cut short; what the handler made of it is no news then.
    fn cut(&self) -> Option<ErrorKind> {
        self.seen.context().notes().and_then(|notes| notes.reason()).map(Error::kind)
    }

    fn poll_limit(&mut self, cx: &mut task::Context<'_>) -> Poll<Error> {
        let Some(limit) = self.limit else { return Poll::Pending };
        let until = limit.deadline().instant();
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        timer.as_mut().poll(cx).map(|()| out_of_time(limit))
    }
}

type Polled = std::thread::Result<Poll<Option<Result<Frame<Bytes>, BoxError>>>>;

impl http_body::Body for Saying {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let polled = match this.poll_body(cx) {
            Ok(polled) => polled,
            Err(panic) => {
                let error = this.seen.panicked(&*panic);
                return Poll::Ready(Some(Ok(this.fail(&error))));
            }
        };
        match polled {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    this.ended = true;
                    this.seen.ends_with(trailers);
                    this.seen.tell_load_last(trailers, this.waited);
                    let cut = this.cut();
                    this.seen.finish(cut);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let error = Error::new(ErrorKind::Internal, "the reply broke off").with_source(error);
                Poll::Ready(Some(Ok(this.fail(&error))))
            }
            Poll::Ready(None) => {
                this.ended = true;
                this.seen.finish(None);
                Poll::Ready(None)
            }
            Poll::Pending => {
                this.seen.waits();
                this.waited = true;
                this.poll_limit(cx).map(|error| Some(Ok(this.fail(&error))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// Dropped without an end, `seen` tells that the caller left.
