//! Duty: who has to hear how a call, or an attempt, ended; and that they do, exactly once.
//!
//! A [`Permit`](crate::admission::Permit) for each guard would do the same, each with a deadline, a flag and a clock
//! reading of its own. All that a storey owes falls due at the same moment, so it is one thing: reported with the
//! verdict, or, when the future is dropped, as abandoned, or as timed out if its deadline had passed by then.

use crate::{
    admission::{Admission as _, Gate, Kept, breaker, bulkhead::Bulkhead, concurrency},
    context::{Context, Deadline, TraceId},
    observe::{AttemptKind, dropped},
    outcome::{Outcome, Verdict},
    tick::Tick,
};

use super::{Guards, Parts};

/// What a call owes. The fields are the tickets of its guards, as they give them.
#[must_use = "dropping it reports the call as abandoned"]
pub(super) struct CallDuty<'a> {
    /// `None` below a slot, around which the call is counted.
    counted: Option<&'a Parts>,
    guards: &'a Guards,
    since: Tick,
    trace: Option<TraceId>,
    debt: Debt,
    pub(super) ends: Option<Deadline>,
    pub(super) rate: Option<()>,
    pub(super) bulkhead: Option<()>,
}

/// What an attempt owes. The fields are the tickets of its guards, as they give them.
#[must_use = "dropping it reports the attempt as abandoned"]
pub(super) struct AttemptDuty<'a> {
    parts: &'a Parts,
    guards: &'a Guards,
    kind: AttemptKind,
    debt: Debt,
    pub(super) ends: Option<Deadline>,
    pub(super) throttle: Option<()>,
    pub(super) breaker: Option<breaker::Ticket>,
    pub(super) room: Option<concurrency::Ticket>,
}

/// Is there anything left to report?
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
        CallDuty {
            counted,
            guards,
            since: context.now(),
            trace: context.trace().is_sampled().then(|| context.trace().trace_id()),
            debt: Debt::Yes,
            ends: context.deadline(),
            rate: None,
            bulkhead: None,
        }
    }

    /// It will be dropped without having come to its first attempt.
    pub(super) fn refused(&mut self, outcome: Outcome) {
        self.debt = Debt::Refused(outcome);
    }

    /// It ended so; what is returned is its place among those that are under way.
    #[inline(always)]
    pub(super) fn report(&mut self, verdict: &Verdict) -> Option<Kept<&'a Gate<Bulkhead>, Bulkhead>> {
        self.debt = Debt::No;
        self.pay(verdict, verdict.outcome)
    }

    #[inline(always)]
    fn pay(&mut self, verdict: &Verdict, seen: Outcome) -> Option<Kept<&'a Gate<Bulkhead>, Bulkhead>> {
        let guards = self.guards;
        if let Some(ticket) = self.rate.take() {
            guards.rate_limit.engine().report(ticket, verdict);
        }
        let held = self.bulkhead.take().map(|ticket| {
            guards.bulkhead.engine().report(ticket, verdict);
            Kept::new(&guards.bulkhead)
        });
        if let Some(parts) = self.counted {
            parts.calls.end(seen, self.since, verdict.at, self.trace);
        }
        held
    }

    #[cold]
    fn drop_owing(&mut self) {
        let now = Tick::now();
        let verdict = Verdict::new(dropped(self.ends, now), now);
        drop(self.pay(&verdict, self.debt.seen(verdict.outcome)));
    }
}

impl<'a> AttemptDuty<'a> {
    #[inline]
    pub(super) fn begin(parts: &'a Parts, guards: &'a Guards, kind: AttemptKind, context: &Context) -> Self {
        parts.attempts.begin(context);
        AttemptDuty {
            parts,
            guards,
            kind,
            debt: Debt::Yes,
            ends: context.deadline(),
            throttle: None,
            breaker: None,
            room: None,
        }
    }

    /// It will be dropped without having been sent.
    pub(super) fn refused(&mut self, outcome: Outcome) {
        self.debt = Debt::Refused(outcome);
    }

    /// It ended so; what is returned is the slot of the target that it holds.
    #[inline(always)]
    pub(super) fn report(&mut self, verdict: &Verdict) -> Option<Slot<'a>> {
        self.debt = Debt::No;
        self.pay(verdict, verdict.outcome)
    }

    #[inline(always)]
    fn pay(&mut self, verdict: &Verdict, seen: Outcome) -> Option<Slot<'a>> {
        let guards = self.guards;
        if let Some(ticket) = self.throttle.take() {
            guards.throttle.engine().report(ticket, verdict);
        }
        if let Some(ticket) = self.breaker.take() {
            guards.breaker.engine().report(ticket, verdict);
        }
        let slot = self.room.take().map(|ticket| {
            guards.concurrency.engine().report(ticket, verdict);
            Kept::new(&guards.concurrency)
        });
        self.parts.attempts.end(self.kind, seen);
        slot
    }

    #[cold]
    fn drop_owing(&mut self) {
        let now = Tick::now();
        let verdict = Verdict::new(dropped(self.ends, now), now);
        drop(self.pay(&verdict, self.debt.seen(verdict.outcome)));
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
        if !matches!(self.debt, Debt::No) {
            self.drop_owing();
        }
    }
}

impl Drop for AttemptDuty<'_> {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.debt, Debt::No) {
            self.drop_owing();
        }
    }
}

/// A capacity of the target.
pub(super) type Slot<'a> = Kept<&'a Gate<concurrency::Concurrency>, concurrency::Concurrency>;
