//! The attempt storey of the client order: what happens each time that somebody is asked.

use std::{pin::pin, sync::Arc};

use super::{
    Asked, ClientStack, Sending, Wire,
    duty::{AttemptDuty, Slot},
};
use crate::{
    admission::Turn,
    context::Context,
    deadline::{Limit, answered_within},
    error::{Error, Result},
    observe::{self, AttemptKind},
    outcome::{Outcome, Verdict},
};

/// An attempt that was answered; its reply lies where the call wants it.
pub(super) struct Tried<'a> {
    pub(super) verdict: Verdict,
    pub(super) endpoint: Option<Arc<str>>,
    pub(super) attempt: u16,
    /// One of the target's slots, until its reply has been read.
    pub(super) slot: Option<Slot<'a>>,
}

/// How long an attempt may take.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// What the whole call is held to.
    pub(super) whole: Option<Limit>,
    /// One attempt's share, in nanoseconds; [`NEVER`](crate::deadline::NEVER) is no limit.
    pub(super) attempt: u64,
}

impl ClientStack {
    /// The attempt storey: once per try.
    pub(super) async fn attempt<'a, W: Wire>(
        &'a self,
        call: &mut Sending<W::Call>,
        kind: AttemptKind,
        asked: &Asked,
        bounds: Bounds,
        reply: &mut Option<W::Reply>,
        wire: &W,
    ) -> Result<Tried<'a>> {
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
        let limit = Limit::of_attempt_within(bounds.whole, bounds.attempt, begun);
        if let Some(limit) = limit {
            context.narrow(limit.deadline());
            duty.ends = context.deadline();
        }
        // R6, R7 and the endpoint storey: choose, injected faults, write the headers, send, judge. Pinned where it
        // is made: it is most of a call, and whoever moves it copies all of it.
        let result = {
            let sending = pin!(wire.send(call, asked));
            pin!(answered_within(limit, sending, reply)).await
        };

        // The verdict was given once, at the bottom; all read the same.
        let verdict = observe::verdict(answer(&result, reply));
        let slot = duty.report(&verdict);
        let guards = &*self.guards;
        if matches!(verdict.outcome, Outcome::Success | Outcome::CallerFault | Outcome::Timeout) {
            // Failures are often fast, and would make the next hedge come too early.
            guards.latencies.record_nanos(verdict.at, verdict.at.nanos_since(begun));
        }
        if kind == AttemptKind::First && verdict.outcome.readings().deposit {
            guards.budget.deposit_in_both(&guards.hedges, verdict.at);
        }
        match result {
            Ok(()) => {
                // Whom a repeat or a hedge asked is read once more when its answer does not count.
                let endpoint = if kind == AttemptKind::First { asked.take() } else { asked.endpoint() };
                Ok(Tried { verdict, endpoint, attempt, slot })
            }
            Err(error) => Err(asked.name(error).at_attempt(attempt)),
        }
    }

    /// The way into the attempt storey, which waits for nothing; says whether there is something to wait for.
    #[inline(always)]
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
}

/// The reply in its place, or why there is none.
#[inline]
pub(super) fn answer<'a, R>(ended: &'a Result<()>, reply: &'a Option<R>) -> Result<&'a R, &'a Error> {
    ended.as_ref().map(|()| reply.as_ref().expect(ANSWERED))
}

pub(super) const ANSWERED: &str = "what was answered has left its reply";
