//! Is this target worth asking?
//!
//! Who calls a target that is down waits for each failure, holds connections and memory while waiting, and keeps the
//! target from coming back. A [`Breaker`] refuses at once instead, and asks again, a little at first.
//!
//! ```text
//!            enough evidence              the pause is over
//!   closed ────────────────────▶ open ◀──────────────────────▶ half-open
//!      ▲                          ▲      the probe fails,          │
//!      │ 4 s                      │      and the pause doubles     │ the probe succeeds
//!      └───────── ramp ───────────┘                                │
//!                  ▲    3 failures                                 │
//!                  └───────────────────────────────────────────────┘
//! ```
//!
//! What counts is column *Breaker* of the table of outcomes ([`Outcome::readings`]). An answer of "too much to do" counts for
//! the target, which is there; only a probe is none the wiser by it, and the next call is another. A call counts only in the
//! generation that admitted it (`word.rs`): what was under way when the breaker opened neither opens it again nor
//! closes it.
//!
//! A row of failures is a row of events: calls that were under way together and fail within 20 ms of each other are one,
//! because an instance that is killed takes all its calls along and leaves the others well. A call that was under way while
//! another was refused as too much is none of a row: it is late because of that.
//!
//! # Defaults
//! | Key | Default | Reason |
//! |---|---|---|
//! | `mode` | enforce | a target that is down costs every caller |
//! | `window` | 10 s | [`config::WINDOW`] |
//! | `min_calls` | 20 | [`config::MIN_CALLS`] |
//! | `failure_ratio` | 0.5 | [`config::FAILURE_RATIO`] |
//! | `consecutive` | 7 | [`config::CONSECUTIVE`] |
//! | `slow_after` | 2 s | [`config::SLOW_AFTER`] |
//! | `slow_ratio` | 0.8 | [`config::SLOW_RATIO`] |
//! | `open` | 1 s | [`config::OPEN`] |
//! | `open_max` | 60 s | [`config::OPEN_MAX`] |
//! | `count_overload` | false | [`config::COUNT_OVERLOAD`] |
//!
//! # Signals
//! [`STATE`], [`TRANSITIONS`], and each refusal in `platform_client_refusals`. A refusal says the rule with its
//! numbers: `open since 1.2s after 7 failures in a row (breaker.consecutive = 7); asks again in 340ms`.
//!
//! # Traps
//! *A breaker for each instance* is ejection's business; this one stands before a whole target. *A low `min_calls`*
//! opens by chance. *Deadlines of callers count*: a call that is cut off by its own short deadline is a timeout, and
//! a caller with absurd deadlines can open it for all. *A probe is a user's call*: it is as likely to fail as the
//! target is to be still down.

pub mod config;
mod metrics;
mod rules;
mod state;
mod window;
mod word;

#[cfg(test)]
mod tests;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
pub use config::Config;
pub use metrics::{Meters, STATE, StateLabels, TRANSITIONS, To, TransitionLabels};
pub use state::{Cause, Forced, State, Why};

use super::{Admission, Answer, Refusal};
use crate::{
    context::Context,
    outcome::{Evidence, Outcome, Verdict},
    tick::{Tick, nanos},
};
use rules::{Bar, Run};
use window::{Stamp, Window};
use word::{Hand, Phase, Seen, Word};

/// Stops asking a target that fails, and finds out when it is back.
#[derive(Debug)]
pub struct Breaker {
    word: Word,
    /// Where time begins.
    origin: Tick,
    /// The two settings that every call reads, in nanoseconds; the others stand in `config`, for when something is
    /// wrong.
    tick: AtomicU64,
    slow_after: AtomicU64,
    config: ArcSwap<Config>,
    /// Why it opened last.
    story: ArcSwap<Story>,
    meters: Meters,
    run: Run,
    /// Calls that asked in ramps.
    turns: AtomicU64,
    window: Window,
}

/// What an admitted call is known by.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    since: Tick,
    generation: u32,
}

/// Why it opened, when, and how often it was tried since. In milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Story {
    cause: Option<Cause>,
    since: u64,
    tries: u32,
}

impl Breaker {
    /// A closed one, at `now`.
    pub fn new(config: Config, now: impl Into<Tick>, meters: Meters) -> Self {
        Breaker {
            word: Word::new(),
            origin: now.into(),
            tick: AtomicU64::new(config.tick()),
            slow_after: AtomicU64::new(config.slow_after.map_or(u64::MAX, nanos)),
            config: ArcSwap::from_pointee(config),
            story: ArcSwap::default(),
            meters,
            run: Run::default(),
            turns: AtomicU64::new(0),
            window: Window::default(),
        }
    }

    /// Judges by these values from now on; `slow_after` from the next call on. Evidence is kept unless the window's
    /// length changed. The mode is the gate's ([`Gate::set_mode`](super::Gate::set_mode)).
    pub fn configure(&self, config: Config) {
        self.slow_after.store(config.slow_after.map_or(u64::MAX, nanos), Relaxed);
        let before = self.tick.swap(config.tick(), Relaxed);
        self.config.store(Arc::new(config));
        if before != config.tick() {
            self.word.forget();
        }
    }

