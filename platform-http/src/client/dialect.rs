//! What is spoken over a client's connections?
//!
//! HTTP, unless another protocol over HTTP/2 brings its own words: what is written into a request, what a reply
//! means, how an attempt is counted and told. Endpoints, connections, guards and faults are the same for all.

use std::{
    borrow::Cow,
    fmt,
    future::{Future, ready},
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use platform_core::{
    ErrorKind, Hint, Outcome, Result, Verdict,
    context::{TraceId, wire},
    fault::Abort,
    telemetry::trace::{Status, Value},
};

use crate::{Body, wire::LoadReport};

/// A protocol over HTTP: the part of an attempt that is its own.
pub trait Dialect: Send + Sync + 'static {
    /// What is called, as attempts are counted by it.
    type Name: Send + Sync;
    /// How an attempt was answered: a status, a code.
    type Answer: Copy + Send;

    /// Whose names the deadline and the attempt go by in headers.
    const HEADERS: wire::Protocol;
    /// Does it take more than a reply's head to know what the reply means?
    const LISTENS: bool;

    /// What this request calls.
    fn name(&self, request: &Request<Body>) -> Self::Name;

    /// May this call wait for somebody to ask as long as its limit allows, and not only `balance.set.empty_wait`?
    fn waits(&self, request: &Request<Body>) -> bool {
        let _ = request;
        false
    }

    /// The last look at what is sent, when its headers are written.
    fn sends(&self, name: &Self::Name, call: &mut Request<Body>) {
        let _ = (name, call);
    }

    /// What a reply means by its head.
    fn judge(&self, name: &Self::Name, reply: &Response<Body>) -> Judged<Self::Answer>;

    /// The same by its first words as well, which are read within the attempt's limit and put back.
    ///
    /// # Errors
    /// A reply that broke off.
    fn listen(
        &self,
        name: &Self::Name,
        reply: &mut Response<Body>,
    ) -> impl Future<Output = Result<Judged<Self::Answer>>> + Send {
        ready(Ok(self.judge(name, reply)))
    }

    /// A reply that is no failure by what was heard of it so far. Who reads on and finds that it is one tells `late`.
    fn follow(&self, name: &Self::Name, reply: &mut Response<Body>, late: impl FnOnce() -> Late) {
        let _ = (name, reply, late);
    }

    /// The reply that a fault is answered with; `None` where there is no reply.
    fn abort(&self, abort: Abort) -> Option<Response<Body>>;

    /// Counts an attempt.
    fn observe(&self, name: &Self::Name, end: &End<Self::Answer>, took: Duration, trace: Option<TraceId>);

    /// What the span of an attempt tells of it.
    fn tell(&self, name: &Self::Name, end: &End<Self::Answer>) -> Told;
}

/// What a reply meant.
#[derive(Clone, Copy, Debug)]
pub struct Judged<A> {
    /// To the guards.
    pub outcome: Outcome,
    /// What it said about coming back.
    pub hint: Hint,
    /// To whoever counts it.
    pub answer: A,
    /// How many requests the endpoint said that it had under way; see [`under_way`].
    pub under_way: Option<u32>,
}

/// How many requests an endpoint had under way, by its own word in these trailers: gRFC A51's
/// `endpoint-load-metrics-bin` with a named metric `rif`.
pub fn under_way(trailers: &HeaderMap) -> Option<u32> {
    trailers.get(&wire::LOAD_REPORT_BIN).and_then(LoadReport::parse_trailer).map(|report| report.rif)
}

/// Tells the balancer what became of an endpoint's reply after its verdict; other guards have heard enough.
pub struct Late(Box<Hears>);

type Hears = dyn Fn(&Verdict, Option<u32>) + Send + Sync;

impl Late {
    /// What `hears` it.
    pub fn of(hears: impl Fn(&Verdict, Option<u32>) + Send + Sync + 'static) -> Self {
        Late(Box::new(hears))
    }

    /// It ended so, with so many requests under way there as it said itself.
    pub fn report(&self, verdict: &Verdict, under_way: Option<u32>) {
        (self.0)(verdict, under_way);
    }
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late").finish_non_exhaustive()
    }
}

/// How an attempt ended, as the labels tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End<A> {
    /// With an error of this kind.
    Failed(ErrorKind),
    /// With a reply.
    Replied(A),
}

/// What a span tells of an attempt.
#[derive(Debug)]
pub struct Told {
    /// The span's name.
    pub name: Cow<'static, str>,
    /// What is the protocol's own.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether the reply was an error; a failure has its own words.
    pub status: Status,
}
