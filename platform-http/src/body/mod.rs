//! What carries the bytes, and what travels beside them?
//!
//! One type for requests and replies, client and server. Beside the bytes a request carries its
//! [`Context`] and a reply its verdict and the guards that are kept until it has been read: here they cost
//! no allocation, in `http::Extensions` they would cost three.
//!
//! # Traps
//! A layer in a slot that replaces the body loses the context; slots are typed so that it cannot.

mod incoming;
mod kept;
mod pause;
mod replay;

use std::{
    error, fmt,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use platform_core::{
    Context, Verdict,
    call::{CarryCall, CarryReply, Guard, Release},
    context,
};
use tokio::time::Instant;

pub use incoming::Incoming;

use kept::Kept;
use replay::Replay;

/// What a body fails with.
pub type BoxError = Box<dyn error::Error + Send + Sync>;

/// The bytes of a request or a reply, and what travels beside them.
pub struct Body {
    kind: Kind,
    side: Side,
}

/// Where the bytes come from. axum's body and hyper's are variants, so that neither needs a box of ours.
enum Kind {
    Empty,
    Full(Bytes),
    /// The same, of which nobody says how long it is.
    Framed(Bytes),
    Incoming(Incoming),
    Axum(axum::body::Body),
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
    Replay(Replay),
}

/// A request needs no guards and a reply no context: one or the other keeps the type small.
enum Side {
    Call { context: Context, idempotent: bool },
    Reply { verdict: Option<Kept>, held: [Option<Guard>; HELD] },
}

impl Body {
    /// A request without bytes, under the context of the request being served, else a new one.
    pub fn empty() -> Self {
        Body::request(Kind::Empty)
    }

    /// A request with these bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Body::request(if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) })
    }

    /// A request with these bytes, in a protocol that frames its messages itself and reads no `content-length`: one
    /// field less to write, to carry and to check.
    pub fn framed(bytes: Bytes) -> Self {
        Body::request(if bytes.is_empty() { Kind::Empty } else { Kind::Framed(bytes) })
    }

    /// A request whose bytes come one by one. It can be repeated as long as no more than `retry.body` of them have
    /// been sent.
    pub fn stream<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Body::request(Kind::Replay(Replay::new(body.map_err(Into::into).boxed_unsync())))
    }

    /// A request that came in from a connection.
    pub(crate) fn arrived(incoming: Incoming, context: Context) -> Self {
        Body { kind: Kind::Incoming(incoming), side: Side::Call { context, idempotent: false } }
    }

    /// A reply that came in from a connection.
    pub(crate) fn answered(incoming: hyper::body::Incoming) -> Self {
        Body::reply_of(Kind::Incoming(Incoming::unlimited(incoming)))
    }

    /// A reply without bytes.
    pub fn empty_reply() -> Self {
        Body::reply_of(Kind::Empty)
    }

    /// A reply with these bytes.
    pub fn reply(bytes: impl Into<Bytes>) -> Self {
        Body::reply_of(Kind::Full(bytes.into()))
    }

    /// A reply whose bytes come one by one.
    pub fn reply_stream<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Body::reply_of(Kind::Boxed(body.map_err(Into::into).boxed_unsync()))
    }

    /// A reply from a router.
    pub(crate) fn reply_from_axum(body: axum::body::Body) -> Self {
        Body::reply_of(Kind::Axum(body))
    }

    /// The same request under `context`.
    #[must_use]
    pub fn under(mut self, context: Context) -> Self {
        self.side = match self.side {
            Side::Call { idempotent, .. } => Side::Call { context, idempotent },
            Side::Reply { .. } => Side::Call { context, idempotent: false },
        };
        self
    }

    /// Declares that the request may be done twice, whatever its method.
    #[must_use]
    pub fn mark_idempotent(mut self) -> Self {
        if let Side::Call { idempotent, .. } = &mut self.side {
            *idempotent = true;
        }
        self
    }

    /// The same as what it is sent as: a layer of a team may have made it with the wrong function.
    pub(crate) fn into_request(self) -> Self {
        match self.side {
            Side::Call { .. } => self,
            Side::Reply { .. } => self.under(context::inherit(Instant::now())),
        }
    }

    /// The same as what it answers with.
    pub(crate) fn into_reply(self) -> Self {
        match self.side {
            Side::Reply { .. } => self,
            Side::Call { .. } => Body::reply_of(self.kind),
        }
    }

    /// The same bytes as axum's body, for a router; what arrived goes on as it is.
    pub(crate) fn into_axum(self) -> axum::body::Body {
        match self.kind {
            Kind::Empty => axum::body::Body::empty(),
            Kind::Full(bytes) | Kind::Framed(bytes) => axum::body::Body::from(bytes),
            Kind::Incoming(body) => axum::body::Body::new(body),
            Kind::Axum(body) => body,
            Kind::Boxed(body) => axum::body::Body::new(body),
            Kind::Replay(body) => axum::body::Body::new(body),
        }
    }

    fn request(kind: Kind) -> Self {
        Body { kind, side: Side::Call { context: context::inherit(Instant::now()), idempotent: false } }
    }

    fn reply_of(kind: Kind) -> Self {
        Body { kind, side: Side::Reply { verdict: None, held: [const { None }; HELD] } }
    }

    fn poll_kind(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) | Kind::Framed(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Kind::Incoming(body) => Pin::new(body).poll_frame(cx),
            Kind::Axum(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Kind::Boxed(body) => Pin::new(body).poll_frame(cx),
            Kind::Replay(body) => Pin::new(body).poll_frame(cx),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(this.poll_kind(cx));
        if !matches!(frame, Some(Ok(_)))
            && let Side::Reply { held, .. } = &mut this.side
        {
            // Read to its end: what was held for it is free, whether or not the body is dropped yet.
            *held = [const { None }; HELD];
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(bytes) | Kind::Framed(bytes) => bytes.is_empty(),
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Axum(body) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
            Kind::Replay(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Framed(_) => SizeHint::default(),
            Kind::Incoming(body) => body.size_hint(),
            Kind::Axum(body) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
            Kind::Replay(body) => body.size_hint(),
        }
    }
}

impl CarryCall for Body {
    fn context(&self) -> &Context {
        match &self.side {
            Side::Call { context, .. } => context,
            Side::Reply { .. } => {
                unreachable!("a reply is never sent as a request: `under` makes one of it first")
            }
        }
    }

    fn context_mut(&mut self) -> &mut Context {
        match &mut self.side {
            Side::Call { context, .. } => context,
            Side::Reply { .. } => {
                unreachable!("a reply is never sent as a request: `under` makes one of it first")
            }
        }
    }

    fn repeat(&self, body: u64) -> Option<Self> {
        let kind = match &self.kind {
            Kind::Empty => Kind::Empty,
            Kind::Full(bytes) if bytes.len() as u64 <= body => Kind::Full(bytes.clone()),
            Kind::Framed(bytes) if bytes.len() as u64 <= body => Kind::Framed(bytes.clone()),
            Kind::Replay(replay) => Kind::Replay(replay.again(body)?),
            _ => return None,
        };
        let Side::Call { context, idempotent } = &self.side else { return None };
        Some(Body { kind, side: Side::Call { context: context.clone(), idempotent: *idempotent } })
    }

    fn idempotent(&self, method: &Method, headers: &HeaderMap) -> bool {
        matches!(self.side, Side::Call { idempotent: true, .. })
            || method.is_idempotent()
            || headers.contains_key("idempotency-key")
    }
}

impl CarryReply for Body {
    fn verdict(&self) -> Option<Verdict> {
        match &self.side {
            Side::Reply { verdict, .. } => verdict.map(Kept::verdict),
            Side::Call { .. } => None,
        }
    }

    fn judge(&mut self, given: Verdict) {
        if let Side::Reply { verdict, .. } = &mut self.side {
            *verdict = Some(Kept::of(given));
        }
    }

    fn is_read(&self) -> bool {
        http_body::Body::is_end_stream(self)
    }

    fn hold(&mut self, guard: Guard) {
        if self.is_read() {
            return; // Nothing left to read: dropping the guard frees it now.
        }
        let Side::Reply { held, .. } = &mut self.side else { return };
        let guard = match held.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(guard);
                return;
            }
            None => guard,
        };
        // A reply that is passed on carries the guards of the client it came from and of the server it goes
        // through: two share a place.
        let last = &mut held[HELD - 1];
        *last = last.take().map(|earlier| Guard::new(Arc::new(Both { _guards: [earlier, guard] }), 0));
    }
}

