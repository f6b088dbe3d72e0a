//! Duty: who has to hear how a call, or an attempt, ended; and that they do, exactly once.
//!
//! A [`Permit`](crate::admission::Permit) for each guard would do the same, each with a deadline, a flag and a clock
//! reading of its own. All that a storey owes falls due at the same moment, so it is one thing: reported with the
//! verdict, or, when the future is dropped, as abandoned, or as timed out if its deadline had passed by then.

use crate::{
    admission::{Admission as _, Gate, Kept, breaker, bulkhead::Bulkhead, concurrency},
    context::{Context, Deadline, TraceParent},
    deadline::Limit,
    error::Error,
    observe::{AttemptKind, dropped},
    outcome::{Outcome, Verdict},
    tick::Tick,
};

use super::{ClientStack, Guards, Parts, knobs::Terms};

/// What a call owes.
#[must_use = "dropping it reports the call as abandoned"]
pub(super) struct CallDuty<'a> {
    pub(super) owed: CallOwed<'a>,
    debt: Debt,
    pub(super) ends: Option<Deadline>,
}

/// To whom. The fields are the tickets of the call's guards, as they give them.
// Copied out of the duty that is done with, and not taken field by field: that nothing is left is known then.
#[derive(Clone, Copy)]
pub(super) struct CallOwed<'a> {
    /// `None` below a slot, around which the call is counted.
    counted: Option<&'a Parts>,
    guards: &'a Guards,
    since: Tick,
    pub(super) trace: TraceParent,
    pub(super) rate: Option<()>,
    pub(super) bulkhead: Option<()>,
}

/// What an attempt owes.
#[must_use = "dropping it reports the attempt as abandoned"]
pub(super) struct AttemptDuty<'a> {
    pub(super) owed: AttemptOwed<'a>,
    debt: Debt,
    pub(super) ends: Option<Deadline>,
}

/// To whom. The fields are the tickets of the attempt's guards, as they give them.
#[derive(Clone, Copy)]
pub(super) struct AttemptOwed<'a> {
    stack: &'a ClientStack,
    pub(super) kind: AttemptKind,
    /// 0 for the first.
    pub(super) attempt: u16,
    /// When it went on its way: after a wait for room the clock was read anew.
    pub(super) begun: Tick,
    pub(super) throttle: Option<()>,
    pub(super) breaker: Option<breaker::Ticket>,
    pub(super) room: Option<concurrency::Ticket>,
}

/// Is there anything left to report?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Debt {
    No,
    Yes,
    /// It has been refused on its way in: the graphs hear that, and the guards that had let it in that nothing
    /// came of it.
    Refused(Outcome),
}

impl<'a> CallDuty<'a> {
    #[inline]
    pub(super) fn begin(counted: Option<&'a Parts>, guards: &'a Guards, context: &Context) -> Self {
        let (since, trace) = (context.now(), context.trace());
        CallDuty {
            owed: CallOwed { counted, guards, since, trace, rate: None, bulkhead: None },
            debt: Debt::Yes,
            ends: context.deadline(),
        }
    }

    /// It ends without having come to its first attempt.
    pub(super) fn refused(mut self, outcome: Outcome) {
        self.debt = Debt::Refused(outcome);
    }

    /// It ended so; what is returned is its place among those that are under way.
    #[inline(always)]
    pub(super) fn report(self, verdict: &Verdict) -> Option<Place<'a>> {
        let owed = self.owed;
        std::mem::forget(self);
        owed.pay(verdict, verdict.outcome)
    }

    #[cold]
    fn drop_owing(&self) {
        let now = Tick::now();
        let verdict = Verdict::new(dropped(self.ends, now), now);
        drop(self.owed.pay(&verdict, self.debt.seen(verdict.outcome)));
    }
}

