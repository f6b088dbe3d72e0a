//! A request's bytes that come one by one, kept for as long as they may be needed again.
//!
//! The first attempt draws them from their source; while a copy is held for a repeat, what was drawn is written on a
//! tape, up to `retry.body`. A repeat reads the tape from its beginning and goes on with the source. A body that
//! outgrows the limit is sent on and cannot be repeated any more. When the last copy is gone nothing is kept.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use super::BoxError;

/// One reader of a tape.
pub(super) struct Replay {
    tape: Arc<Mutex<Tape>>,
    /// How many pieces this one has read.
    read: usize,
}

struct Tape {
    source: Source,
    pieces: Vec<Piece>,
    /// How many pieces were drawn and not kept, because nobody else was there to want them.
    passed: usize,
    bytes: u64,
    limit: u64,
    outgrown: bool,
    readers: usize,
    /// Of readers that wait for the source, which knows only the last one that asked.
    waiting: Vec<Waker>,
}

enum Source {
    Open(UnsyncBoxBody<Bytes, BoxError>),
    Ended,
    Failed(String),
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Replay {
    pub(super) fn new(source: UnsyncBoxBody<Bytes, BoxError>) -> Self {
        let tape = Tape {
            source: Source::Open(source),
            pieces: Vec::new(),
            passed: 0,
            bytes: 0,
            limit: 0,
            outgrown: false,
            readers: 1,
            waiting: Vec::new(),
        };
        Replay { tape: Arc::new(Mutex::new(tape)), read: 0 }
    }

    /// Another reader, from the beginning, if all that was drawn so far is still there and at most `limit` bytes.
    pub(super) fn again(&self, limit: u64) -> Option<Self> {
        let mut tape = self.lock();
        // What is known to be too large need not be tried.
        let least = match &tape.source {
            Source::Open(source) => tape.bytes.saturating_add(source.size_hint().lower()),
            Source::Ended => tape.bytes,
            Source::Failed(_) => return None,
        };
        if tape.outgrown || tape.passed > 0 || least > limit {
            return None;
        }
        tape.limit = limit;
        tape.readers += 1;
        Some(Replay { tape: Arc::clone(&self.tape), read: 0 })
    }

    fn lock(&self) -> MutexGuard<'_, Tape> {
        // Each change is whole before the next line that could panic.
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tape {
    /// Draws the next piece, for a reader that has read all there is.
    fn draw(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BoxError>>> {
        let source = match &mut self.source {
            Source::Open(source) => source,
            Source::Ended => return Poll::Ready(None),
            Source::Failed(why) => return Poll::Ready(Some(Err(why.as_str().into()))),
        };
        let Poll::Ready(drawn) = Pin::new(source).poll_frame(cx) else {
            if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                self.waiting.push(cx.waker().clone());
            }
            return Poll::Pending;
        };
        // Whoever asked before is not known to the source any more.
        self.waiting.drain(..).for_each(Waker::wake);
        let piece = match drawn {
            None => {
                self.source = Source::Ended;
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                self.source = Source::Failed(error.to_string());
                return Poll::Ready(Some(Err(error)));
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Piece::Data(data),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Piece::Trailers(trailers),
                    Err(_) => return Poll::Ready(Some(Err("a frame of an unknown kind".into()))),
                },
            },
        };
        self.keep(&piece);
        Poll::Ready(Some(Ok(piece)))
    }

    fn keep(&mut self, piece: &Piece) {
        if let Piece::Data(data) = piece {
            self.bytes = self.bytes.saturating_add(data.len() as u64);
        }
        if self.outgrown || self.readers < 2 || self.bytes > self.limit {
            self.outgrown |= self.readers > 1;
            self.passed += self.pieces.len() + 1;
            self.pieces = Vec::new();
        } else {
            self.pieces.push(piece.clone());
        }
    }
}

impl Body for Replay {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let mut tape = this.tape.lock().unwrap_or_else(PoisonError::into_inner);
        let piece = if this.read < tape.passed {
            // Another was faster, and what it read is gone.
            return Poll::Ready(Some(Err(OUTGROWN.into())));
        } else if let Some(piece) = tape.pieces.get(this.read - tape.passed) {
            piece.clone()
        } else {
            match ready!(tape.draw(cx)) {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        };
        this.read += 1;
        Poll::Ready(Some(Ok(match piece {
            Piece::Data(data) => Frame::data(data),
            Piece::Trailers(trailers) => Frame::trailers(trailers),
        })))
    }

