//! The attempt storey of the client order: what happens each time that somebody is asked.

use std::pin::pin;

use super::{
    Asked, ClientStack, Sending, Wire,
    duty::{AttemptDuty, AttemptOwed, Slot},
    ended::Ended,
    knobs::Terms,
};
use crate::{
    admission::Turn,
    call::Reply,
    context::Context,
    deadline::answered_within,
    error::{Error, Result},
    observe::{self, AttemptKind},
    outcome::{Outcome, Verdict},
    tick::Tick,
};

/// The attempt storey, step by step. No function, because the call storey makes a first attempt itself: a future within
/// a future costs as much as two guards.
macro_rules! try_once {
    ($stack:expr, $kind:expr, $call:expr, ($asked:expr, $terms:expr), $reply:expr, $wire:expr) => {{
        let context = $call.context_mut();
        let mut duty = AttemptDuty::begin($stack, $kind, context);
        let admitted = match $stack.admit(context, &mut duty.owed) {
            Ok(Entry::Now) => Ok(()),
            Ok(Entry::Wait) => {
                let turn = $stack.guards.concurrency.wait(context).await;
                turn.map(|ticket| duty.owed.room = ticket)
            }
            Err(error) => Err(error),
        };
        match admitted {
            Ok(()) => {
                let limit = duty.bound(context, $terms);
                // R6, R7 and the endpoint storey: choose, injected faults, write the headers, send, judge. Pinned where
                // it is made: it is most of a call, and whoever moves it copies all of it.
                let result = {
                    let sending = pin!($wire.send($call, $asked));
                    pin!(answered_within(limit, sending, $reply)).await
                };
                $stack.leave(result, &mut duty, $asked, $reply)
            }
            Err(error) => Err(duty.refuse(error)),
        }
    }};
}
pub(super) use try_once;

impl ClientStack {
    /// The attempt storey: once per try, but for a first one that nobody hedges ([`try_once`]).
    pub(super) async fn attempt<'a, W: Wire>(
        &'a self,
        kind: AttemptKind,
        call: &mut Sending<W::Call>,
        (asked, terms): (&Asked, &Terms),
        reply: &mut Option<W::Reply>,
        wire: &W,
    ) -> Result<Ended<'a>> {
        try_once!(self, kind, call, (asked, terms), reply, wire)
    }

    /// The way out of the attempt storey.
    #[inline(always)]
    pub(super) fn leave<'a, R: Reply>(
        &'a self,
        result: Result<()>,
        duty: &mut AttemptDuty<'a>,
        asked: &Asked,
        reply: &Option<R>,
    ) -> Result<Ended<'a>> {
        // The verdict was given once, at the bottom; all read the same.
        let Verdict { outcome, at, .. } = observe::verdict(answer(&result, reply));
        let attempt = duty.owed.attempt;
        let slot = match outcome {
            // Said once more: what each of them makes of a success need not be looked up then.
            Outcome::Success => self.conclude(duty.done(), Outcome::Success, at),
            _ => self.conclude_closely(duty, outcome, at),
        };
        match result {
            Ok(()) => Ok(Ended { attempt, outcome, at, slot }),
            Err(error) => Err(asked.name(error).at_attempt(attempt)),
        }
    }

    /// All that hear how an attempt ended. Returns what it still holds.
    #[inline(always)]
    fn conclude<'a>(&'a self, owed: AttemptOwed<'a>, outcome: Outcome, at: Tick) -> Option<Slot<'a>> {
        let guards = &*self.guards;
        // No guard reads what the target said about coming back.
        let slot = owed.pay(&Verdict::new(outcome, at), outcome);
        if matches!(outcome, Outcome::Success | Outcome::CallerFault | Outcome::Timeout) {
            // Failures are often fast, and would make the next hedge come too early.
            guards.latencies.record_nanos(at, at.nanos_since(owed.begun));
        }
        if owed.kind == AttemptKind::First && outcome.readings().deposit {
            guards.budget.deposit_in_both(&guards.hedges, at);
        }
        slot
    }

    #[inline(never)]
    fn conclude_closely<'a>(
        &'a self,
        duty: &mut AttemptDuty<'a>,
        outcome: Outcome,
        at: Tick,
    ) -> Option<Slot<'a>> {
        self.conclude(duty.done(), outcome, at)
    }

    /// The way into the attempt storey, which waits for nothing; says whether there is something to wait for.
    #[inline(always)]
    pub(super) fn admit(&self, context: &Context, owed: &mut AttemptOwed<'_>) -> Result<Entry> {
        let guards = &*self.guards;
        // R2 Arithmetic on a short memory; it refuses a share of the calls, not all.
        owed.throttle = guards.throttle.admit(context)?;
        // R4 Above the attempt's limit, so that silence counts against the target.
        owed.breaker = guards.breaker.admit(context)?;
        // R3 Below the breaker, so that an open circuit never looks like spare capacity; above the limit,
        //    to learn from it.
        match guards.concurrency.turn(context) {
            Turn::Now(done) => owed.room = done?,
            Turn::Wait => return Ok(Entry::Wait),
        }
        Ok(Entry::Now)
    }
}

/// What was said at a storey's door, where it was not no.
pub(super) enum Entry {
    /// Go on.
    Now,
    /// There is a turn to wait for.
    Wait,
}

/// The reply in its place, or why there is none.
#[inline]
pub(super) fn answer<'a, R>(ended: &'a Result<()>, reply: &'a Option<R>) -> Result<&'a R, &'a Error> {
    ended.as_ref().map(|()| reply.as_ref().expect(ANSWERED))
}

pub(super) const ANSWERED: &str = "what was answered has left its reply";
