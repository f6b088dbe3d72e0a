//! How much can this target bear right now?
//!
//! A fixed limit is right on the day it was measured. This one watches how latency answers to what is under way
//! and moves: up while there is no queue, down when there is one, or when calls end in overload or a timeout. The
//! rule is an [`Algorithm`] of one method; [`Queue`] is the default. Taking a slot is exact, and no lock or
//! allocation is on the way of a call: latencies go into a histogram of atomics, and whoever ends a call when a
//! window is over runs the rule.
//!
//! # The first window
//! Nothing is known at the start, and a limit of 20 would refuse half of a healthy service with 500 ms at 100 calls
//! a second. So until the first window has been closed, a limit that is full *doubles*, up to `max`, as long as not
//! more than a tenth of the calls ended in overload or a timeout and those that came in a crowd do not take three times
//! as long. Calls that began while no more than `start` were under way give the baseline, once nine of ten of them have
//! ended: the fast ones end first. If the window shows a queue, the limit goes at once to twice what needs none. A flood at a cold
//! start thus meets no limit for a second or two, or twice the latency: deadlines and the server's own queue
//! bound that.
//!
//! # Defaults
//! | Setting | Default | Reason |
//! |---|---|---|
//! | `mode` | observe | proven in shadow first |
//! | `start` | 20 | more than a quiet client has under way; a first estimate, not a limit |
//! | `min` | 1 | the least with which anything can be learnt |
//! | `max` | 1000 | a ceiling of 200 refuses a healthy service with a second's latency at 200 calls a second |
//!
//! A window lasts 1 to 30 s, at least twice its fastest call (the first: twice its 90th percentile, or only fast
//! calls would be in it), and has at least 50 calls. Errors, cancelled calls and our own refusals are no evidence. A client without traffic closes
//! no window: idle freezes, and never decays.
//!
//! # Signals
//! `platform_client_refusals{guard="concurrency"}`; [`Concurrency::limit`] and [`Concurrency::in_flight`].
//!
//! # Traps
//! * More than `max` under way is refused whatever the target can bear: set it for long polls.
//! * A target that is slower for good looks like one with a queue. The limit falls to what is carried, and comes
//!   back as the baseline follows.
//! * A slot is held until the reply has been read; the latency is that of its head.
//! * In mode observe, calls that would have been refused have no ticket and are not counted as under way.

mod config;
mod correlation;
mod latencies;
mod limit;
mod queue;
mod slots;
#[cfg(test)]
mod storms;