    fn is_end_stream(&self) -> bool {
        let tape = self.lock();
        let ended = match &tape.source {
            Source::Open(source) => source.is_end_stream(),
            Source::Ended => true,
            Source::Failed(_) => false,
        };
        ended && self.read == tape.passed + tape.pieces.len()
    }

    fn size_hint(&self) -> SizeHint {
        let tape = self.lock();
        let kept = tape.pieces.get(self.read.saturating_sub(tape.passed)..).unwrap_or_default();
        let kept: u64 = kept.iter().map(Piece::len).sum();
        let rest = match &tape.source {
            Source::Open(source) => source.size_hint(),
            Source::Ended | Source::Failed(_) => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(kept.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(kept)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Piece::Data(data) => data.len() as u64,
            Piece::Trailers(_) => 0,
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let mut tape = self.lock();
        tape.readers -= 1;
        // The source may know only this one, and another waits.
        tape.waiting.drain(..).for_each(Waker::wake);
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("read", &self.read).finish_non_exhaustive()
    }
}

const OUTGROWN: &str = "the body outgrew what is kept for a repeat (retry.body)";

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};
    use proptest::prelude::*;
    use tokio::sync::mpsc;

    use super::*;

    fn of(pieces: &[&'static str]) -> Replay {
        let frames: Vec<Result<_, BoxError>> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
        Replay::new(StreamBody::new(stream::iter(frames)).boxed_unsync())
    }

    /// A body that is fed by hand.
    fn fed() -> (mpsc::UnboundedSender<&'static str>, Replay) {
        let (feed, fed) = mpsc::unbounded_channel::<&'static str>();
        let frames = stream::unfold(fed, |mut fed| async {
            let piece = fed.recv().await?;
            Some((Ok::<_, BoxError>(Frame::data(Bytes::from_static(piece.as_bytes()))), fed))
        });
        (feed, Replay::new(StreamBody::new(frames.boxed()).boxed_unsync()))
    }

    async fn rest(body: &mut Replay) -> Result<String, BoxError> {
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                text.push_str(std::str::from_utf8(&data)?);
            }
        }
        Ok(text)
    }

    async fn one(body: &mut Replay) -> Bytes {
        body.frame().await.expect("a frame").expect("no error").into_data().expect("data")
    }

    #[tokio::test]
    async fn a_repeat_reads_all_again_wherever_the_first_attempt_broke_off() {
        for broken_off in 0..=3 {
            let mut first = of(&["a", "b", "c"]);
            let spare = first.again(64).unwrap();
            for _ in 0..broken_off {
                one(&mut first).await;
            }
            drop(first);
            let mut second = spare.again(64).unwrap();
            assert_eq!(one(&mut second).await, "a");
            drop(second);
            let mut third = spare.again(64).unwrap();
            drop(spare);
            assert_eq!(rest(&mut third).await.unwrap(), "abc", "after {broken_off}");
        }
    }

    #[tokio::test]
    async fn what_outgrows_the_limit_is_sent_on_and_not_repeated() {
        let mut first = of(&["ab", "cd", "ef"]);
        let spare = first.again(3).unwrap();
        assert_eq!(one(&mut first).await, "ab");
        assert!(spare.again(3).is_some());
        let mut behind = spare.again(3).unwrap();
        assert_eq!(rest(&mut first).await.unwrap(), "cdef");
        assert!(spare.again(3).is_none());
        assert!(rest(&mut behind).await.unwrap_err().to_string().contains("retry.body"));
    }

