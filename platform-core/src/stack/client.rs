//! The client order: one storey a function, one layer a line, a reason a line.

use std::{future::Future, pin::pin, sync::Arc};

use super::{
    Asked, ClientPolicy, Guards, Parts, Row,
    guards::{HELD_BULKHEAD, HELD_CONCURRENCY},
    knobs::Knobs,
    seats::Seat,
};
use crate::{
    admission::{
        Gate, Kept, Permit, breaker::Breaker, bulkhead::Bulkhead, concurrency::Concurrency,
        rate_limit::RateLimit, throttle::Throttle,
    },
    call::{Call, Guard, Release, Reply},
    config::Live,
    context::{Context, Notes},
    deadline::{Limit, within},
    error::{Error, Result},
    observe::{self, AttemptKind, CallSeen},
    outcome::{Outcome, Verdict},
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

    /// Its part of the order, for [`ClientStack::describe`].
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
    /// Both again, as the target knows them; calls do without the detour.
    seat: Arc<Seat>,
}

/// What lets a call in.
struct Entered<'a> {
    limit: Option<Limit>,
    rate: Permit<&'a Gate<RateLimit>, RateLimit>,
    /// `None`: its turn has to be waited for.
    bulkhead: Option<Permit<&'a Gate<Bulkhead>, Bulkhead>>,
}

/// What lets an attempt in.
struct Admitted<'a> {
    throttle: Permit<&'a Gate<Throttle>, Throttle>,
    breaker: Permit<&'a Gate<Breaker>, Breaker>,
    /// `None`: its turn has to be waited for.
    room: Option<Permit<&'a Gate<Concurrency>, Concurrency>>,
}

/// An attempt that was answered.
pub(super) struct Tried<'a, R> {
    pub(super) reply: R,
    pub(super) endpoint: Option<Arc<str>>,
    pub(super) attempt: u16,
    /// One of the target's slots, until its reply has been read.
    pub(super) slot: Option<Slot<'a>>,
}

