//! What comes in from a connection, and how much of it, and how slowly.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use platform_core::{Error, ErrorKind, context::Notes};
use tokio::time::{Instant, Sleep};

use super::BoxError;

/// hyper's body under two limits: its size, and the longest wait for its next byte.
///
/// The reader of a body that is cut sees an error, and the server answers with the reason, whatever the
/// handler makes of that error.
pub struct Incoming {
    inner: hyper::body::Incoming,
    limits: Option<Box<Limits>>,
    /// Who is told that the caller left before its last byte.
    left: Option<Arc<Notes>>,
}

struct Limits {
    size: u64,
    left: u64,
    idle: Duration,
    /// Armed by the first wait, and moved on by each that follows.
    timer: Option<Pin<Box<Sleep>>>,
    /// The reader has asked and not got anything yet. While it is busy with what it has, nobody waits for the
    /// peer, who may not even be able to send.
    waits: bool,
    notes: Arc<Notes>,
}

impl Incoming {
    /// A body that may be as long and as slow as it likes.
    pub(crate) fn unlimited(inner: hyper::body::Incoming) -> Self {
        Incoming { inner, limits: None, left: None }
    }

    /// The same; a caller who leaves before its last byte is told to `notes`, whatever the handler makes of it.
    pub(crate) fn watched(inner: hyper::body::Incoming, notes: &Arc<Notes>) -> Self {
        Incoming { inner, limits: None, left: Some(Arc::clone(notes)) }
    }

    /// At most `size` bytes, each at most `idle` after the last; what cuts it is told to `notes`.
    pub(crate) fn limited(
        inner: hyper::body::Incoming,
        size: u64,
        idle: Duration,
        notes: &Arc<Notes>,
    ) -> Self {
        // Most requests have no body; those carry no limits either.
        let limits = (!inner.is_end_stream()).then(|| {
            Box::new(Limits { size, left: size, idle, timer: None, waits: false, notes: Arc::clone(notes) })
        });
        Incoming { inner, limits, left: None }
    }
}

impl Limits {
    fn count(&mut self, bytes: usize) -> Result<(), BoxError> {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.cut(Error::new(
                ErrorKind::BodyTooLarge,
                format!("the body is larger than {} bytes (server.limits.body)", self.size),
            ))),
        }
    }

    fn wait(&mut self, cx: &mut task::Context<'_>) -> Poll<BoxError> {
        let idle = self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        if !self.waits {
            self.waits = true;
            timer.as_mut().reset(Instant::now() + idle);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(self.cut(Error::new(
            ErrorKind::Invalid,
            format!("no byte of the body came for {idle:?} (server.times.body_idle)"),
        )))
    }

    fn cut(&self, error: Error) -> BoxError {
        self.notes.cut(&error);
        error.into()
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        let Some(limits) = &mut this.limits else {
            if let (Poll::Ready(Some(Err(_))), Some(notes)) = (&polled, &this.left) {
                notes.cut(&Error::new(ErrorKind::Abandoned, "the caller left before its last message"));
            }
            return polled.map_err(Into::into);
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                limits.waits = false;
                let length = frame.data_ref().map_or(0, Bytes::len);
                Poll::Ready(Some(limits.count(length).map(|()| frame)))
            }
            Poll::Ready(other) => Poll::Ready(other.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => limits.wait(cx).map(|error| Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
