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
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use super::request::Listens;
use crate::{
    methods::StreamLimits,
    status::{has_sound_details, status},
};

/// The messages of a reply, and its status. Dropped before its end, the call is cancelled.
pub struct Reply {
    body: Body,
    limit: Option<Limit>,
    /// Armed by the first wait.
    timer: Option<Pin<Box<Sleep>>>,
    /// What its method's settings allow a stream; most have none.
    stream: Option<Box<Stream>>,
    _listens: Option<Listens>,
}

impl Reply {
    pub(super) fn around(
        mut reply: Response<Body>,
        limit: Option<Limit>,
        stream: StreamLimits,
        listens: Option<Listens>,
    ) -> Response<Reply> {
        if !has_sound_details(reply.headers()) {
            reply.headers_mut().remove(Status::GRPC_STATUS_DETAILS);
        }
        let stream = (stream != StreamLimits::default()).then(|| Box::new(Stream::new(stream)));
        reply.map(|body| Reply { body, limit, timer: None, stream, _listens: listens })
    }
}

/// The limits of a stream, and their timer.
struct Stream {
    limits: StreamLimits,
    begun: Instant,
    /// When the last word came.
    last: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Stream {
    fn new(limits: StreamLimits) -> Self {
        let now = Instant::now();
        Stream { limits, begun: now, last: now, timer: Box::pin(sleep_until(now)) }
    }

    /// The nearer of its ends, and what to say then.
    fn end(&self) -> Option<(Instant, String)> {
        let StreamLimits { whole, idle } = self.limits;
        let whole = whole.map(|limit| (self.begun + limit, limit, "its end was not there", "stream_timeout"));
        let idle = idle.map(|limit| (self.last + limit, limit, "nothing came of it", "stream_idle"));
        let (end, limit, what, key) = whole.into_iter().chain(idle).min_by_key(|(end, ..)| *end)?;
        Some((end, format!("a stream: {what} within {limit:?} (methods.\"…\".{key})")))
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Error> {
        let Some((end, why)) = self.end() else { return Poll::Pending };
        if self.timer.deadline() != end {
            self.timer.as_mut().reset(end);
        }
        self.timer.as_mut().poll(cx).map(|()| Error::new(ErrorKind::Timeout, why).at_layer("stream"))
    }
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Reply { body, limit, timer, stream, .. } = self.get_mut();
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(stream) = stream {
                    stream.last = Instant::now();
                }
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
                if let Some(stream) = stream
                    && let Poll::Ready(error) = stream.poll(cx)
                {
                    return Poll::Ready(Some(Err(status(&error))));
                }
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
