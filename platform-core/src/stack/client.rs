//! The client order: one storey a function, one layer a line, a reason a line.

use std::{borrow::BorrowMut, future::Future, pin::pin, sync::Arc};

use super::{
    Answered, Asked, ClientPolicy, Guards, Parts, Row, Sending, Wire,
    attempt::{ANSWERED, Entry, answer, try_once},
    duty::{AttemptDuty, CallDuty, Place, Slot},
    ended::{Ended, is_final},
    guards::{HELD_BULKHEAD, HELD_CONCURRENCY},
    knobs::{Knobs, Terms},
    recover::Origin,
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
    outcome::{Outcome, Verdict},
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
            Err(error) => return Err(self.refused(error, duty, &notes)),
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
            // What is returned lies outside of what is left behind: nothing is dropped between, and it is moved once.
            let mut terms = Terms { knobs: Knobs::of(self.seat.knobs.read()), whole: None };
            let mut reply = None;
            let (endpoint, attempt) = {
                let context = call.context_mut();
                // The first of the two clock readings of an attempt; all on the way down use it.
                context.set_now(Tick::now());
                // R1 What the caller felt: waits, repeats and refusals included.
                let counted = if outside.is_none() { Some(&*self.parts) } else { None };
                let mut duty = CallDuty::begin(counted, &self.guards, context);
                let notes = context.notes().cloned();

                match self.enter(context, &mut duty, outside, &mut terms) {
                    Ok(Entry::Now) => {}
                    Ok(Entry::Wait) => match self.guards.bulkhead.wait(context).await {
                        Ok(ticket) => duty.owed.bulkhead = ticket,
                        Err(error) => return Err(self.refused(error, duty, &notes)),
                    },
                    Err(error) => return Err(self.refused(error, duty, &notes)),
                }

                // Below the whole call's clock, above the attempt's: the attempts. The first is made here, because it
                // is most of a call; its reply lies outside, because it is large.
                let mut asked = Asked::first(duty.owed.trace);
                let mut origin = Origin::of(call, &terms.knobs);
                let ended = match self.hedge_at(&origin, &terms.knobs) {
                    Some(late) => {
                        let known = origin.known(&asked, &notes, &terms);
                        self.hedged(late, call, known, &mut reply, wire).await
                    }
                    None => {
                        let reply = &mut reply;
                        try_once!(self, AttemptKind::First, call, (&asked, &terms), reply, wire)
                    }
                };
                let ended = match terms.knobs.recovers_by(Recovery::None) || is_final(&ended) {
                    true => ended,
                    false => {
                        let known = origin.known(&asked, &notes, &terms);
                        self.repeat(ended, &mut reply, known, wire).await
                    }
                };
                let Ended { attempt, outcome, at, slot } = match ended {
                    Ok(ended) => ended,
                    Err(error) => {
                        drop(duty.report(&observe::verdict_of(&error)));
                        return Err(self.told(error, &notes));
                    }
                };

                let bulkhead = duty.report(&Verdict::new(outcome, at));
                // A capacity comes back when the reply has been read, not when its head is here.
                match &mut reply {
                    Some(reply) if !reply.is_read() => self.hold(reply, bulkhead, slot),
                    _ => drop((bulkhead, slot)),
                }
                (asked.take(), attempt)
            };
            Ok(Answered { reply: reply.expect(ANSWERED), endpoint, attempt, limit: terms.whole })
        }
    }

    /// Keeps a place and a slot until the reply has been read.
    #[inline]
    fn hold<'a>(&'a self, reply: &mut impl Reply, place: Option<Place<'a>>, slot: Option<Slot<'a>>) {
        let held = if place.and_then(Kept::pass_on).is_some() { HELD_BULKHEAD } else { 0 }
            | if slot.and_then(Kept::pass_on).is_some() { HELD_CONCURRENCY } else { 0 };
        if held != 0 {
            reply.hold(Guard::new(Arc::clone(&self.guards) as Arc<dyn Release>, held));
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
        terms: &mut Terms,
    ) -> Result<Entry> {
        terms.whole = limit(context, duty, outside, &terms.knobs)?;
        // R2 Arithmetic only, before anything that keeps state. It counts calls; the budget counts repeats.
        duty.owed.rate = self.guards.rate_limit.admit(context)?;
        // Above recovery: a call asleep between two attempts still holds our memory.
        match self.guards.bulkhead.turn(context) {
            Turn::Now(done) => duty.owed.bulkhead = done?,
            Turn::Wait => return Ok(Entry::Wait),
        }
        Ok(Entry::Now)
    }

    /// A call that did not come as far as its first attempt.
    #[cold]
    fn refused(&self, error: Error, duty: CallDuty<'_>, notes: &Option<Arc<Notes>>) -> Error {
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
#[inline(always)]
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
