//! The client order: one storey a function, one layer a line, a reason a line.

use std::{future::Future, pin::pin, sync::Arc};

use super::{
    Asked, ClientPolicy, Guards, Parts, Row,
    duty::{AttemptDuty, CallDuty, Slot},
    guards::{HELD_BULKHEAD, HELD_CONCURRENCY},
    knobs::Knobs,
    seats::Seat,
};
use crate::{
    admission::{Kept, Turn},
    call::{Call, Guard, Release, Reply},
    config::Live,
    context::{Context, Notes},
    deadline::{Limit, answered_within},
    error::{Error, Result},
    observe::{self, AttemptKind},
    outcome::Outcome,
    tick::Tick,
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

    /// Is there anybody to ask but those in `asked`? A hedge that nobody could serve is not begun, nor paid for.
    fn has_other(&self, asked: &[Arc<str>]) -> bool {
        let _ = asked;
        true
    }

    /// Its part of the order, for [`ClientStack::describe`]. What it says of the storey call is the slot of that name.
    fn describe(&self) -> Vec<Row>;
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

/// The path of every call to one target. Clones share all of it.
#[derive(Clone)]
pub struct ClientStack {
    pub(super) policy: Live<ClientPolicy>,
    pub(super) parts: Arc<Parts>,
    pub(super) guards: Arc<Guards>,
    /// Policy and guards once more, as the target knows them; beside it they are a step nearer to a call.
    seat: Arc<Seat>,
}

/// An attempt that was answered.
pub(super) struct Tried<'a, R> {
    pub(super) reply: R,
    pub(super) endpoint: Option<Arc<str>>,
    pub(super) attempt: u16,
    /// One of the target's slots, until its reply has been read.
    pub(super) slot: Option<Slot<'a>>,
}

impl ClientStack {
    /// The stack of `policy` over the live pieces of a target.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a policy that contradicts itself.
    pub fn new(policy: ClientPolicy, parts: Arc<Parts>) -> Result<Self> {
        policy.check()?;
        let seat = parts.seat(policy);
        let (policy, guards) = (seat.policy.clone(), Arc::clone(&seat.guards));
        Ok(ClientStack { policy, parts, guards, seat })
    }

    /// Another policy from now on, and what it was. Calls under way end under the one they began with; what the
    /// guards have learnt stays. Clients that share these guards get the same numbers, and what an operator has laid
    /// over the policy ([`Parts::lay`]) stays in force over the new one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a policy that contradicts itself; the old one stays.
    pub fn change(&self, policy: ClientPolicy) -> Result<Arc<ClientPolicy>> {
        self.edit(|known| *known = policy)
    }

