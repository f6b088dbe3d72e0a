//! Permit: the right to go on, and the duty to report.

use super::{Admission, gate::AsGate};
use crate::{context::Deadline, observe::dropped, outcome::Verdict, tick::Tick};

/// The right to go on. It ends in exactly one report: [`report`](Self::report), or being dropped.
#[must_use = "dropping it reports the request as abandoned"]
pub struct Permit<P: AsGate<A>, A: Admission> {
    // Both are `None` once the duty has passed on; a call that was not asked, or that would have been refused,
    // has no ticket from the start.
    owner: Option<P>,
    ticket: Option<A::Ticket>,
    deadline: Option<Deadline>,
}

impl<P: AsGate<A>, A: Admission> Permit<P, A> {
    pub(super) fn new(owner: P, ticket: Option<A::Ticket>, deadline: Option<Deadline>) -> Self {
        Permit { owner: Some(owner), ticket, deadline }
    }

    /// Did the engine give it? Not in mode off, and not to a call that it would have refused.
    pub fn is_known(&self) -> bool {
        self.ticket.is_some()
    }

    /// The request ended so. The capacity, if the engine holds one, is kept until the reply has been read.
    pub fn report(mut self, verdict: &Verdict) -> Kept<P, A> {
        match (self.ticket.take(), self.owner.take()) {
            (Some(ticket), Some(owner)) => {
                owner.gate().engine().report(ticket, verdict);
                Kept::new(owner)
            }
            _ => Kept { owner: None, engine: std::marker::PhantomData },
        }
    }
}

impl<P: AsGate<A>, A: Admission> Drop for Permit<P, A> {
    fn drop(&mut self) {
        if let (Some(ticket), Some(owner)) = (self.ticket.take(), &self.owner) {
            let now = Tick::now();
            let engine = owner.gate().engine();
            engine.report(ticket, &Verdict::new(dropped(self.deadline, now), now));
            if A::HOLDS {
                engine.release();
            }
        }
    }
}

/// A capacity that is kept until the reply has been read: until this is dropped, or what it passed it on to.
#[must_use = "dropping it frees the capacity"]
pub struct Kept<P: AsGate<A>, A: Admission> {
    owner: Option<P>,
    engine: std::marker::PhantomData<A>,
}

impl<P: AsGate<A>, A: Admission> Kept<P, A> {
    /// For who has reported a ticket of `owner` himself.
    #[inline]
    pub(crate) fn new(owner: P) -> Self {
        Kept { owner: A::HOLDS.then_some(owner), engine: std::marker::PhantomData }
    }

    /// Is there anything to be freed?
    pub fn is_some(&self) -> bool {
        self.owner.is_some()
    }

    /// Leaves it to the caller to call [`Admission::release`], if this says that there is something to free.
    #[must_use = "somebody has to free the capacity"]
    pub fn pass_on(mut self) -> Option<P> {
        self.owner.take()
    }
}

impl<P: AsGate<A>, A: Admission> Drop for Kept<P, A> {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take() {
            owner.gate().engine().release();
        }
    }
}
