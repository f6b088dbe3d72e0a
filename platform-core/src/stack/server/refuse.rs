//! Who is refused, and what is said then?

use std::time::Duration;

use super::{Class, Guarding, ServerGuards};
use crate::{
    admission::{
        Answer,
        shed::{Rank, Source, Turned, class_of},
    },
    config::Mode,
    context::Context,
    error::{Error, ErrorKind, Result},
};

impl ServerGuards {
    pub(super) fn ask_rate(&self, class: u16, context: &Context) -> Result<()> {
        if !self.mode(Guarding::RateLimit).is_on() {
            return Ok(());
        }
        // Who has no name has no contract.
        let Some(tenant) = context.tenant() else { return Ok(()) };
        match self.rates.ask(tenant.as_str(), context.now()) {
            Answer::No(refusal) => self.refuse(class, Guarding::RateLimit, context, || {
                let error = Error::new(ErrorKind::RateLimited, refusal.why);
                match refusal.after {
                    Some(after) => error.retry_after(after),
                    None => error,
                }
            }),
            Answer::Go(()) | Answer::Wait => Ok(()),
        }
    }

    /// The share that has to go because others wait.
    pub(super) fn queue_share(&self, of: &Class) -> f64 {
        if of.looks.are_on() && self.pressure.uses(Source::QueueWait) { of.looks.share() } else { 0.0 }
    }

    pub(super) fn shed(&self, class: u16, context: &Context, rank: Rank, share: f64) -> Result<()> {
        match self.turns_away(class, context, rank, share, true) {
            None => Ok(()),
            Some(guard) => self.turn_away(class, guard, context),
        }
    }

    /// Who would refuse this request of rank `rank`, if such a share has to go? `counts`: whoever is only looked at for
    /// fairness is counted as what would have been refused.
    pub(super) fn turns_away(
        &self,
        class: u16,
        context: &Context,
        rank: Rank,
        share: f64,
        counts: bool,
    ) -> Option<Guarding> {
        if !self.mode(Guarding::Shed).is_on() {
            return None;
        }
        let (of, fair) = (self.of(class), self.mode(Guarding::FairShare));
        let said = of.shed.judge(rank, share, fair, context.now(), fastrand::f64());
        if said.unfair && counts {
            of.meters.refused(Guarding::FairShare, false, class_of(context));
        }
        said.turned.map(|turned| match turned {
            Turned::Tenant => Guarding::FairShare,
            Turned::Level => Guarding::Shed,
        })
    }

    /// What goes first of what is shed is a part of shedding.
    fn fair_mode(&self) -> Mode {
        self.mode(Guarding::FairShare).min_of(self.mode(Guarding::Shed))
    }

    pub(super) fn is_fair(&self) -> bool {
        self.fair_mode().enforces()
    }

    #[cold]
    pub(super) fn turn_away(&self, class: u16, guard: Guarding, context: &Context) -> Result<()> {
        let why = match guard {
            Guarding::FairShare => {
                "more is asked than can be served, and this tenant asks for more than others"
            }
            _ => "more is asked than can be served, and other requests are more important",
        };
        self.refuse(class, guard, context, || self.busy(self.of(class), why))
    }

    /// What is told to who comes while too much is asked.
    pub(super) fn busy(&self, of: &Class, why: &'static str) -> Error {
        let error = Error::new(ErrorKind::Overloaded, why);
        // One of many instances may be busy for a moment, and then another answers at once. Where a good part has to
        // go, trying again soon only adds to it.
        let share = self.pressure.common().max(self.queue_share(of));
        if share >= MUCH { error.retry_after(COME_BACK) } else { error }
    }

    /// The refusal of `guard`, or a count of what it would have been.
    pub(super) fn refuse(
        &self,
        class: u16,
        guard: Guarding,
        context: &Context,
        make: impl FnOnce() -> Error,
    ) -> Result<()> {
        let mode = match guard {
            Guarding::FairShare => self.fair_mode(),
            Guarding::Concurrency => self.of(class).limits(),
            _ => self.mode(guard),
        };
        let enforces = mode.enforces();
        if mode.is_on() {
            self.of(class).meters.refused(guard, enforces, class_of(context));
        }
        if enforces { Err(make().at_layer(guard.as_str())) } else { Ok(()) }
    }
}

/// From a quarter on, who was refused does not try elsewhere at once.
const MUCH: f64 = 0.25;

/// The shortest that HTTP can say.
const COME_BACK: Duration = Duration::from_secs(1);