    /// Holds it open or closed until `None`; then it begins anew, closed and without evidence.
    pub fn force(&self, forced: Option<Forced>) {
        let (hand, to) = match forced {
            None => (Hand::Off, To::Closed),
            Some(Forced::Open) => (Hand::Open, To::Open),
            Some(Forced::Closed) => (Hand::Closed, To::Closed),
        };
        if self.word.force(hand).is_some() {
            self.changed(to);
        }
    }

    /// Where it stands at `now`.
    pub fn state(&self, now: impl Into<Tick>) -> State {
        self.state_of(self.word.see(), self.at(now))
    }

    fn state_of(&self, seen: Seen, at: u64) -> State {
        match (seen.hand(), seen.phase()) {
            (Hand::Open, _) => State::Forced(Forced::Open),
            (Hand::Closed, _) => State::Forced(Forced::Closed),
            (Hand::Off, Phase::Closed) => State::Closed,
            (Hand::Off, Phase::Open) if at < seen.at() => {
                State::Open { why: self.why(at), again_in: Duration::from_millis(seen.at() - at) }
            }
            (Hand::Off, Phase::Open | Phase::HalfOpen) => {
                State::HalfOpen { why: self.why(at), probing: false }
            }
            (Hand::Off, Phase::Probing) => State::HalfOpen { why: self.why(at), probing: true },
            (Hand::Off, Phase::Ramp) => {
                let elapsed = at.saturating_sub(seen.at());
                match rules::share(elapsed) {
                    // The next call closes it.
                    None => State::Closed,
                    Some(percent) => State::Ramp {
                        share: percent as u8,
                        more_in: rules::next_step(elapsed),
                        all_in: rules::ramp_left(elapsed),
                    },
                }
            }
        }
    }

    fn why(&self, at: u64) -> Why {
        let Story { cause, since, tries } = **self.story.load();
        Why { cause, since: Duration::from_millis(at.saturating_sub(since)), tries }
    }

    /// May it go on, where the word does not say simply yes? In what it was admitted, or why it was not.
    #[cold]
    fn look_closely(&self, context: &Context) -> Result<Seen, Refusal> {
        let at = self.at(context.now());
        loop {
            let seen = self.word.see();
            // Each exchange that fails has been overtaken by another call: look again.
            let admitted = match (seen.hand(), seen.phase()) {
                (Hand::Open, _) => return Err(self.refusal(seen, at)),
                (Hand::Closed, _) | (Hand::Off, Phase::Closed) => Some(seen),
                (Hand::Off, Phase::Open) if at < seen.at() => return Err(self.refusal(seen, at)),
                (Hand::Off, Phase::Open | Phase::HalfOpen) => {
                    let claimed = self.word.claim(seen, at);
                    if claimed.is_some() && seen.phase() == Phase::Open {
                        self.changed(To::HalfOpen);
                    }
                    claimed
                }
                (Hand::Off, Phase::Probing) => {
                    // A probe without a deadline may never come back; the target must not be lost with it.
                    if at < seen.at().saturating_add(millis(self.config.load().open_max)) {
                        return Err(self.refusal(seen, at));
                    }
                    self.word.claim(seen, at)
                }
                (Hand::Off, Phase::Ramp) => match rules::share(at.saturating_sub(seen.at())) {
                    None => {
                        let closed = self.word.close(seen);
                        if closed.is_some() {
                            self.changed(To::Closed);
                        }
                        closed
                    }
                    Some(percent) => {
                        if !rules::is_one_of(self.turns.fetch_add(1, Relaxed), percent) {
                            return Err(self.refusal(seen, at));
                        }
                        Some(seen)
                    }
                },
            };
            if let Some(seen) = admitted {
                return Ok(seen);
            }
        }
    }

    fn refusal(&self, seen: Seen, at: u64) -> Refusal {
        let state = self.state_of(seen, at);
        Refusal { why: state.to_string().into(), after: state.again_in() }
    }

    /// A call of the present generation ended, closed or in a ramp.
    #[inline(always)]
    fn count(&self, seen: Seen, ticket: Ticket, verdict: &Verdict) {
        let failed = match self.evidence(verdict.outcome) {
            Evidence::Ignore => return,
            Evidence::Failure => true,
            Evidence::Success => {
                if verdict.outcome == Outcome::Overload {
                    self.run.refused(self.at(verdict.at));
                }
                self.run.end(ticket.generation);
                false
            }
        };
        let number = verdict.at.nanos_since(self.origin) / self.tick.load(Relaxed).max(1);
        let stamp = Stamp::new(ticket.generation, number);
        self.window.call(stamp);
        let slow = self.is_slow(ticket, verdict);
        if failed || slow {
            self.judge(seen, stamp, self.at(ticket.since)..self.at(verdict.at), failed, slow);
        }
    }

