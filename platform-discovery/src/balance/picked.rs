//! The chosen one, and what became of it.

use std::{fmt, sync::Arc};

use platform_core::{
    Context, Outcome, Tick, Verdict,
    call::{Guard, Release},
    context::Deadline,
    outcome::Evidence,
};

use super::{groups::Route, member::Member};
use crate::endpoint::Endpoint;

/// The chosen endpoint. It counts as in flight until this is dropped.
///
/// Whoever asks it says once what came of it ([`report`](Self::report)): the next choices and ejection go by that. One
/// that is dropped without a word was cut off. After its deadline that is a timeout, which counts against the endpoint;
/// before it, the caller left or another attempt was faster, which counts against nobody but tells that an answer would
/// have taken at least so long.
pub struct Picked<C> {
    /// `None` once it is a guard's to end.
    member: Option<Arc<Member<C>>>,
    since: Tick,
    deadline: Option<Deadline>,
    route: Route,
    reported: bool,
}

impl<C> Picked<C> {
    #[inline]
    pub(super) fn new(member: Arc<Member<C>>, context: &Context) -> Self {
        member.begin();
        let (since, deadline) = (context.now(), context.deadline());
        Picked { member: Some(member), since, deadline, route: Route::Ordinary, reported: false }
    }

    #[inline]
    fn member(&self) -> &Arc<Member<C>> {
        self.member.as_ref().expect("only a guard takes it, and ends it")
    }

    #[inline]
    pub(super) fn by(mut self, route: Route) -> Self {
        self.route = route;
        self
    }

    pub(super) fn count(&self) {
        self.member().count();
    }

    /// What it is.
    pub fn endpoint(&self) -> &Endpoint {
        self.member().endpoint()
    }

    /// Its address, for errors and log lines.
    pub fn label(&self) -> &Arc<str> {
        self.member().label()
    }

    /// What is kept for it.
    pub fn service(&self) -> &C {
        self.member().service()
    }

    /// How the call came to it: as all do, or because it asked for a variant or a version.
    pub fn route(&self) -> Route {
        self.route
    }

    /// What the attempt meant. It took from the clock reading of the context under which it was chosen until the
    /// verdict. Only the first report counts; a verdict of our own (local) says nothing about the endpoint.
    // Always: a good answer is a few numbers that are written, and a call of a function would be as much again.
    #[inline(always)]
    pub fn report(&mut self, verdict: &Verdict) {
        if !std::mem::replace(&mut self.reported, true) {
            let took = verdict.at.nanos_since(self.since);
            let (load, shared) = (self.member().load(), self.member().shared());
            shared.heed(load.report(verdict, took, &shared.scale));
        }
    }

    /// For a reply that may fail after its verdict: a stream that breaks off.
    pub fn late(&self) -> Late<C> {
        Late(Arc::clone(self.member()))
    }

    /// How many requests the endpoint said that it had under way when this one arrived, from whomever. Operators see it
    /// for a second or two; no choice goes by it.
    pub fn told(&self, under_way: u32) {
        self.member().load().tell(under_way);
    }
}

/// Tells of an endpoint what came of a reply after its verdict.
pub struct Late<C>(Arc<Member<C>>);

impl<C> Late<C> {
    /// What was begun well has ended so, with so many requests under way as the endpoint said then
    /// ([`Picked::told`]). A failure counts like that of another attempt, and what is none was told by the verdict.
    pub fn report(&self, verdict: &Verdict, under_way: Option<u32>) {
        if let Some(under_way) = under_way {
            self.0.load().tell(under_way);
        }
        if verdict.outcome.readings().ejection == Evidence::Failure {
            let shared = self.0.shared();
            // How long a stream lasts says nothing about how fast its endpoint is.
            shared.heed(self.0.load().report(verdict, 0, &shared.scale));
        }
    }
}

impl<C> fmt::Debug for Late<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Late").field(&self.0).finish()
    }
}

impl<C: Send + Sync + 'static> Picked<C> {
    /// Counts as in flight until the guard is dropped: for a reply that is read later.
    pub fn into_guard(mut self) -> Guard {
        self.conclude();
        let member = self.member.take().expect("nobody else takes it");
        Guard::new(member as Arc<dyn Release>, 0)
    }
}

impl<C> fmt::Debug for Picked<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Picked").field(self.member()).finish()
    }
}

impl<C> Picked<C> {
    /// Whoever has said nothing was cut off.
    #[inline]
    fn conclude(&mut self) {
        if !self.reported {
            self.cut_off();
        }
    }

    #[cold]
    fn cut_off(&mut self) {
        let now = Tick::now();
        let late = self.deadline.is_some_and(|deadline| deadline.has_passed(now));
        self.report(&Verdict::new(if late { Outcome::Timeout } else { Outcome::Abandoned }, now));
    }
}

impl<C> Drop for Picked<C> {
    #[inline]
    fn drop(&mut self) {
        if self.member.is_some() {
            self.conclude();
        }
        if let Some(member) = &self.member {
            member.end();
        }
    }
}

impl<C: Send + Sync + 'static> Release for Member<C> {
    fn release(&self, _ticket: u64) {
        self.end();
    }
}
