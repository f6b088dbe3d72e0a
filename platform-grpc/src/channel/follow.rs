//! What became of a stream after its first word?
//!
//! A stream is judged by its head, because nobody can wait for its end. Whoever breaks off later, or says so in the
//! trailers, is still one more failure of that endpoint: ejection hears of it, so that an instance whose streams all
//! break is left out. The target's breaker and limits do not: they have had their verdict, and many streams that break
//! with one instance are no reason to stop asking the others.

use std::{
    pin::Pin,
    task::{self, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use platform_core::{Hint, Outcome, Verdict};
use platform_http::{Body, body::BoxError, client::dialect::Late};
use tokio::time::Instant;

use crate::classify::Judged;

/// Tells `late` once how the reply ended, and how busy the endpoint said that it was then. One that is dropped before
/// its end is no failure.
pub(super) fn follow(reply: &mut Response<Body>, late: Late) {
    let rest = std::mem::replace(reply.body_mut(), Body::empty_reply());
    *reply.body_mut() = Body::reply_stream(Followed { rest, late: Some(late) });
}

struct Followed {
    rest: Body,
    late: Option<Late>,
}

impl Followed {
    fn ended(&mut self, outcome: Outcome, hint: Hint, under_way: Option<u32>) {
        if let Some(late) = self.late.take() {
            late.report(&Verdict::new(outcome, Instant::now()).with_hint(hint), under_way);
        }
    }
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = task::ready!(Pin::new(&mut this.rest).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    // Trailers without a status are an end without one.
                    let judged = Judged::heard(trailers);
                    match judged {
                        Some(judged) => this.ended(judged.outcome, judged.hint, judged.under_way),
                        None => this.ended(Outcome::ServerFault, Hint::NONE, None),
                    }
                }
            }
            Some(Err(_)) | None => this.ended(Outcome::ServerFault, Hint::NONE, None),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::{StreamExt as _, stream};
    use http::HeaderMap;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    type Word = Result<Frame<Bytes>, BoxError>;

    fn trailers(fields: &[(&'static str, &str)]) -> Word {
        let mut trailers = HeaderMap::new();
        for (name, value) in fields {
            trailers.insert(*name, value.parse().unwrap());
        }
        Ok(Frame::trailers(trailers))
    }

    #[tokio::test]
    async fn an_end_is_told_once_and_only_by_who_reads_to_it() {
        let word = || Ok(Frame::data(Bytes::from_static(b"a")));
        let table: [(Vec<Word>, Option<Outcome>); 6] = [
            (vec![word(), trailers(&[("grpc-status", "0")])], Some(Outcome::Success)),
            (vec![word(), trailers(&[("grpc-status", "13")])], Some(Outcome::ServerFault)),
            (vec![word(), trailers(&[("grpc-status", "5")])], Some(Outcome::CallerFault)),
            (vec![word(), trailers(&[("checksum", "5")])], Some(Outcome::ServerFault)),
            (vec![word(), Err("reset".into())], Some(Outcome::ServerFault)),
            (vec![word()], Some(Outcome::ServerFault)),
        ];
        for (words, expected) in table {
            let heard: Arc<Mutex<Vec<Outcome>>> = Arc::default();
            let mut reply = Response::new(Body::reply_stream(StreamBody::new(stream::iter(words))));
            let hears = Arc::clone(&heard);
            follow(&mut reply, Late::of(move |verdict, _| hears.lock().unwrap().push(verdict.outcome)));
            reply.body_mut().frame().await.unwrap().unwrap();
            assert!(heard.lock().unwrap().is_empty());
            reply.into_body().into_data_stream().collect::<Vec<_>>().await;
            assert_eq!(*heard.lock().unwrap(), expected.into_iter().collect::<Vec<_>>());
        }
        let heard: Arc<Mutex<Vec<Outcome>>> = Arc::default();
        let mut reply = Response::new(Body::reply_stream(StreamBody::new(stream::iter(vec![word()]))));
        let hears = Arc::clone(&heard);
        follow(&mut reply, Late::of(move |verdict, _| hears.lock().unwrap().push(verdict.outcome)));
        reply.body_mut().frame().await.unwrap().unwrap();
        drop(reply);
        assert!(heard.lock().unwrap().is_empty(), "who stops listening blames nobody");
    }
}
