//! A reply that is read for a while, and told when that is over.

use std::{
    pin::Pin,
    task::{self, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use platform_core::{Error, ErrorKind};

use super::observe::Seen;
use crate::{Body, body::BoxError};

/// A reply that is still being read; told when that ends. The one who reads may stop whenever it likes, which is how
/// most streams end, so that a reply that is dropped is told as it began.
pub(super) struct Stream {
    body: Body,
    seen: Seen,
}

impl Stream {
    /// `body`, which `seen` is waiting for.
    pub(super) fn new(body: Body, seen: Seen) -> Self {
        Stream { body, seen }
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Stream { body, seen } = self.get_mut();
        let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
            seen.waits();
            return Poll::Pending;
        };
        match &frame {
            Some(Ok(_)) => {}
            // Its head is out and said that all is well; what is told says that it was not.
            Some(Err(error)) => {
                seen.note_error(&**error);
                seen.finish(Some(kind_of(&**error)));
            }
            None => seen.finish(None),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.seen.finish(None);
    }
}

/// The kind of an error of ours, however a router has wrapped it.
fn kind_of(error: &(dyn std::error::Error + 'static)) -> ErrorKind {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref::<Error>())
        .map_or(ErrorKind::Internal, Error::kind)
}