impl<'a> CallOwed<'a> {
    #[inline(always)]
    fn pay(self, verdict: &Verdict, seen: Outcome) -> Option<Place<'a>> {
        let guards = self.guards;
        if let Some(ticket) = self.rate {
            guards.rate_limit.engine().report(ticket, verdict);
        }
        let held = self.bulkhead.map(|ticket| {
            guards.bulkhead.engine().report(ticket, verdict);
            Kept::new(&guards.bulkhead)
        });
        if let Some(parts) = self.counted {
            let trace = self.trace.is_sampled().then(|| self.trace.trace_id());
            parts.calls.end(seen, self.since, verdict.at, trace);
        }
        held
    }
}

impl<'a> AttemptDuty<'a> {
    #[inline]
    pub(super) fn begin(stack: &'a ClientStack, kind: AttemptKind, context: &mut Context) -> Self {
        let (attempt, begun) = (context.attempt(), context.now());
        // Each try is a span of its own, a child of the one that is served.
        context.begin_attempt(attempt, begun);
        // R1 A refused try is still a try on the graph.
        stack.parts.attempts.begin(context);
        AttemptDuty {
            owed: AttemptOwed { stack, kind, attempt, begun, throttle: None, breaker: None, room: None },
            debt: Debt::Yes,
            ends: context.deadline(),
        }
    }

    /// It will not be sent, and says so.
    #[cold]
    pub(super) fn refuse(mut self, error: Error) -> Error {
        self.debt = Debt::Refused(error.outcome());
        error.at_attempt(self.owed.attempt)
    }

    /// R5 The call's only timer, armed when the wire is pending: what is left of the call, or one attempt's share of
    ///    it, whichever is less. Whoever reads the context below sees this limit.
    #[inline]
    pub(super) fn bound(&mut self, context: &mut Context, terms: &Terms) -> Option<Limit> {
        let begun = context.now();
        self.owed.begun = begun;
        let limit = Limit::of_attempt_within(terms.whole, terms.knobs.attempt_timeout, begun);
        if let Some(limit) = limit {
            context.narrow(limit.deadline());
            self.ends = context.deadline();
        }
        limit
    }

    /// It has ended, and whoever is given what it owes pays it.
    // Not by value, as a call's: it would be moved there, for those that do not end well.
    #[inline(always)]
    pub(super) fn done(&mut self) -> AttemptOwed<'a> {
        self.debt = Debt::No;
        self.owed
    }

    #[cold]
    fn drop_owing(&self) {
        let now = Tick::now();
        let verdict = Verdict::new(dropped(self.ends, now), now);
        drop(self.owed.pay(&verdict, self.debt.seen(verdict.outcome)));
    }
}

impl<'a> AttemptOwed<'a> {
    /// It ended so; what is returned is the slot of the target that it holds.
    #[inline(always)]
    pub(super) fn pay(self, verdict: &Verdict, seen: Outcome) -> Option<Slot<'a>> {
        let (parts, guards) = (&*self.stack.parts, &*self.stack.guards);
        if let Some(ticket) = self.throttle {
            guards.throttle.engine().report(ticket, verdict);
        }
        if let Some(ticket) = self.breaker {
            guards.breaker.engine().report(ticket, verdict);
        }
        let slot = self.room.map(|ticket| {
            guards.concurrency.engine().report(ticket, verdict);
            Kept::new(&guards.concurrency)
        });
        parts.attempts.end(self.kind, seen);
        slot
    }
}

impl Debt {
    /// What the graphs hear of what was dropped with this outcome.
    fn seen(&self, dropped: Outcome) -> Outcome {
        match *self {
            Debt::Refused(outcome) => outcome,
            Debt::No | Debt::Yes => dropped,
        }
    }
}

impl Drop for CallDuty<'_> {
    #[inline]
    fn drop(&mut self) {
        self.drop_owing();
    }
}

impl Drop for AttemptDuty<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.debt != Debt::No {
            self.drop_owing();
        }
    }
}

/// One of the calls that may be under way.
pub(super) type Place<'a> = Kept<&'a Gate<Bulkhead>, Bulkhead>;
/// A capacity of the target.
pub(super) type Slot<'a> = Kept<&'a Gate<concurrency::Concurrency>, concurrency::Concurrency>;