/// A capacity of the target.
pub(super) type Slot<'a> = Kept<&'a Gate<Concurrency>, Concurrency>;

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
        async move { self.whole(&mut call, wire).await }
    }

    /// The call storey: once per call, whatever happens below.
    async fn whole<W: Wire>(&self, call: &mut Sending<W::Call>, wire: &W) -> Result<Answered<W::Reply>> {
        let knobs = Knobs::of(self.seat.knobs.read());
        let context = call.context_mut();
        // The first of the two clock readings of an attempt; all on the way down use it.
        context.set_now(Tick::now());
        // R1 What the caller felt: waits, repeats and refusals included.
        let mut seen = self.parts.calls.begin(context);
        let notes = context.notes().cloned();

        let Entered { limit, rate, bulkhead } = match self.enter(context, &mut seen, &knobs) {
            Ok(entered) => entered,
            Err(error) => return Err(self.refused(error, seen, &notes)),
        };
        let bulkhead = match bulkhead {
            Some(permit) => permit,
            None => match self.guards.bulkhead.wait(context).await {
                Ok(permit) => permit,
                Err(error) => return Err(self.refused(error, seen, &notes)),
            },
        };

        // Below the whole call's clock, above the attempt's: the attempts, and whether there is another.
        let tried = pin!(self.recover(call, limit, &knobs, &notes, wire)).await;

        let verdict = observe::verdict(tried.as_ref().map(|tried| &tried.reply));
        let _ = rate.report(&verdict);
        let bulkhead = bulkhead.report(&verdict);
        seen.report(&verdict);
        let Tried { mut reply, endpoint, attempt, slot } = match tried {
            Ok(tried) => tried,
            Err(error) => return Err(self.told(error, &notes)),
        };
        // A capacity comes back when the reply has been read, not when its head is here.
        let held = if bulkhead.pass_on().is_some() { HELD_BULKHEAD } else { 0 }
            | if slot.and_then(Kept::pass_on).is_some() { HELD_CONCURRENCY } else { 0 };
        if held != 0 {
            reply.hold(Guard::new(Arc::clone(&self.guards) as Arc<dyn Release>, held));
        }
        Ok(Answered { reply, endpoint, attempt, limit })
    }

    /// The way into the call storey. A function of its own that waits for nothing: what is decided here need not be
    /// kept in the call's future.
    #[inline]
    fn enter(&self, context: &mut Context, seen: &mut CallSeen<'_>, knobs: &Knobs) -> Result<Entered<'_>> {
        // R5 Above everything that may wait. It narrows and checks, and arms nothing: whoever waits ends
        //    at the context's deadline.
        let limit = Limit::of_call_within(context.deadline(), knobs.timeout, context.now());
        if let Some(limit) = limit {
            context.narrow(limit.deadline());
            seen.ends_at(context.deadline());
            // R9 Nobody would read the answer.
            limit.spent(context.now()).map_or(Ok(()), Err)?;
        }
        // R2 Arithmetic only, before anything that keeps state. It counts calls; the budget counts repeats.
        let rate = self.guards.rate_limit.ask(context)?;
        // Above recovery: a call asleep between two attempts still holds our memory.
        let bulkhead = self.guards.bulkhead.try_enter(context)?;
        Ok(Entered { limit, rate, bulkhead })
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
        let guards = &*self.guards;
        let context = call.context_mut();
        // Each try is a span of its own, a child of the one that is served.
        let attempt = context.attempt();
        context.begin_attempt(attempt, context.now());
        // R1 A refused try is still a try on the graph.
        let mut seen = self.parts.attempts.begin(context, kind);

        let Admitted { mut throttle, mut breaker, room } = match self.admit(context) {
            Ok(admitted) => admitted,
            Err(error) => return Err(seen.refused(asked.name(error)).at_attempt(attempt)),
        };
        let mut room = match room {
            Some(permit) => permit,
            None => match guards.concurrency.wait(context).await {
                Ok(permit) => permit,
                Err(error) => return Err(seen.refused(asked.name(error)).at_attempt(attempt)),
            },
        };
        // After a wait for room the clock was read anew: the attempt begins here.
        let begun = context.now();
        // R5 The call's only timer, armed when the wire is pending: what is left of the call, or one
        //    attempt's share of it, whichever is less. Whoever reads the context below sees this limit.
        let limit = Limit::of_attempt_within(whole, knobs.attempt_timeout, begun);
        if let Some(limit) = limit {
            context.narrow(limit.deadline());
            let ends = context.deadline();
            seen.ends_at(ends);
            throttle.ends_at(ends);
            breaker.ends_at(ends);
            room.ends_at(ends);
        }
        // R6, R7 and the endpoint storey: choose, injected faults, write the headers, send, judge. Pinned where it
        // is made: it is most of a call, and whoever moves it copies all of it.
        let sent = {
            let sending = pin!(wire.send(call.take(), asked));
            pin!(within(limit, sending)).await
        };
        let result = sent.unwrap_or_else(|limit| Err(limit.exceeded()));

        // The verdict was given once, at the bottom; all read the same.
        let verdict = observe::verdict(result.as_ref());
        let _ = throttle.report(&verdict);
        let _ = breaker.report(&verdict);
        let room = room.report(&verdict);
        if matches!(verdict.outcome, Outcome::Success | Outcome::CallerFault | Outcome::Timeout) {
            // Failures are often fast, and would make the next hedge come too early.
            guards.latencies.record_nanos(verdict.at, verdict.at.nanos_since(begun));
        }
        if kind == AttemptKind::First && verdict.outcome.readings().deposit {
            guards.budget.deposit(verdict.at);
            guards.hedges.deposit(verdict.at);
        }
        seen.report(&verdict);
        match result {
            Ok(reply) => Ok(Tried { reply, endpoint: asked.endpoint(), attempt, slot: Some(room) }),
            Err(error) => Err(asked.name(error).at_attempt(attempt)),
        }
    }

    /// The way into the attempt storey, which waits for nothing.
    #[inline]
    fn admit(&self, context: &Context) -> Result<Admitted<'_>> {
        let guards = &*self.guards;
        // R2 Arithmetic on a short memory; it refuses a share of the calls, not all.
        let throttle = guards.throttle.ask(context)?;
        // R4 Above the attempt's limit, so that silence counts against the target.
        let breaker = guards.breaker.ask(context)?;
        // R3 Below the breaker, so that an open circuit never looks like spare capacity; above the limit,
        //    to learn from it.
        let room = guards.concurrency.try_enter(context)?;
        Ok(Admitted { throttle, breaker, room })
    }

    /// A call that did not come as far as its first attempt.
    #[cold]
    fn refused(&self, error: Error, seen: CallSeen<'_>, notes: &Option<Arc<Notes>>) -> Error {
        seen.report(&Verdict::new(error.outcome(), Tick::now()));
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
        let mut rows = super::describe::client(&self.policy.load(), &self.guards);
        rows.extend(wire.describe());
        rows
    }
}

/// The call on its way down. It stays where it is and the storeys pass a pointer: every move of an HTTP request
/// costs as much as a guard.
pub(super) struct Sending<Q>(pub(super) Option<Q>);

impl<Q: Call> Sending<Q> {
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
