//! The client order: one storey a function, one layer a line, a reason a line.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use tokio::time::Instant;

use super::{ClientPolicy, Parts, Row};
use crate::{
    call::{Call, Reply},
    context::{Context, SpanId, TraceParent},
    deadline::{Limit, within},
    error::{Error, Result},
    observe::{self, AttemptKind},
    telemetry::trace::innermost,
};

/// Everything below the attempt's clock: the choice of an endpoint, the headers, the connection, the judge.
///
/// One per protocol. It judges each reply once ([`Reply::judge`]); everything above reads that verdict.
pub trait Wire: Send + Sync {
    /// What it sends.
    type Call: Call;
    /// What comes back.
    type Reply: Reply;

    /// Sends one attempt, and tells `asked` whom it asks as soon as it knows.
    fn send(&self, call: Self::Call, asked: &Asked) -> impl Future<Output = Result<Self::Reply>> + Send;

    /// Its part of the order, for [`ClientStack::describe`].
    fn describe(&self) -> Vec<Row>;
}

/// What an attempt and its wire tell each other.
///
/// The wire writes whom it asks, once; the attempt reads it at the end: a timeout has to name the endpoint that
/// was silent, and by then the future that knew it is gone.
#[derive(Debug)]
pub struct Asked {
    endpoint: OnceLock<Arc<str>>,
    parent: SpanId,
}

impl Asked {
    fn under(trace: TraceParent) -> Self {
        let parent = if trace.is_sampled() { innermost(trace) } else { trace.span_id() };
        Asked { endpoint: OnceLock::new(), parent }
    }

    /// This endpoint is asked.
    pub fn set(&self, endpoint: &Arc<str>) {
        self.endpoint.get_or_init(|| Arc::clone(endpoint));
    }

    /// The span that the attempt's own stands under.
    pub fn parent(&self) -> SpanId {
        self.parent
    }

    fn name(self, error: Error) -> Error {
        match self.endpoint.into_inner() {
            Some(endpoint) if error.endpoint().is_none() => error.at_endpoint(&endpoint),
            _ => error,
        }
    }
}

/// A reply, and how it was come by.
#[derive(Debug)]
pub struct Answered<R> {
    /// The reply.
    pub reply: R,
    /// Who gave it.
    pub endpoint: Option<Arc<str>>,
    /// In which attempt, 0 for the first.
    pub attempt: u16,
    /// The whole call's limit. It has ended with the head of the reply; who reads the rest arms it anew.
    pub limit: Option<Limit>,
}

/// The path of every call to one target.
#[derive(Clone)]
pub struct ClientStack {
    policy: ClientPolicy,
    parts: Arc<Parts>,
}

impl ClientStack {
    /// The stack of `policy` over the live pieces of a target.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a policy that contradicts itself.
    pub fn new(policy: ClientPolicy, parts: Arc<Parts>) -> Result<Self> {
        policy.check()?;
        Ok(ClientStack { policy, parts })
    }

    /// Calls the target.
    ///
    /// # Errors
    /// What the last attempt failed with, or a refusal of our own; each names the target, and as far as they
    /// are known the endpoint and the attempt.
    pub fn call<'a, W: Wire>(
        &'a self,
        call: W::Call,
        wire: &'a W,
    ) -> impl Future<Output = Result<Answered<W::Reply>>> + Send + 'a {
        let mut call = Sending(Some(call));
        async move { self.whole(&mut call, wire).await }
    }

    /// The call storey: once per call, whatever happens below.
    async fn whole<W: Wire>(&self, call: &mut Sending<W::Call>, wire: &W) -> Result<Answered<W::Reply>> {
        let context = call.context_mut();
        // The first of the two clock readings of an attempt; all on the way down use it.
        context.set_now(Instant::now());
        // R1 What the caller felt: waits, repeats and refusals included.
        let mut seen = self.parts.calls.begin(context);

        let result = async {
            // R5 Above everything that may wait. It narrows and checks, and arms nothing: whoever waits ends
            //    at the context's deadline.
            let context = call.context_mut();
            let limit = Limit::of_call(context.deadline(), self.policy.timeout, context.now());
            if let Some(limit) = limit {
                context.narrow(limit.deadline());
                seen.ends_at(context.deadline());
                // R9 Nobody would read the answer.
                limit.spent(context.now()).map_or(Ok(()), Err)?;
            }
            let answered = self.attempt(call, AttemptKind::First, limit, wire).await?;
            Ok(Answered { limit, ..answered })
        }
        .await;

        seen.report(observe::verdict(result.as_ref().map(|answered| &answered.reply)));
        result.map_err(|error| error.at_target(&self.parts.target))
    }

    /// The attempt storey: once per try.
    async fn attempt<W: Wire>(
        &self,
        call: &mut Sending<W::Call>,
        kind: AttemptKind,
        whole: Option<Limit>,
        wire: &W,
    ) -> Result<Answered<W::Reply>> {
        let context = call.context_mut();
        // Each try is a span of its own, a child of the one that is served.
        let asked = Asked::under(context.trace());
        let attempt = context.attempt();
        context.begin_attempt(attempt, context.now());
        // R1 A refused try is still a try on the graph.
        let mut seen = self.parts.attempts.begin(context, kind);

        let result = async {
            // R5 The call's only timer, armed when the wire is pending: what is left of the call, or one
            //    attempt's share of it, whichever is less. Below every guard that judges the target, so that
            //    silence counts against it. Whoever reads the context below sees this limit.
            let context = call.context_mut();
            let limit = Limit::of_attempt(whole, self.policy.attempt_timeout, context.now());
            if let Some(limit) = limit {
                context.narrow(limit.deadline());
                seen.ends_at(context.deadline());
            }
            // R7 and the endpoint storey: choose, write the headers, send, judge.
            within(limit, wire.send(call.take(), &asked)).await.unwrap_or_else(|limit| Err(limit.exceeded()))
        }
        .await;

        // The verdict was given once, at the bottom; all read the same.
        seen.report(observe::verdict(result.as_ref()));
        match result {
            Ok(reply) => Ok(Answered { reply, endpoint: asked.endpoint.into_inner(), attempt, limit: None }),
            Err(error) => Err(asked.name(error).at_attempt(attempt)),
        }
    }

    /// What was called.
    pub fn target(&self) -> &Arc<str> {
        &self.parts.target
    }

    /// The policy it runs with.
    pub fn policy(&self) -> &ClientPolicy {
        &self.policy
    }

    /// The order above as data, with what is set.
    pub fn describe<W: Wire>(&self, wire: &W) -> Vec<Row> {
        use super::Storey::{Attempt, Call};
        let mut rows = vec![
            Row::new(Call, "context", "What travels with a request?"),
            Row::new(Call, "observe-call", "What happened?"),
            Row::new(Call, "deadline", "How long may it take?").with("timeout", &self.policy.timeout),
            Row::new(Attempt, "observe-attempt", "What happened?"),
            Row::new(Attempt, "attempt-deadline", "How long may it take?")
                .with("attempt_timeout", &self.policy.attempt_timeout),
        ];
        rows.extend(wire.describe());
        rows
    }
}

/// The call on its way down. It stays where it is and the storeys pass a pointer: every move of an HTTP request
/// costs as much as a guard.
struct Sending<Q>(Option<Q>);

impl<Q: Call> Sending<Q> {
    fn context_mut(&mut self) -> &mut Context {
        self.0.as_mut().expect("only the wire takes the call").context_mut()
    }

    fn take(&mut self) -> Q {
        self.0.take().expect("one call for each attempt")
    }
}