use std::{
    sync::{
        Mutex, TryLockError,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

pub use config::{Config, DEFAULT_MAX, DEFAULT_MIN, DEFAULT_START};
pub use limit::{Algorithm, Sample};
pub use queue::Queue;

use self::{latencies::Latencies, slots::Slots};
use super::{Admission, Answer, Refusal};
use crate::{
    context::Context,
    outcome::{Lesson, Outcome, Verdict},
    tick::{Tick, nanos},
};

/// Admits as many calls at a time as the target is believed to bear.
#[derive(Debug)]
pub struct Concurrency<A = Queue> {
    epoch: Tick,
    start: AtomicU32,
    min: AtomicU32,
    max: AtomicU32,
    slots: Slots,
    /// Nothing is known yet: the first window is open.
    is_new: AtomicBool,
    /// And it has shown that calls wait for one another.
    shows_queue: AtomicBool,
    latencies: Latencies,
    quiet: Latencies,
    /// Calls that began while few were under way, and those of them that have ended; of the first window.
    calm_begun: AtomicU32,
    calm_ended: AtomicU32,
    done: AtomicU32,
    drops: AtomicU32,
    refused: AtomicU32,
    /// When the window may be closed, in nanoseconds since `epoch`.
    closes: AtomicU64,
    window: Mutex<Window<A>>,
}

/// What only the one that closes a window touches.
#[derive(Debug)]
struct Window<A> {
    algorithm: A,
    limit: f64,
    opened: u64,
}

/// An admitted call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    since: Tick,
    in_flight: u32,
}

impl Ticket {
    /// As if it had been taken so much later.
    pub(crate) fn later(self, by: Duration) -> Self {
        Ticket { since: self.since.after(by).unwrap_or(self.since), ..self }
    }
}

impl Concurrency {
    /// The default algorithm, before its first window.
    pub fn new(config: &Config, now: impl Into<Tick>) -> Self {
        Concurrency::with(Queue::new(), config, now)
    }
}

impl<A: Algorithm> Concurrency<A> {
    /// The same by another rule.
    pub fn with(algorithm: A, config: &Config, now: impl Into<Tick>) -> Self {
        let Config { start, min, max, .. } = *config;
        Concurrency {
            epoch: now.into(),
            start: AtomicU32::new(start),
            min: AtomicU32::new(min),
            max: AtomicU32::new(max),
            slots: Slots::new(start),
            is_new: AtomicBool::new(true),
            shows_queue: AtomicBool::new(false),
            latencies: Latencies::new(),
            quiet: Latencies::new(),
            calm_begun: AtomicU32::new(0),
            calm_ended: AtomicU32::new(0),
            done: AtomicU32::new(0),
            drops: AtomicU32::new(0),
            refused: AtomicU32::new(0),
            closes: AtomicU64::new(SHORTEST),
            window: Mutex::new(Window { algorithm, limit: f64::from(start), opened: 0 }),
        }
    }

    /// Looks between these numbers from now on; what was learnt stays.
    pub fn configure(&self, config: &Config) {
        let (min, max) = (config.min.max(1), config.max.max(config.min).max(1));
        self.start.store(config.start, Relaxed);
        self.min.store(min, Relaxed);
        self.max.store(max, Relaxed);
        // At once where the numbers say so; the algorithm goes on from there.
        self.slots.set_limit(self.slots.limit().clamp(min, max));
    }

    /// What the target is believed to bear.
    pub fn limit(&self) -> u32 {
        self.slots.limit()
    }

    /// How many calls are under way.
    pub fn in_flight(&self) -> u32 {
        self.slots.in_flight()
    }

    #[inline(always)]
    fn enter(&self, now: impl Into<Tick>) -> Answer<Ticket> {
        self.take(now.into()).map_or_else(|limit| self.refuse(limit), Answer::Go)
    }

    /// A slot, or the limit that was met. Who will not come again has to be [told of](Self::refused).
    #[inline(always)]
    pub(crate) fn take(&self, since: Tick) -> Result<Ticket, u32> {
        loop {
            match self.slots.take() {
                Ok(in_flight) => {
                    if self.is_calm(in_flight) {
                        self.calm_begun.fetch_add(1, Relaxed);
                    }
                    return Ok(Ticket { since, in_flight });
                }
                Err(limit) if self.may_double(limit) => {
                    self.slots.grow(limit, limit.saturating_mul(2).min(self.max.load(Relaxed)));
                }
                Err(limit) => return Err(limit),
            }
        }
    }

    /// Takes a slot without asking: who had one before gives it back once.
    pub(crate) fn retake(&self) {
        self.slots.retake();
    }

    /// Whoever holds this one was counted when it came first.
    pub(crate) fn again(&self, ticket: Ticket) {
        if self.is_calm(ticket.in_flight) {
            self.calm_begun.fetch_sub(1, Relaxed);
        }
    }

    /// One who met the limit went away.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Did a call of the first window begin before there was a crowd?
    #[inline]
    fn is_calm(&self, in_flight: u32) -> bool {
        self.is_new.load(Relaxed) && in_flight <= self.start.load(Relaxed)
    }

    fn may_double(&self, limit: u32) -> bool {
        // A few are always slower than their callers have time for.
        let (drops, done) = (self.drops.load(Relaxed), self.done.load(Relaxed));
        self.is_new.load(Acquire)
            && f64::from(drops) <= queue::DROPS * f64::from(done.saturating_add(drops))
            && limit < self.max.load(Relaxed)
            && !self.shows_queue.load(Relaxed)
            && !self.look_for_queue()
    }

    /// Do those that came in a crowd take far longer than those before it? Then what is asked for is not room.
    #[cold]
    fn look_for_queue(&self) -> bool {
        let (all, quiet) = (self.latencies.quantile(0.5), self.quiet.quantile(0.5));
        let (Some((all, seen)), Some((quiet, calm))) = (all, quiet) else { return false };
        let shows = seen >= FEWEST && calm >= FEWEST_CALM && all > quiet * CROWDED;
        self.shows_queue.store(shows, Relaxed);
        shows
    }

    #[cold]
    fn refuse(&self, limit: u32) -> Answer<Ticket> {
        self.refused();
        Answer::No(Refusal::new(format!(
            "{} calls are under way and {limit} is what the target is believed to bear (concurrency.max = {})",
            self.slots.in_flight(),
            self.max.load(Relaxed)
        )))
    }

    #[inline(always)]
    fn learn(&self, ticket: Ticket, outcome: Outcome, at: impl Into<Tick>) {
        let at = at.into();
        let calm = self.is_calm(ticket.in_flight);
        if calm {
            self.calm_ended.fetch_add(1, Relaxed);
        }
        match outcome.readings().limit {
            Lesson::Ignore => return,
            Lesson::Drop => {
                self.drops.fetch_add(1, Relaxed);
            }
            Lesson::Sample => {
                let latency = at.nanos_since(ticket.since);
                self.latencies.add(latency);
                if calm {
                    self.quiet.add(latency);
                }
                self.done.fetch_add(1, Relaxed);
            }
        }
        let now = at.nanos_since(self.epoch);
        // Of all calls in a window only the last ones come so far.
        if now >= self.closes.load(Relaxed) && self.lessons() >= FEWEST {
            self.close(now);
        }
    }

    fn lessons(&self) -> u32 {
        self.done.load(Relaxed).saturating_add(self.drops.load(Relaxed))
    }

    /// Ends the window, unless somebody else is about it: then it is done.
    #[cold]
    fn close(&self, now: u64) {
        let mut window = match self.window.try_lock() {
            Ok(window) => window,
            // What it holds is numbers; those of an algorithm that panicked are as good as any.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if now < self.closes.load(Relaxed) {
            return;
        }
        let latency = self.latencies.quantile(SHARE).map(|(latency, _)| latency);
        let is_first = self.is_new.load(Relaxed);
        let calm = if is_first { self.quiet.quantile(SHARE) } else { None };
        let quiet = calm.map(|(latency, _)| latency);
        // The first window has to be long enough for its slow calls to have ended; in a flood the latency of all
        // grows as fast as the window, but that of the first calls does not. Later, slow calls of before end too.
        let fastest = || self.latencies.quantile(0.0).map(|(latency, _)| latency);
        let typical = if is_first { quiet.or(latency) } else { fastest() };
        let length = nanos(typical.unwrap_or_default()).saturating_mul(2).clamp(SHORTEST, LONGEST);
        let elapsed = now.saturating_sub(window.opened);
        // Of calls that began together the fast ones end first: while many are out, what has ended says that all are fast.
        let (begun, ended) = (self.calm_begun.load(Relaxed), self.calm_ended.load(Relaxed));
        if is_first && elapsed < LONGEST && f64::from(ended) < SHARE * f64::from(begun) {
            self.closes.store(now + AGAIN, Relaxed);
            return;
        }
        if elapsed < length {
            self.closes.store(window.opened + length, Relaxed);
            return;
        }
        if self.slots.limit() != floor(window.limit) {
            // It doubled in the first window, or was configured.
            window.limit = f64::from(self.slots.limit());
        }
        let sample = Sample {
            limit: window.limit,
            elapsed: Duration::from_nanos(elapsed),
            latency,
            quiet: calm.map(|(latency, calls)| {
                let chance = if calls < FEWEST { CHANCE / f64::from(calls).sqrt() } else { 0.0 };
                latency.mul_f64(1.0 + chance)
            }),
            peak: self.slots.take_peak(),
            done: self.done.swap(0, Relaxed),
            drops: self.drops.swap(0, Relaxed),
            refused: self.refused.swap(0, Relaxed),
        };
        self.latencies.clear();
        let (min, max) = (self.min.load(Relaxed), self.max.load(Relaxed));
        let next = window.algorithm.update(&sample);
        window.limit = next.max(f64::from(min)).min(f64::from(max));
        window.opened = now;
        self.closes.store(now.saturating_add(SHORTEST), Relaxed);
        // Before the new limit, so that nobody doubles it.
        self.is_new.store(false, Release);
        self.slots.set_limit(floor(window.limit));
    }
}

impl<A: Algorithm> Admission for Concurrency<A> {
    type Ticket = Ticket;

    const HOLDS: bool = true;

    #[inline(always)]
    fn ask(&self, context: &Context) -> Answer<Ticket> {
        self.enter(context.now())
    }

    #[inline(always)]
    fn report(&self, ticket: Ticket, verdict: &Verdict) {
        self.learn(ticket, verdict.outcome, verdict.at);
    }

    #[inline]
    fn release(&self) {
        self.slots.free();
    }
}

/// A limit in whole calls; as `f64` to integer saturates, every number is one.
fn floor(limit: f64) -> u32 {
    limit as u32
}

/// The share of calls that a latency speaks for: late enough to feel a queue, early enough to be measured by 50.
const SHARE: f64 = 0.9;

/// The calm calls of a slow target's first window are few, and the slowest of them may still be out: for durations spread like those of
/// a queue's server a 90th percentile of n has a standard error of 1.3 / sqrt(n) of itself. One and a half of them are
/// left to chance: a baseline that is too low is believed for half a minute, one that is too high falls at once.
const CHANCE: f64 = 2.0;

/// Of fewer calls, a 90th percentile is the latency of five.
const FEWEST: u32 = 50;

/// A median of ten is off by a half now and then, and by three times only where calls wait for one another.
const FEWEST_CALM: u32 = 10;
const CROWDED: u32 = 3;

const SHORTEST: u64 = Duration::from_secs(1).as_nanos() as u64;
/// As often as that a first window is looked at whose slow calls are out.
const AGAIN: u64 = SHORTEST / 10;
const LONGEST: u64 = Duration::from_secs(30).as_nanos() as u64;

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn limited(start: u32, max: u32) -> (Concurrency, Instant) {
        let now = Instant::now();
        (Concurrency::new(&Config { start, max, ..Config::default() }, now), now)
    }

    fn take<A: Algorithm>(limit: &Concurrency<A>, now: Instant) -> Option<Ticket> {
        match limit.enter(now) {
            Answer::Go(ticket) => Some(ticket),
            _ => None,
        }
    }

    #[test]
    fn a_refusal_says_its_numbers() {
        let (limit, now) = limited(20, 20);
        assert!((0..20).all(|_| take(&limit, now).is_some()));
        let Answer::No(refusal) = limit.enter(now) else { panic!("21 of 20") };
        assert_eq!(
            refusal.why,
            "20 calls are under way and 20 is what the target is believed to bear (concurrency.max = 20)"
        );
        limit.release();
        assert!(take(&limit, now).is_some());
    }

    #[test]
    fn before_the_first_window_a_full_limit_doubles_until_something_speaks_against_it() {
        let (limit, now) = limited(20, 100);
        let ticket = take(&limit, now).unwrap();
        assert!((1..50).all(|_| take(&limit, now).is_some()));
        assert_eq!(limit.limit(), 80);
        limit.learn(ticket, Outcome::Overload, now + MS);
        assert_eq!((0..100).filter(|_| take(&limit, now).is_some()).count(), 30);
        assert_eq!(limit.limit(), 80);
    }

    #[test]
    fn the_maximum_is_kept_and_may_change() {
        let (limit, now) = limited(20, 100);
        assert_eq!((0..500).filter(|_| take(&limit, now).is_some()).count(), 100);
        limit.configure(&Config { max: 50, ..Config::default() });
        (0..51).for_each(|_| limit.release());
        assert!(take(&limit, now).is_some() && take(&limit, now).is_none());
    }

    #[test]
    fn which_outcomes_close_a_window_and_which_are_no_evidence() {
        struct Count(u32);
        impl Algorithm for Count {
            fn update(&mut self, sample: &Sample) -> f64 {
                self.0 += 1;
                assert_eq!(sample.done + sample.drops, FEWEST);
                sample.limit
            }
        }
        for outcome in Outcome::ALL {
            let now = Instant::now();
            let limit = Concurrency::with(Count(0), &Config::default(), now);
            for i in 0..FEWEST {
                let ticket = take(&limit, now + MS * 1_000).unwrap();
                assert!(i == 0 || limit.window.lock().unwrap().algorithm.0 == 0);
                limit.learn(ticket, outcome, now + MS * 1_010);
                limit.release();
            }
            let closed = outcome.readings().limit != Lesson::Ignore;
            assert_eq!(limit.window.lock().unwrap().algorithm.0, u32::from(closed), "{outcome:?}");
        }
    }

    #[test]
    fn threads_leave_nothing_behind_and_no_call_is_counted_twice() {
        struct Sum(u64);
        impl Algorithm for Sum {
            fn update(&mut self, sample: &Sample) -> f64 {
                self.0 += u64::from(sample.done);
                assert!(sample.peak <= 8);
                8.0
            }
        }
        let now = Instant::now();
        let limit = Concurrency::with(Sum(0), &Config { start: 8, max: 8, ..Config::default() }, now);
        let call = || {
            let mut ended = 0;
            for i in 0..20_000 {
                if let Some(ticket) = take(&limit, now + MS * i) {
                    limit.learn(ticket, Outcome::Success, now + MS * (i + 1));
                    limit.release();
                    ended += 1;
                }
            }
            ended
        };
        let ended: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(call)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum()
        });
        let seen = limit.window.lock().unwrap().algorithm.0 + u64::from(limit.done.load(Relaxed));
        assert_eq!((limit.in_flight(), seen), (0, ended));
    }
}
