//! How did a call end, when its head says only that it was heard?
//!
//! A unary call is judged by its trailers: its one message is read with them, up to [`UNARY`] bytes, and what was read
//! is put back. Of a stream nothing is waited for; if its first word is there already and says no, that counts.
//! Where nobody knows which of the two it is, the first word is waited for, [`PEEK`] at most: who is to fail says so
//! with his head.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{self, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::{Body as _, Frame, SizeHint};
use platform_core::{Error, ErrorKind, Result};
use platform_http::{Body, body::BoxError};

use crate::classify::Judged;

/// What is known of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One message, and the status behind it.
    Unary,
    /// Messages as they come.
    Stream,
    /// One of the two.
    Unknown,
}

/// What was read is put back before `body`.
///
/// # Errors
/// [`ErrorKind::Upstream`] for a reply that broke off.
pub(super) async fn peek(shape: Shape, body: &mut Body) -> Result<Judged> {
    let mut read = Read::default();
    let found = match shape {
        Shape::Unary => read.whole(body).await,
        Shape::Stream => read.first(body).now_or_never().unwrap_or(Ok(None)),
        Shape::Unknown => match read.first(body).now_or_never() {
            Some(found) => found,
            None => tokio::time::timeout(PEEK, read.first(body)).await.unwrap_or(Ok(None)),
        },
    };
    let judged = found?.unwrap_or(Judged::OK);
    if !read.is_empty() {
        let rest = std::mem::replace(body, Body::empty_reply());
        *body = Body::reply_stream(Again { read, rest });
    }
    Ok(judged)
}

/// Words of a reply.
#[derive(Default)]
struct Read {
    first: Option<Frame<Bytes>>,
    /// Of most unary replies the status, so that a list of more is seldom made.
    second: Option<Frame<Bytes>>,
    more: VecDeque<Frame<Bytes>>,
    bytes: usize,
    /// Nothing follows.
    ended: bool,
}

impl Read {
    fn is_empty(&self) -> bool {
        self.first.is_none() && !self.ended
    }

    /// The next word; the status if that is what it is.
    async fn first(&mut self, body: &mut Body) -> Result<Option<Judged>> {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        let Some(frame) = frame else {
            self.ended = true;
            return Ok(None);
        };
        let frame = frame.map_err(broken)?;
        let judged = frame.trailers_ref().and_then(Judged::heard);
        self.bytes += FRAME + frame.data_ref().map_or(0, Bytes::len);
        match (&self.first, &self.second) {
            (None, _) => self.first = Some(frame),
            (Some(_), None) => self.second = Some(frame),
            (Some(_), Some(_)) => self.more.push_back(frame),
        }
        Ok(judged)
    }

    async fn whole(&mut self, body: &mut Body) -> Result<Option<Judged>> {
        while !self.ended && self.bytes <= UNARY {
            if let Some(judged) = self.first(body).await? {
                return Ok(Some(judged));
            }
        }
        Ok(None)
    }
}

/// A reply whose first words were read before.
struct Again {
    read: Read,
    rest: Body,
}

