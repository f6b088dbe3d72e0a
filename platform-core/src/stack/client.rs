//! The client order: one storey a function, one layer a line, a reason a line.

use std::{borrow::BorrowMut, future::Future, pin::pin, sync::Arc};

use super::{
    Answered, Asked, ClientPolicy, Guards, Parts, Row, Sending, Wire,
    attempt::{ANSWERED, Bounds, Tried, answer},
    duty::CallDuty,
    guards::{HELD_BULKHEAD, HELD_CONCURRENCY},
    knobs::Knobs,
    recover::{Origin, early, is_final},
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
    recovery::Recovery,
    tick::Tick,
};

/// The path of every call to one target. Clones share all of it.
#[derive(Clone)]
pub struct ClientStack {
    pub(super) policy: Live<ClientPolicy>,
    pub(super) parts: Arc<Parts>,
    pub(super) guards: Arc<Guards>,
    /// Policy and guards once more, as the target knows them; beside it they are a step nearer to a call.
    seat: Arc<Seat>,
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
        self.whole(Sending::new(call), None, wire)
    }

    /// [`call`](Self::call) for who has a place for the call: it is taken out of there once, by the wire, and moved
    /// by nobody else.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// # Panics
    /// If there is no call.
    pub fn call_from<'a, W: Wire>(
        &'a self,
        call: &'a mut Sending<W::Call>,
        wire: &'a W,
    ) -> impl Future<Output = Result<Answered<W::Reply>>> + Send + 'a {
        self.whole(call, None, wire)
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
        let mut reply = None;
        let answered = answered_within(limit, pin!(slot(call, limit)), &mut reply).await;
        duty.report(&observe::verdict(answer(&answered, &reply)));
        match answered {
            Ok(()) => Ok(reply.expect(ANSWERED)),
            // What comes from below was told there.
            Err(error) if error.target().is_some() => Err(error),
            Err(error) => Err(self.told(error, &notes)),
        }
    }

    /// All that stands below the slot `call`, for the one who fills it: limits, repeats, attempts. `limit` is the
    /// whole call's; without it, what the call's context and the policy say counts.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// # Panics
    /// If there is no call.
    pub fn call_inside<'a, W: Wire>(
        &'a self,
        call: &'a mut Sending<W::Call>,
        limit: Option<Limit>,
        wire: &'a W,
    ) -> impl Future<Output = Result<Answered<W::Reply>>> + Send + 'a {
        self.whole(call, Some(Outside { limit }), wire)
    }

    /// The call storey: once per call, whatever happens below. A slot has done its first part `outside`.
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` would move the call once more; here it is used where it was caught"
    )]
    fn whole<'a, W: Wire>(
        &'a self,
        mut call: impl BorrowMut<Sending<W::Call>> + Send + 'a,
        outside: Option<Outside>,
        wire: &'a W,
    ) -> impl Future<Output = Result<Answered<W::Reply>>> + Send + 'a {
        async move {
            let call = call.borrow_mut();
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

            // Below the whole call's clock, above the attempt's: the attempts. The first lies where it is made and is
            // polled there, because it is most of a call; so does the reply, which is large.
            let asked = Asked::first(call.context_mut().trace());
            let mut origin = Origin::of(call, &knobs);
            let hedge_at = self.hedge_at(&origin, &knobs);
            let (bounds, asks) = (Bounds { whole: limit, attempt: knobs.attempt_timeout }, (&asked, &notes));
            let mut reply = None;
            let (tried, raced) = {
                let mut first =
                    pin!(self.attempt(call, AttemptKind::First, &asked, bounds, &mut reply, wire));
                let done = match hedge_at {
                    None => Some(first.as_mut().await),
                    Some(late) => early(first.as_mut(), late).await,
                };
                match done {
                    Some(tried) => (tried, None),
                    None => {
                        let (tried, raced) = self.race(first, origin.known(asks, bounds, &knobs), wire).await;
                        (tried, Some(raced))
                    }
                }
            };
            let past = raced.map(|raced| (*raced).settle(&mut reply));
            let tried = match knobs.recovery == Recovery::None || is_final(&tried) {
                true => tried,
                false => self.repeat(tried, &mut reply, past, origin.known(asks, bounds, &knobs), wire).await,
            };

            let Tried { verdict, endpoint, attempt, slot } = match tried {
                Ok(tried) => tried,
                Err(error) => {
                    drop(duty.report(&observe::verdict_of(&error)));
                    return Err(self.told(error, &notes));
                }
            };
            let bulkhead = duty.report(&verdict);
            // A capacity comes back when the reply has been read, not when its head is here.
            let held = if bulkhead.and_then(Kept::pass_on).is_some() { HELD_BULKHEAD } else { 0 }
                | if slot.and_then(Kept::pass_on).is_some() { HELD_CONCURRENCY } else { 0 };
            if let (Some(reply), true) = (&mut reply, held != 0) {
                reply.hold(Guard::new(Arc::clone(&self.guards) as Arc<dyn Release>, held));
            }
            Ok(Answered { reply: reply.expect(ANSWERED), endpoint, attempt, limit })
        }
    }

    /// The way into the call storey. A function of its own that waits for nothing: what is decided here need not be
    /// kept in the call's future. Says the call's limit, and whether its turn has to be waited for.
    // Always: to hand over what is asked, and back what was answered, would cost as much as the questions.
    #[inline(always)]
    fn enter(
        &self,
        context: &mut Context,
        duty: &mut CallDuty<'_>,
        outside: Option<Outside>,
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
#[derive(Clone, Copy)]
struct Outside {
    limit: Option<Limit>,
}

/// R5 Above everything that may wait. It narrows and checks, and arms nothing: whoever waits ends at the context's
/// deadline.
#[inline]
fn limit(
    context: &mut Context,
    duty: &mut CallDuty<'_>,
    outside: Option<Outside>,
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