    #[tokio::test]
    async fn what_is_known_to_be_too_large_is_not_tried() {
        let known = http_body_util::Full::new(Bytes::from_static(b"abcd")).map_err(|never| match never {});
        let first = Replay::new(known.boxed_unsync());
        assert!(first.again(3).is_none());
        assert!(first.again(4).is_some());
        assert_eq!(first.size_hint().exact(), Some(4));
    }

    #[tokio::test]
    async fn without_a_copy_nothing_is_kept() {
        let mut only = of(&["a", "b"]);
        one(&mut only).await;
        assert!(only.again(64).is_none(), "too late");
        assert!(only.lock().pieces.is_empty());
        assert_eq!(rest(&mut only).await.unwrap(), "b");
        assert!(only.is_end_stream());

        let mut first = of(&["a", "b"]);
        let spare = first.again(64).unwrap();
        one(&mut first).await;
        drop(spare);
        assert_eq!(rest(&mut first).await.unwrap(), "b");
        assert!(first.lock().pieces.is_empty(), "nobody will ask for it");
    }

    #[tokio::test]
    async fn two_read_at_once_and_whoever_waits_is_woken() {
        let (feed, mut first) = fed();
        let mut hedge = first.again(64).unwrap();
        let mut reading = Box::pin(rest(&mut first));
        let mut racing = Box::pin(rest(&mut hedge));
        assert!(futures_util::poll!(reading.as_mut()).is_pending());
        assert!(futures_util::poll!(racing.as_mut()).is_pending());
        feed.send("a").unwrap();
        drop(racing);
        // The source knows only the hedge, which is gone.
        feed.send("b").unwrap();
        drop(feed);
        let read = tokio::time::timeout(std::time::Duration::from_secs(5), reading).await;
        assert_eq!(read.expect("woken").unwrap(), "ab");
    }

    #[tokio::test]
    async fn a_source_that_fails_fails_for_all() {
        let frames =
            stream::iter([Ok(Frame::data(Bytes::from_static(b"a"))), Err::<_, BoxError>("gone".into())]);
        let mut first = Replay::new(StreamBody::new(frames).boxed_unsync());
        let mut second = first.again(64).unwrap();
        assert!(rest(&mut first).await.unwrap_err().to_string().contains("gone"));
        assert!(first.again(64).is_none());
        assert_eq!(one(&mut second).await, "a");
        assert!(rest(&mut second).await.unwrap_err().to_string().contains("gone"));
    }

    proptest! {
        /// However two readers take turns: each reads all, in order, unless the body outgrew the limit; then the
        /// faster one does.
        #[test]
        fn every_reader_reads_the_same(
            sizes in prop::collection::vec(0_usize..5, 0..8), turns in prop::collection::vec(any::<bool>(), 0..24), limit in 0_u64..20
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let words = ["", "a", "bb", "ccc", "dddd"];
                let pieces: Vec<&'static str> = sizes.iter().map(|size| words[*size]).collect();
                let whole = pieces.concat();
                let mut readers = [of(&pieces), of(&[])];
                let Some(copy) = readers[0].again(limit) else { return Ok(()) };
                readers[1] = copy;
                let mut read = [String::new(), String::new()];
                let mut failed = [false; 2];
                for turn in turns.into_iter().map(usize::from).chain([0; 9]).chain([1; 9]) {
                    match readers[turn].frame().await {
                        Some(Ok(frame)) => {
                            let data = frame.into_data().unwrap();
                            read[turn].push_str(std::str::from_utf8(&data).unwrap());
                        }
                        Some(Err(_)) => failed[turn] = true,
                        None => {}
                    }
                }
                prop_assert!(!(failed[0] && failed[1]));
                for turn in 0..2 {
                    if failed[turn] {
                        prop_assert!(whole.len() as u64 > limit);
                    } else {
                        prop_assert_eq!(&read[turn], &whole);
                    }
                }
                Ok(())
            })?;
        }
    }
}