impl http_body::Body for Again {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Again { read, rest } = self.get_mut();
        let next = read.first.take().or_else(|| read.second.take()).or_else(|| read.more.pop_front());
        if let Some(frame) = next {
            return Poll::Ready(Some(Ok(frame)));
        }
        if read.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(rest).poll_frame(cx));
        read.ended = frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let Again { read, rest } = self;
        let all_read = read.first.is_none() && read.second.is_none() && read.more.is_empty();
        all_read && (read.ended || rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it becomes the cause")]
fn broken(error: BoxError) -> Error {
    Error::new(ErrorKind::Upstream, format!("the reply broke off before its first word: {error}"))
        .with_hint(platform_core::Hint::NONE)
}

/// How long a reply whose method is unknown may be silent behind its head before it counts as begun. Servers write the
/// head of a unary reply together with its message or its status; this is for networks that tear them apart.
pub const PEEK: Duration = Duration::from_millis(100);
/// The largest unary reply that is read before its verdict, in bytes; of a larger one the begin counts.
const UNARY: usize = 64 * 1024;

/// What keeping one frame costs besides its bytes: a peer that sends empty ones for ever is not kept either.
const FRAME: usize = 64;

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::HeaderMap;
    use platform_core::Outcome;
    use tokio::time::Instant;

    use super::*;

    /// How long before it, and a word: `#13` is a status, nothing the end of the connection.
    type Heard = (u64, Option<&'static str>);

    struct Words(Vec<Heard>);

    impl Words {
        fn body(self) -> Body {
            let words = self.0.into_iter().map(|(wait, word)| async move {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                match word {
                    Some(code) if code.starts_with('#') => {
                        let mut trailers = HeaderMap::new();
                        trailers.insert("grpc-status", code[1..].parse().unwrap());
                        Ok::<_, BoxError>(Frame::trailers(trailers))
                    }
                    Some(word) => Ok(Frame::data(Bytes::from_static(word.as_bytes()))),
                    None => Err("reset".into()),
                }
            });
            let frames = futures_util::StreamExt::then(stream::iter(words), |word| word);
            Body::reply_stream(http_body_util::StreamBody::new(Box::pin(frames)))
        }
    }

    async fn words(mut body: Body) -> String {
        let mut heard = String::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.unwrap();
            match frame.data_ref() {
                Some(bytes) => heard.push_str(std::str::from_utf8(bytes).unwrap()),
                None => heard.push_str("[trailers]"),
            }
        }
        heard
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_for_the_verdict_is_read_again() {
        let all: [(Shape, &[Heard], Outcome, u64); 9] = [
            (Shape::Unary, &[(5, Some("a")), (5, Some("#0"))], Outcome::Success, 10),
            (Shape::Unary, &[(5, Some("a")), (5, Some("#13"))], Outcome::ServerFault, 10),
            (Shape::Unary, &[(5, Some("#14"))], Outcome::ServerFault, 5),
            (Shape::Stream, &[(500, Some("a")), (5, Some("#13"))], Outcome::Success, 0),
            (Shape::Stream, &[(0, Some("a")), (5, Some("#13"))], Outcome::Success, 0),
            (Shape::Unknown, &[(50, Some("#13"))], Outcome::ServerFault, 50),
            (Shape::Unknown, &[(50, Some("a")), (5, Some("#13"))], Outcome::Success, 50),
            (Shape::Unknown, &[(500, Some("a")), (5, Some("#0"))], Outcome::Success, 100),
            (Shape::Unary, &[], Outcome::Success, 0),
        ];
        for (shape, frames, outcome, took) in all {
            let begun = Instant::now();
            let mut body = Words(frames.to_vec()).body();
            let judged = peek(shape, &mut body).await.unwrap();
            let seen = (judged.outcome, begun.elapsed().as_millis() as u64);
            assert_eq!(seen, (outcome, took), "{shape:?} {frames:?}");
            let whole = words(Words(frames.to_vec()).body()).await;
            assert_eq!(words(body).await, whole, "{shape:?} {frames:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_breaks_off_is_the_servers_fault() {
        let error = peek(Shape::Unary, &mut Words(vec![(5, Some("a")), (5, None)]).body()).await.unwrap_err();
        assert_eq!((error.outcome(), error.hint().mark), (Outcome::ServerFault, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_reply_is_not_kept() {
        const LARGE: &str = match std::str::from_utf8(&[b'a'; 40_000]) {
            Ok(text) => text,
            Err(_) => panic!(),
        };
        let mut body = Words(vec![(5, Some(LARGE)), (5, Some(LARGE)), (5, Some("#13"))]).body();
        let begun = Instant::now();
        assert_eq!(peek(Shape::Unary, &mut body).await.unwrap().outcome, Outcome::Success);
        assert_eq!(begun.elapsed(), Duration::from_millis(10));
        assert_eq!(words(body).await.len(), 80_000 + "[trailers]".len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_of_many_empty_frames_is_not_kept() {
        let mut body = Words(vec![(1, Some("")); 5_000]).body();
        let begun = Instant::now();
        assert_eq!(peek(Shape::Unary, &mut body).await.unwrap().outcome, Outcome::Success);
        assert!(begun.elapsed() < Duration::from_millis(1_100), "{:?}", begun.elapsed());
    }
}