    #[cold]
    fn judge(&self, seen: Seen, stamp: Stamp, took: Range<u64>, failed: bool, slow: bool) {
        let (generation, at) = (seen.generation(), took.end);
        let mut run = 0;
        if failed {
            self.window.failure(stamp);
            run = self.run.more(generation, took.start, at);
        }
        if slow {
            self.window.slow(stamp);
        }
        let config = self.config.load();
        let ramp = seen.phase() == Phase::Ramp;
        let bar = if ramp { Bar::small(&config) } else { Bar::usual(&config) };
        if let Some(cause) = rules::trips(&config, bar, run, self.window.sums(stamp)) {
            let story = match ramp {
                true => self.one_more_try(),
                false => Story { cause: Some(cause), since: at, tries: 0 },
            };
            self.open(generation, at, story);
        }
    }

    /// The report of a call where the word does not say simply closed, or has changed since.
    #[cold]
    fn report_closely(&self, seen: Seen, ticket: Ticket, verdict: Verdict) {
        match seen.phase() {
            _ if seen.generation() != ticket.generation || seen.hand() != Hand::Off => {}
            Phase::Closed | Phase::Ramp => self.count(seen, ticket, &verdict),
            // Nothing else was admitted in this generation.
            Phase::Probing => self.probed(ticket, &verdict),
            Phase::Open | Phase::HalfOpen => {}
        }
    }

    /// The probe of the present generation came back.
    #[cold]
    fn probed(&self, ticket: Ticket, verdict: &Verdict) {
        let (generation, at) = (ticket.generation, self.at(verdict.at));
        match self.evidence(verdict.outcome) {
            // Who refuses it is there, and whether it answers is still to be found out.
            Evidence::Success if verdict.outcome == Outcome::Overload => {
                self.word.let_go(generation);
            }
            Evidence::Ignore => {
                self.word.let_go(generation);
            }
            Evidence::Success if !self.is_slow(ticket, verdict) => {
                if self.word.ramp(generation, at).is_some() {
                    self.changed(To::Ramp);
                }
            }
            Evidence::Success | Evidence::Failure => self.open(generation, at, self.one_more_try()),
        }
    }

    fn one_more_try(&self) -> Story {
        let story = **self.story.load();
        Story { tries: story.tries.saturating_add(1), ..story }
    }

    fn open(&self, generation: u32, at: u64, story: Story) {
        let pause = rules::pause(&self.config.load(), story.tries, fastrand::f64());
        if self.word.trip(generation, at.saturating_add(pause)).is_some() {
            self.story.store(Arc::new(story));
            self.changed(To::Open);
        }
    }

    fn changed(&self, to: To) {
        self.meters.transition(to);
        // Two changes may come here in the wrong order, so the last look decides what is shown.
        loop {
            let seen = self.word.see();
            self.meters.state.set(match (seen.hand(), seen.phase()) {
                (Hand::Closed, _) | (Hand::Off, Phase::Closed) => 0.0,
                (Hand::Off, Phase::HalfOpen | Phase::Probing | Phase::Ramp) => 1.0,
                (Hand::Open, _) | (Hand::Off, Phase::Open) => 2.0,
            });
            if self.word.see() == seen {
                return;
            }
        }
    }

    #[inline]
    fn evidence(&self, outcome: Outcome) -> Evidence {
        match outcome {
            Outcome::Overload if self.config.load().count_overload => Evidence::Failure,
            outcome => outcome.readings().breaker,
        }
    }

    #[inline]
    fn is_slow(&self, ticket: Ticket, verdict: &Verdict) -> bool {
        verdict.at.nanos_since(ticket.since) >= self.slow_after.load(Relaxed)
    }

    #[inline]
    fn ticket(seen: Seen, context: &Context) -> Ticket {
        Ticket { since: context.now(), generation: seen.generation() }
    }

    /// Milliseconds since the origin.
    #[inline]
    fn at(&self, now: impl Into<Tick>) -> u64 {
        now.into().millis_since(self.origin)
    }
}

impl Admission for Breaker {
    type Ticket = Ticket;

    #[inline(always)]
    fn ask(&self, context: &Context) -> Answer<Ticket> {
        let mut seen = self.word.see();
        if !seen.is_closed() {
            seen = match self.look_closely(context) {
                Ok(admitted) => admitted,
                Err(refusal) => return Answer::No(refusal),
            };
        }
        Answer::Go(Self::ticket(seen, context))
    }

    // Always, as all that is asked and told of a call that goes well: each is a few numbers that are read and written.
    #[inline(always)]
    fn report(&self, ticket: Ticket, verdict: &Verdict) {
        let seen = self.word.see();
        if seen.is_closed() && seen.generation() == ticket.generation {
            return self.count(seen, ticket, verdict);
        }
        // By value: what is given away by reference has to lie somewhere, whoever looks at it.
        self.report_closely(seen, ticket, *verdict);
    }
}

#[inline]
fn millis(length: Duration) -> u64 {
    length.as_secs().saturating_mul(1000).saturating_add(u64::from(length.subsec_millis()))
}