/// Two guards in one place.
struct Both {
    _guards: [Guard; 2],
}

impl Release for Both {
    // Each is released as it is dropped with this.
    fn release(&self, _ticket: u64) {}
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Empty => "empty",
            Kind::Full(_) | Kind::Framed(_) => "full",
            Kind::Incoming(_) => "incoming",
            Kind::Axum(_) => "axum",
            Kind::Boxed(_) | Kind::Replay(_) => "boxed",
        };
        let side = if matches!(self.side, Side::Call { .. }) { "request" } else { "reply" };
        write!(f, "Body({side}, {kind})")
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body::full(bytes)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Body::full(Bytes::from_static(text.as_bytes()))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::full(text)
    }
}

/// Concurrency slot, bulkhead slot, endpoint load: as many guards as one side has wait for a reply without an
/// allocation.
const HELD: usize = 3;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    struct Freed(AtomicU64);

    impl Release for Freed {
        fn release(&self, ticket: u64) {
            self.0.fetch_add(ticket, Relaxed);
        }
    }

    /// Every layer moves them: 250 bytes more of a request cost 1,700 instructions a call, and what has more than 256
    /// bytes is copied at twice the price.
    #[test]
    fn what_is_moved_stays_small() {
        assert!(size_of::<http::Request<Body>>() <= 360, "{}", size_of::<http::Request<Body>>());
        assert!(size_of::<http::Response<Body>>() <= 248, "{}", size_of::<http::Response<Body>>());
    }

    #[tokio::test]
    async fn a_guard_is_kept_until_the_reply_has_been_read() {
        let freed = Arc::new(Freed(AtomicU64::new(0)));
        let guard = || Guard::new(freed.clone(), 1);

        let mut read = Body::reply("hello");
        CarryReply::hold(&mut read, guard());
        assert_eq!(freed.0.load(Relaxed), 0);
        assert_eq!(read.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
        assert!(read.frame().await.is_none());
        assert_eq!(freed.0.load(Relaxed), 1, "freed at the end, not at the drop");

        let mut dropped = Body::reply("hello");
        CarryReply::hold(&mut dropped, guard());
        drop(dropped);
        assert_eq!(freed.0.load(Relaxed), 2);

        CarryReply::hold(&mut Body::empty_reply(), guard());
        assert_eq!(freed.0.load(Relaxed), 3, "nothing to read, nothing to hold");
    }

    #[tokio::test]
    async fn more_guards_than_places_are_kept_as_well() {
        let freed = Arc::new(Freed(AtomicU64::new(0)));
        let mut passed_on = Body::reply("hello");
        for ticket in [1, 10, 100, 1_000, 10_000] {
            CarryReply::hold(&mut passed_on, Guard::new(freed.clone(), ticket));
        }
        assert_eq!(freed.0.load(Relaxed), 0, "nobody has read it");
        while passed_on.frame().await.is_some() {}
        assert_eq!(freed.0.load(Relaxed), 11_111, "each once");
    }

    #[test]
    fn no_more_is_repeated_than_may_be_kept() {
        let stream = |text: &'static str| Body::stream(http_body_util::Full::new(Bytes::from(text)));
        assert!(CarryCall::repeat(&Body::full("x"), 1).is_some());
        assert!(CarryCall::repeat(&Body::full("xy"), 1).is_none());
        assert!(CarryCall::repeat(&stream("x"), 1).is_some());
        assert!(CarryCall::repeat(&stream("xy"), 1).is_none());
        assert!(CarryCall::repeat(&Body::empty_reply(), 1).is_none());
    }

    #[test]
    fn a_post_is_repeated_only_when_somebody_says_so() {
        let idempotent = |body: &Body, method: Method, key: bool| {
            let mut headers = HeaderMap::new();
            if key {
                headers.insert("idempotency-key", "1".parse().unwrap());
            }
            CarryCall::idempotent(body, &method, &headers)
        };
        assert!(idempotent(&Body::empty(), Method::GET, false));
        assert!(!idempotent(&Body::empty(), Method::POST, false));
        assert!(idempotent(&Body::empty(), Method::POST, true));
        assert!(idempotent(&Body::empty().mark_idempotent(), Method::POST, false));
    }
}