    /// The same for a part of it: nothing that somebody else changes at the same time is lost. `edit` is given what
    /// was set, without what an operator has laid over it.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub fn edit(&self, edit: impl FnOnce(&mut ClientPolicy)) -> Result<Arc<ClientPolicy>> {
        self.parts.edit(&self.seat, edit)
    }

    /// Calls the target.
    ///
    /// # Errors
    /// What the last attempt failed with, or a refusal of our own; each names the target, and as far as they
    /// are known the endpoint and the attempt, and says why nothing was repeated.
    pub fn call<'a, W: Wire>(
        &'a self,
        call: W::Call,
        wire: &'a W,
    ) -> impl Future<Output = Result<Answered<W::Reply>>> + Send + 'a {
        let mut call = Sending(Some(call));
        async move { pin!(self.whole(&mut call, None, wire)).await }
    }

    /// [`call`](Self::call) for who has a place for the call: it is taken out of there once, by the wire, and moved
    /// by nobody else.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// # Panics
    /// If there is no call.
    pub async fn call_from<W: Wire>(
        &self,
        call: &mut Sending<W::Call>,
        wire: &W,
    ) -> Result<Answered<W::Reply>> {
        pin!(self.whole(call, None, wire)).await
    }

    /// [`call_from`](Self::call_from) with something of a team's own around all that stands below the call's deadline:
    /// the slot `call`. It is counted as a call, and cut at the call's limit, whatever it does. What it asks, and how
    /// often, is its own affair: [`call_inside`](Self::call_inside), with the limit that `slot` is given.
    ///
    /// # Errors
    /// What `slot` fails with; a limit that was spent on arrival, or reached.
    pub async fn call_around<Q, R, F>(
        &self,
        mut call: Q,
        slot: impl FnOnce(Q, Option<Limit>) -> F + Send,
    ) -> Result<R>
    where
        Q: Call,
        R: Reply,
        F: Future<Output = Result<R>> + Send,
    {
        let knobs = Knobs::of(self.seat.knobs.read());
        let context = call.context_mut();
        context.set_now(Tick::now());
        // R1 What the caller felt; whatever the slot does is part of it.
        let mut duty = CallDuty::begin(Some(&self.parts), &self.guards, context);
        let notes = context.notes().cloned();
        let limit = match limit(context, &mut duty, None, &knobs) {
            Ok(limit) => limit,
            Err(error) => return Err(self.refused(error, &mut duty, &notes)),
        };
        // R5 Whoever waits below ends at this limit by itself; a team's layer does not.
        let answered = answered_within(limit, pin!(slot(call, limit))).await;
        duty.report(&observe::verdict(answered.as_ref()));
        // What comes from below was told there.
        answered.map_err(|error| if error.target().is_some() { error } else { self.told(error, &notes) })
    }

    /// All that stands below the slot `call`, for the one who fills it: limits, repeats, attempts. `limit` is the
    /// whole call's; without it, what the call's context and the policy say counts.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// # Panics
    /// If there is no call.
    pub async fn call_inside<W: Wire>(
        &self,
        call: &mut Sending<W::Call>,
        limit: Option<Limit>,
        wire: &W,
    ) -> Result<Answered<W::Reply>> {
        pin!(self.whole(call, Some(&Outside { limit }), wire)).await
    }

    /// The call storey: once per call, whatever happens below. A slot has done its first part `outside`.
    async fn whole<W: Wire>(
        &self,
        call: &mut Sending<W::Call>,
        outside: Option<&Outside>,
        wire: &W,
    ) -> Result<Answered<W::Reply>> {
        let knobs = Knobs::of(self.seat.knobs.read());
        let context = call.context_mut();
        // The first of the two clock readings of an attempt; all on the way down use it.
        context.set_now(Tick::now());
        // R1 What the caller felt: waits, repeats and refusals included.
        let counted = if outside.is_none() { Some(&*self.parts) } else { None };
        let mut duty = CallDuty::begin(counted, &self.guards, context);
        let notes = context.notes().cloned();

        let (limit, waits) = match self.enter(context, &mut duty, outside, &knobs) {
            Ok(entered) => entered,
            Err(error) => return Err(self.refused(error, &mut duty, &notes)),
        };
        if waits {
            match self.guards.bulkhead.wait(context).await {
                Ok(ticket) => duty.bulkhead = ticket,
                Err(error) => return Err(self.refused(error, &mut duty, &notes)),
            }
        }

        // Below the whole call's clock, above the attempt's: the attempts, and whether there is another.
        let tried = pin!(self.recover(call, limit, &knobs, &notes, wire)).await;

        let verdict = observe::verdict(tried.as_ref().map(|tried| &tried.reply));
        let bulkhead = duty.report(&verdict);
        let Tried { mut reply, endpoint, attempt, slot } = match tried {
            Ok(tried) => tried,
            Err(error) => return Err(self.told(error, &notes)),
        };
        // A capacity comes back when the reply has been read, not when its head is here.
        let held = if bulkhead.and_then(Kept::pass_on).is_some() { HELD_BULKHEAD } else { 0 }
            | if slot.and_then(Kept::pass_on).is_some() { HELD_CONCURRENCY } else { 0 };
        if held != 0 {
            reply.hold(Guard::new(Arc::clone(&self.guards) as Arc<dyn Release>, held));
        }
        Ok(Answered { reply, endpoint, attempt, limit })
    }

    /// The way into the call storey. A function of its own that waits for nothing: what is decided here need not be
    /// kept in the call's future. Says the call's limit, and whether its turn has to be waited for.
    #[inline]
    fn enter(
        &self,
        context: &mut Context,
        duty: &mut CallDuty<'_>,
        outside: Option<&Outside>,
        knobs: &Knobs,
    ) -> Result<(Option<Limit>, bool)> {
        let limit = limit(context, duty, outside, knobs)?;
        // R2 Arithmetic only, before anything that keeps state. It counts calls; the budget counts repeats.
        duty.rate = self.guards.rate_limit.admit(context)?;
        // Above recovery: a call asleep between two attempts still holds our memory.
        match self.guards.bulkhead.turn(context) {
            Turn::Now(done) => duty.bulkhead = done?,
            Turn::Wait => return Ok((limit, true)),
        }
        Ok((limit, false))
    }

    /// The attempt storey: once per try.
    pub(super) async fn attempt<'a, W: Wire>(
        &'a self,
        call: &mut Sending<W::Call>,
        kind: AttemptKind,
        asked: &Asked,
        whole: Option<Limit>,
        knobs: &Knobs,
        wire: &W,
    ) -> Result<Tried<'a, W::Reply>> {
        let context = call.context_mut();
        // Each try is a span of its own, a child of the one that is served.
        let attempt = context.attempt();
        context.begin_attempt(attempt, context.now());
        // R1 A refused try is still a try on the graph.
        let mut duty = AttemptDuty::begin(&self.parts, &self.guards, kind, context);

        let waits = match self.admit(context, &mut duty) {
            Ok(waits) => waits,
            Err(error) => {
                duty.refused(error.outcome());
                return Err(error.at_attempt(attempt));
            }
        };
        if waits {
            match self.guards.concurrency.wait(context).await {
                Ok(ticket) => duty.room = ticket,
                Err(error) => {
                    duty.refused(error.outcome());
                    return Err(error.at_attempt(attempt));
                }
            }
        }
        // After a wait for room the clock was read anew: the attempt begins here.
        let begun = context.now();
        // R5 The call's only timer, armed when the wire is pending: what is left of the call, or one
        //    attempt's share of it, whichever is less. Whoever reads the context below sees this limit.
        let limit = Limit::of_attempt_within(whole, knobs.attempt_timeout, begun);
        if let Some(limit) = limit {
            context.narrow(limit.deadline());
            duty.ends = context.deadline();
        }
        // R6, R7 and the endpoint storey: choose, injected faults, write the headers, send, judge. Pinned where it
        // is made: it is most of a call, and whoever moves it copies all of it.
        let result = {
            let sending = pin!(wire.send(call.take(), asked));
            pin!(answered_within(limit, sending)).await
        };

        // The verdict was given once, at the bottom; all read the same.
        let verdict = observe::verdict(result.as_ref());
        let slot = duty.report(&verdict);
        let guards = &*self.guards;
        if matches!(verdict.outcome, Outcome::Success | Outcome::CallerFault | Outcome::Timeout) {
            // Failures are often fast, and would make the next hedge come too early.
            guards.latencies.record_nanos(verdict.at, verdict.at.nanos_since(begun));
        }
        if kind == AttemptKind::First && verdict.outcome.readings().deposit {
            guards.budget.deposit(verdict.at);
            guards.hedges.deposit(verdict.at);
        }
        match result {
            Ok(reply) => Ok(Tried { reply, endpoint: asked.endpoint(), attempt, slot }),
            Err(error) => Err(asked.name(error).at_attempt(attempt)),
        }
    }

    /// The way into the attempt storey, which waits for nothing; says whether there is something to wait for.
    #[inline]
    fn admit(&self, context: &Context, duty: &mut AttemptDuty<'_>) -> Result<bool> {
        let guards = &*self.guards;
        // R2 Arithmetic on a short memory; it refuses a share of the calls, not all.
        duty.throttle = guards.throttle.admit(context)?;
        // R4 Above the attempt's limit, so that silence counts against the target.
        duty.breaker = guards.breaker.admit(context)?;
        // R3 Below the breaker, so that an open circuit never looks like spare capacity; above the limit,
        //    to learn from it.
        match guards.concurrency.turn(context) {
            Turn::Now(done) => duty.room = done?,
            Turn::Wait => return Ok(true),
        }
        Ok(false)
    }

    /// A call that did not come as far as its first attempt.
    #[cold]
    fn refused(&self, error: Error, duty: &mut CallDuty<'_>, notes: &Option<Arc<Notes>>) -> Error {
        duty.refused(error.outcome());
        self.told(error, notes)
    }

    /// The error with its target; a refusal of our own is also told on the line of the request being served.
    #[cold]
    fn told(&self, error: Error, notes: &Option<Arc<Notes>>) -> Error {
        if let Some(notes) = notes
            && error.outcome() == Outcome::Local
        {
            notes.because(&format!("{}:refused({} {})", self.target(), error.layer(), error.kind()));
        }
        error.at_target(&self.parts.target)
    }

    /// What was called.
    pub fn target(&self) -> &Arc<str> {
        &self.parts.target
    }

    /// The policy it runs with: what was set, and what an operator has laid over it.
    pub fn policy(&self) -> ClientPolicy {
        *self.policy.load()
    }

    pub(super) fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    /// The guards, for who operates them.
    pub fn guards(&self) -> &Arc<Guards> {
        &self.guards
    }

    /// The order above as data, with what is set.
    pub fn describe<W: Wire>(&self, wire: &W) -> Vec<Row> {
        super::describe::with_wire(
            super::describe::client(&self.policy.load(), &self.guards),
            wire.describe(),
        )
    }
}

