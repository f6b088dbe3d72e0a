//! How much of us may this target hold?
//!
//! A call that hangs holds memory, a task and often a connection. A [`Bulkhead`] bounds how many one target holds, so
//! that a target which hangs sinks its own calls and not the service. A place is held until the reply has been read:
//! a body that trickles holds as much as a head that does not come.
//!
//! Who finds no place waits a moment in line, first come first served, never beyond its own deadline.
//!
//! # Defaults
//! | Key | Default | Reason |
//! |---|---|---|
//! | `mode` | enforce | what it bounds is lost for all targets |
//! | `max_in_flight` | 1000 | [`config::MAX_IN_FLIGHT`] |
//! | `max_wait` | 10 ms | [`config::MAX_WAIT`] |
//!
//! # Signals
//! Each refusal in `platform_client_refusals`. It says the rule with its numbers: `1000 calls are under way
//! (bulkhead.max_in_flight = 1000), and none ended within 10ms`.
//!
//! # Traps
//! *As a rate limit*: 1000 calls under way are 10 000 a second at 100 ms and 100 a second at 10 s. *As a queue*: with a
//! long `max_wait` every caller waits, and the target is no faster. *A lower `max_in_flight`* refuses until enough
//! calls have ended; it ends none.

pub mod config;
mod slots;

#[cfg(test)]
mod tests;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

pub use config::Config;

use super::{Admission, Answer, Refusal, refusal::Told};
use crate::{context::Context, outcome::Verdict, tick::nanos};
use slots::Slots;

/// Bounds the calls that are under way to one target.
#[derive(Debug)]
pub struct Bulkhead {
    slots: Slots,
    /// In nanoseconds.
    max_wait: AtomicU64,
}

impl Bulkhead {
    /// An empty one.
    pub fn new(config: Config) -> Self {
        Bulkhead { slots: Slots::new(config.max_in_flight), max_wait: AtomicU64::new(nanos(config.max_wait)) }
    }

    /// Bounds by these values from now on. Calls that are under way go on, also where they are now too many. The mode
    /// is the gate's ([`Gate::set_mode`](super::Gate::set_mode)).
    pub fn configure(&self, config: Config) {
        self.max_wait.store(nanos(config.max_wait), Relaxed);
        self.slots.set_max(config.max_in_flight);
    }

    /// How many calls are under way.
    pub fn in_flight(&self) -> u32 {
        self.slots.taken()
    }

    /// How many calls wait for a place.
    pub fn waiting(&self) -> u32 {
        self.slots.waiting()
    }

    fn max_wait(&self) -> Duration {
        Duration::from_nanos(self.max_wait.load(Relaxed))
    }

    #[cold]
    fn ask_closely(&self) -> Answer<()> {
        if self.max_wait.load(Relaxed) == 0 {
            // Nobody waits any more but who came before that was set.
            if self.slots.take() { Answer::Go(()) } else { self.refuse("") }
        } else if self.slots.waiting() >= self.slots.max() {
            self.refuse(&self.line())
        } else {
            Answer::Wait
        }
    }

    fn line(&self) -> String {
        format!(", and {} wait already", self.slots.waiting())
    }

    fn refuse(&self, more: &str) -> Answer<()> {
        let (taken, max) = (self.slots.taken(), self.slots.max());
        let calls = if taken == 1 { "call is" } else { "calls are" };
        let why = format!("{taken} {calls} under way (bulkhead.max_in_flight = {max}){more}");
        Answer::No(Refusal::new(why))
    }

    /// Until when a request waits, and how long that is.
    fn patience(&self, context: &Context) -> (Instant, Duration) {
        let now = context.now();
        let own = self.max_wait();
        let wait = context.deadline().map_or(own, |deadline| deadline.remaining(now).min(own));
        (now.instant() + wait, wait)
    }
}

impl Admission for Bulkhead {
    type Ticket = ();

    const HOLDS: bool = true;

    #[inline(always)]
    fn ask(&self, _context: &Context) -> Answer<()> {
        // Who comes now does not overtake who waits.
        if self.slots.waiting() == 0 && self.slots.take() {
            return Answer::Go(());
        }
        self.ask_closely()
    }

    fn report(&self, (): (), _verdict: &Verdict) {}

    fn release(&self) {
        self.slots.leave();
    }

    async fn wait(&self, context: &Context) -> Answer<()> {
        let Some(waiter) = self.slots.stand() else { return self.refuse(&self.line()) };
        let (until, wait) = self.patience(context);
        // The last look is for a place whose next in line was woken and does not come: its task is busy elsewhere.
        if timeout_at(until, waiter.take()).await.is_ok() || waiter.take_now() {
            return Answer::Go(());
        }
        self.refuse(&format!(", and none ended within {}", Told(wait)))
    }
}
