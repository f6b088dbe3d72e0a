//! What comes in from a connection, and how much of it, and how slowly.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use platform_core::{Error, ErrorKind, context::Notes, stack::Lender};

use super::{BoxError, pause::Pauses};

/// hyper's body under two limits: its size, and the longest wait for its next byte.
///
/// The reader of a body that is cut sees an error, and the server answers with the reason, whatever the
/// handler makes of that error. While nothing comes for a while, the request lends its place to others.
pub struct Incoming {
    inner: hyper::body::Incoming,
    watch: Option<Box<Watch>>,
}

struct Watch {
    /// `None` in a dialect, where a body may be as long and as slow as the call.
    limits: Option<Limits>,
    pauses: Pauses,
    /// What came while the request's place was lent: read when it has one again.
    came: Option<Came>,
}

struct Limits {
    size: u64,
    left: u64,
}

/// What hyper's body is ready with.
type Came = Option<Result<Frame<Bytes>, hyper::Error>>;

impl Incoming {
    /// A body that may be as long and as slow as it likes.
    pub(crate) fn unlimited(inner: hyper::body::Incoming) -> Self {
        Incoming { inner, watch: None }
    }

    /// The same in a dialect; a caller who leaves before its last byte is told to the notes, whatever the handler makes
    /// of it.
    pub(crate) fn watched(inner: hyper::body::Incoming, lender: Lender) -> Self {
        let watch = Watch { limits: None, pauses: Pauses::new(lender, None), came: None };
        Incoming { inner, watch: Some(Box::new(watch)) }
    }

    /// At most `size` bytes, each at most `idle` after the last; what cuts it is told to the notes.
    pub(crate) fn limited(inner: hyper::body::Incoming, size: u64, idle: Duration, lender: Lender) -> Self {
        let limits = Limits { size, left: size };
        let watch = Watch { limits: Some(limits), pauses: Pauses::new(lender, Some(idle)), came: None };
        Incoming { inner, watch: Some(Box::new(watch)) }
    }
}

impl Watch {
    fn poll(&mut self, inner: &mut hyper::body::Incoming, cx: &mut task::Context<'_>) -> Polled {
        if self.came.is_none() {
            match Pin::new(inner).poll_frame(cx) {
                Poll::Ready(came) => {
                    self.pauses.end();
                    self.came = Some(came);
                }
                Poll::Pending => {
                    let idle = ready!(self.pauses.poll_wait(cx));
                    let why = format!("no byte of the body came for {idle:?} (server.times.body_idle)");
                    return Poll::Ready(Some(Err(self.cut(Error::new(ErrorKind::Invalid, why)))));
                }
            }
        }
        ready!(self.pauses.poll_back(cx));
        Poll::Ready(match self.came.take().flatten() {
            Some(Ok(frame)) => Some(self.count(frame.data_ref().map_or(0, Bytes::len)).map(|()| frame)),
            Some(Err(error)) => {
                if self.limits.is_none() {
                    let why = "the caller left before its last message";
                    self.notes().cut(&Error::new(ErrorKind::Abandoned, why));
                }
                Some(Err(error.into()))
            }
            None => None,
        })
    }

    fn count(&mut self, bytes: usize) -> Result<(), BoxError> {
        let Some(Limits { size, left }) = &mut self.limits else { return Ok(()) };
        match left.checked_sub(bytes as u64) {
            Some(still) => {
                *left = still;
                Ok(())
            }
            None => {
                let why = format!("the body is larger than {size} bytes (server.limits.body)");
                Err(self.cut(Error::new(ErrorKind::BodyTooLarge, why)))
            }
        }
    }

    fn cut(&self, error: Error) -> BoxError {
        self.notes().cut(&error);
        error.into()
    }

    fn notes(&self) -> &Arc<Notes> {
        self.pauses.notes()
    }

    /// How much has come and was not read.
    fn unread(&self) -> u64 {
        match &self.came {
            Some(Some(Ok(frame))) => frame.data_ref().map_or(0, |data| data.len() as u64),
            _ => 0,
        }
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Polled {
        let this = self.get_mut();
        match &mut this.watch {
            Some(watch) => watch.poll(&mut this.inner, cx),
            None => Pin::new(&mut this.inner).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.watch.as_ref().is_none_or(|watch| watch.came.is_none()) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.inner.size_hint();
        let unread = self.watch.as_ref().map_or(0, |watch| watch.unread());
        if unread == 0 {
            return rest;
        }
        let mut whole = SizeHint::new();
        if let Some(upper) = rest.upper() {
            whole.set_upper(upper.saturating_add(unread));
        }
        whole.set_lower(rest.lower().saturating_add(unread));
        whole
    }
}