/// What a slot around the call storey has found out.
struct Outside {
    limit: Option<Limit>,
}

/// R5 Above everything that may wait. It narrows and checks, and arms nothing: whoever waits ends at the context's
/// deadline.
#[inline]
fn limit(
    context: &mut Context,
    duty: &mut CallDuty<'_>,
    outside: Option<&Outside>,
    knobs: &Knobs,
) -> Result<Option<Limit>> {
    let known = outside.and_then(|outside| outside.limit);
    let limit = known.or_else(|| Limit::of_call_within(context.deadline(), knobs.timeout, context.now()));
    if let Some(limit) = limit {
        context.narrow(limit.deadline());
        duty.ends = context.deadline();
        // R9 Nobody would read the answer.
        limit.spent(context.now()).map_or(Ok(()), Err)?;
    }
    Ok(limit)
}

/// The call on its way down. It stays where it is and the storeys pass a pointer: every move of an HTTP request
/// costs as much as a guard.
pub struct Sending<Q>(pub(super) Option<Q>);

impl<Q: Call> Sending<Q> {
    /// A call in its place.
    pub fn new(call: Q) -> Self {
        Sending(Some(call))
    }

    pub(super) fn context_mut(&mut self) -> &mut Context {
        self.call_mut().context_mut()
    }

    pub(super) fn call_mut(&mut self) -> &mut Q {
        self.0.as_mut().expect("only the wire takes the call")
    }

    pub(super) fn take(&mut self) -> Q {
        self.0.take().expect("one call for each attempt")
    }
}
