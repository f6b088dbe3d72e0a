//! The rest of a reply: read until its end, or its limit.

use std::{
    future::Future as _,
    pin::Pin,
    task::{self, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use platform_core::{Error, ErrorKind, deadline::Limit};
use platform_http::Body;
use tokio::time::{Sleep, sleep_until};
use tonic::Status;

use super::request::Listens;
use crate::status::{has_sound_details, status};

/// The messages of a reply, and its status. Dropped before its end, the call is cancelled.
pub struct Reply {
    body: Body,
    limit: Option<Limit>,
    /// Armed by the first wait.
    timer: Option<Pin<Box<Sleep>>>,
    _listens: Option<Listens>,
}

impl Reply {
    pub(super) fn around(
        mut reply: Response<Body>,
        limit: Option<Limit>,
        listens: Option<Listens>,
    ) -> Response<Reply> {
        if !has_sound_details(reply.headers()) {
            reply.headers_mut().remove(Status::GRPC_STATUS_DETAILS);
        }
        reply.map(|body| Reply { body, limit, timer: None, _listens: listens })
    }
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Reply { body, limit, timer, .. } = self.get_mut();
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut()
                    && !has_sound_details(trailers)
                {
                    trailers.remove(Status::GRPC_STATUS_DETAILS);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let text = format!("the connection was lost while the reply was read: {error}");
                Poll::Ready(Some(Err(status(&Error::new(ErrorKind::Upstream, text).with_source(error)))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let Some(limit) = *limit else { return Poll::Pending };
                let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(limit.deadline().instant())));
                timer
                    .as_mut()
                    .poll(cx)
                    .map(|()| Some(Err(status(&limit.exceeded_by("the reply's end was not there")))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("limit", &self.limit).finish_non_exhaustive()
    }
}
