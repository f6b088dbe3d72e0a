//! What is a call until the head of its reply is there?

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{self, Poll, ready},
};

use http::Response;
use platform_core::{deadline::Whose, stack::Answered};
use platform_http::client::{self, Caller};
use tonic::Status;

use super::{
    Reply,
    dialect::Grpc,
    request::{Listens, Made},
};
use crate::{methods::StreamLimits, status::status};

/// A call under way: the box in which it is made, and what its reply needs besides.
#[must_use = "a call that nobody waits for is not made"]
pub struct Calling(State);

enum State {
    Sent {
        answered: client::Calling,
        unary: bool,
        stream: StreamLimits,
        listens: Option<Listens>,
    },
    /// It never went; its status, until it was told.
    Refused(Option<Status>),
}

impl Calling {
    pub(super) fn of(caller: &Caller<Grpc>, made: Made) -> Self {
        let Made { request, unary, stream, listens } = made;
        Calling(State::Sent { answered: caller.call(request), unary, stream, listens })
    }

    pub(super) fn refused(status: Status) -> Self {
        Calling(State::Refused(Some(status)))
    }
}

impl Future for Calling {
    type Output = Result<Response<Reply>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            State::Sent { answered, unary, stream, listens } => {
                let Answered { reply, limit, .. } = match ready!(answered.as_mut().poll(cx)) {
                    Ok(answered) => answered,
                    Err(error) => return Poll::Ready(Err(status(&error))),
                };
                // A stream may last; whoever called with a deadline of his own waits no longer than that.
                let limit = limit.filter(|limit| *unary || limit.whose() == Whose::Caller);
                let stream = if *unary { StreamLimits::default() } else { *stream };
                Poll::Ready(Ok(Reply::around(reply, limit, stream, listens.take())))
            }
            State::Refused(status) => Poll::Ready(Err(status.take().expect("a call ends once"))),
        }
    }
}

impl fmt::Debug for Calling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calling").finish_non_exhaustive()
    }
}
