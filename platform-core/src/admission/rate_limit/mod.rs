//! How often may this key ask?
//!
//! A concurrency limit bounds what is under way, and a fast caller never meets it. A rate limit bounds what is
//! *asked*: a contract (a partner may call 100 times a second) or a guard before something that is paid by the
//! call. One rule, GCRA, in one word of memory: the theoretical arrival time, when the last of the admitted calls
//! would have come had they come evenly. It is exact (at most `burst` at once, `per_second` for ever) and it knows
//! to the nanosecond when the next call would pass, which is what a refused caller wants to hear.
//!
//! * [`RateLimit`]: one key, one atomic, an [`Admission`] engine.
//! * [`Keyed`]: many keys in bounded memory.
//!
//! # Defaults
//! | Setting | Default | Reason |
//! |---|---|---|
//! | `mode` | off | a rate is a contract, and nobody can guess it |
//! | `per_second` | 100 | a round number to be replaced |
//! | `burst` | 100 | one second's worth at once: what a caller without a pacer does |
//!
//! # Signals
//! `platform_client_refusals{guard="rate-limit"}`; each refusal says the rate, the burst and when to come back.
//!
//! # Traps
//! * Each process counts for itself: ten instances with 100 a second allow 1000.
//! * All refused callers hear a time of their own and nothing is reserved for them: of many that come back at the
//!   same time, one passes.
//! * A change while calls are under way keeps what each key has used, in calls, so a caller that has used up a
//!   burst of 100 does not get another one because the rate was raised.

mod config;
mod gcra;
mod keys;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

pub use config::{Config, DEFAULT_BURST, DEFAULT_MAX_KEYS, DEFAULT_PER_SECOND, PerTenant};
pub use keys::Keyed;

use self::gcra::Gcra;
use super::{Admission, Answer, Refusal};
use crate::{config::Together, context::Context, outcome::Verdict, tick::Tick};

/// The rate of one key.
#[derive(Debug)]
pub struct RateLimit {
    epoch: Tick,
    /// A [`Rule`] in words: every call reads the first two.
    rule: Together<4>,
    /// The theoretical arrival time, in nanoseconds since `epoch`.
    arrival: AtomicU64,
}

/// What is allowed, as counted and as written.
#[derive(Clone, Debug)]
struct Rule {
    gcra: Gcra,
    per_second: f64,
    burst: u32,
}

impl RateLimit {
    /// A limit whose time begins at `epoch`, with its burst unused.
    pub fn new(config: &Config, epoch: impl Into<Tick>) -> Self {
        RateLimit {
            epoch: epoch.into(),
            rule: Together::new(Rule::new(config).words()),
            arrival: AtomicU64::new(0),
        }
    }

    /// May one call go at `now`? Going counts.
    #[inline(always)]
    pub fn ask_at(&self, now: impl Into<Tick>) -> Answer<()> {
        let gcra = Gcra::of_words(self.rule.first());
        let now = now.into().nanos_since(self.epoch);
        let mut seen = self.arrival.load(Relaxed);
        loop {
            let next = match gcra.next(seen, now) {
                Ok(next) => next,
                Err(after) => return Answer::No(self.refusal(after)),
            };
            // The word is all there is, so no other memory has to be ordered with it.
            match self.arrival.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => return Answer::Go(()),
                Err(changed) => seen = changed,
            }
        }
    }

    #[cold]
    fn refusal(&self, after: u64) -> Refusal {
        Rule::of(self.rule.read()).refusal(after)
    }

    /// Allows what `config` says from `now` on. What was used stays used, in calls, and never counts for more than
    /// an empty burst. A call that asks at this very moment may be counted by either rule.
    pub fn configure(&self, config: &Config, now: impl Into<Tick>) {
        let rule = Rule::new(config);
        let gcra = rule.gcra;
        let before = Rule::of(self.rule.swap(rule.words())).gcra;
        let now = now.into().nanos_since(self.epoch);
        let convert = |arrival| Some(gcra.take_over(before, arrival, now));
        // The closure always has an answer, so this cannot fail.
        let _ = self.arrival.fetch_update(Relaxed, Relaxed, convert);
    }
}

impl Admission for RateLimit {
    type Ticket = ();

    #[inline(always)]
    fn ask(&self, context: &Context) -> Answer<()> {
        self.ask_at(context.now())
    }

    /// How a call ended says nothing about how often may be asked.
    #[inline(always)]
    fn report(&self, (): (), _: &Verdict) {}
}

impl Rule {
    fn new(config: &Config) -> Self {
        Rule {
            gcra: Gcra::new(config.per_second, config.burst),
            per_second: config.per_second,
            burst: config.burst,
        }
    }

    fn words(&self) -> [u64; 4] {
        let [interval, tolerance] = self.gcra.words();
        [interval, tolerance, self.per_second.to_bits(), u64::from(self.burst)]
    }

    fn of([interval, tolerance, per_second, burst]: [u64; 4]) -> Self {
        Rule {
            gcra: Gcra::of_words([interval, tolerance]),
            per_second: f64::from_bits(per_second),
            // It was one before it was a word.
            burst: burst as u32,
        }
    }

    fn refusal(&self, after: u64) -> Refusal {
        let Rule { per_second, burst, .. } = self;
        // Rounded up: who comes back when it says must not be refused again.
        let shown = Duration::from_millis(after.div_ceil(NANOS_PER_MILLI));
        let why = format!(
            "{per_second} calls a second are allowed (rate_limit.per_second = {per_second}, burst {burst}); the \
             next may go in {shown:?}"
        );
        Refusal::new(why).after(Duration::from_nanos(after))
    }
}

const NANOS_PER_MILLI: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;

    fn limit(per_second: f64, burst: u32) -> (RateLimit, Instant) {
        let epoch = Instant::now();
        (RateLimit::new(&Config { per_second, burst, ..Config::default() }, epoch), epoch)
    }

    fn after(answer: Answer<()>) -> Option<Duration> {
        match answer {
            Answer::Go(()) => None,
            Answer::No(refusal) => Some(refusal.after.expect("a rate limit knows when")),
            Answer::Wait => panic!("a rate limit has no turns"),
        }
    }

    #[test]
    fn at_most_the_burst_at_once_and_the_rate_for_ever() {
        let ms = Duration::from_millis;
        // At (ms), how many ask, how many go.
        type Steps = &'static [(u64, u32, u32)];
        let table: [(f64, u32, Steps); 4] = [
            (100.0, 100, &[(0, 150, 100), (9, 1, 0), (10, 2, 1), (1_010, 150, 100), (60_000, 150, 100)]),
            (10.0, 1, &[(0, 2, 1), (99, 1, 0), (100, 2, 1), (10_000, 5, 1)]),
            (0.1, 2, &[(0, 3, 2), (9_999, 1, 0), (10_000, 2, 1)]),
            (2.5, 1, &[(0, 2, 1), (399, 1, 0), (400, 1, 1)]),
        ];
        for (per_second, burst, steps) in table {
            let (limit, epoch) = limit(per_second, burst);
            for &(at, asked, expected) in steps {
                let went = (0..asked).filter(|_| after(limit.ask_at(epoch + ms(at))).is_none()).count();
                assert_eq!(went, expected as usize, "{per_second}/s, burst {burst}, at {at}ms");
            }
        }
    }

    #[test]
    fn a_refusal_says_the_rule_and_when_to_come_back() {
        let (limit, epoch) = limit(100.0, 100);
        for _ in 0..100 {
            assert_eq!(after(limit.ask_at(epoch)), None);
        }
        let Answer::No(refusal) = limit.ask_at(epoch + Duration::from_nanos(3_000_001)) else { panic!() };
        assert_eq!(
            refusal.why,
            "100 calls a second are allowed (rate_limit.per_second = 100, burst 100); the next may go in 7ms"
        );
        assert_eq!(refusal.after, Some(Duration::from_nanos(6_999_999)));
    }

    #[test]
    fn time_before_the_epoch_and_time_that_runs_back_are_harmless() {
        let (limit, epoch) = limit(1.0, 2);
        let early = epoch.checked_sub(Duration::from_secs(1)).unwrap_or(epoch);
        assert_eq!(after(limit.ask_at(epoch + Duration::from_secs(5))), None);
        assert_eq!(after(limit.ask_at(early)), Some(Duration::from_secs(5)), "earlier than what was granted");
    }

    #[test]
    fn a_change_keeps_what_was_used_and_never_more_than_an_empty_burst() {
        let second = Duration::from_secs(1);
        let config = |per_second, burst| Config { per_second, burst, ..Config::default() };
        // Used of 100 at 100/s; then the new rate and burst, how many go at once, and when the next.
        let table = [
            (60, config(100.0, 100), 40, 10),
            (60, config(10.0, 100), 40, 100),
            (60, config(1_000.0, 100), 40, 1),
            (60, config(100.0, 80), 20, 10),
            (60, config(100.0, 50), 0, 10),
            (60, config(100.0, 200), 140, 10),
            (100, config(0.5, 10), 0, 2_000),
            (0, config(10.0, 10), 10, 100),
        ];
        for (used, changed, go, next) in table {
            let (limit, epoch) = limit(100.0, 100);
            let now = epoch + second;
            assert!((0..used).all(|_| after(limit.ask_at(now)).is_none()));
            limit.configure(&changed, now);
            let went = (0..1_000).take_while(|_| after(limit.ask_at(now)).is_none()).count();
            assert_eq!(went, go, "{used} used, then {changed:?}");
            assert_eq!(after(limit.ask_at(now)), Some(Duration::from_millis(next)), "{changed:?}");
        }
    }

    #[test]
    fn many_threads_get_exactly_what_is_allowed() {
        let (limit, epoch) = limit(1_000.0, 500);
        let went: usize = std::thread::scope(|scope| {
            let ask = || {
                (0..2_000_u64)
                    .filter(|i| after(limit.ask_at(epoch + Duration::from_micros(i * 500))).is_none())
                    .count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum()
        });
        // The last asks are at 999.5ms: 999 have come back to the burst, and all of it was asked for.
        assert_eq!(went, 500 + 999);
    }

    proptest! {
        /// The same rule by other hands gives the same answers.
        #[test]
        fn it_decides_as_governor_does(
            interval in 1_000_u64..2_000_000_000,
            burst in 1_u32..50,
            steps in prop::collection::vec((0_u64..4_000, 0_u32..6), 1..80),
        ) {
            use governor::{Quota, RateLimiter, clock::{Clock as _, FakeRelativeClock}};
            let clock = FakeRelativeClock::default();
            let quota = Quota::with_period(Duration::from_nanos(interval))
                .expect("an interval is positive")
                .allow_burst(std::num::NonZeroU32::new(burst).expect("a burst is positive"));
            let oracle = RateLimiter::direct_with_clock(quota, clock.clone());
            let epoch = Instant::now();
            let limit = RateLimit::new(&Config { burst, ..Config::default() }, epoch);
            let rule = Rule { gcra: Gcra::of_interval(interval, burst), per_second: 0.0, burst };
            limit.rule.swap(rule.words());
            let mut now = epoch;
            for (milles, asks) in steps {
                // From nothing to four intervals further.
                let step = Duration::from_nanos(interval * milles / 1_000);
                now += step;
                clock.advance(step);
                for _ in 0..asks {
                    let theirs = oracle.check().err().map(|no| no.wait_time_from(clock.now()));
                    prop_assert_eq!(after(limit.ask_at(now)), theirs);
                }
            }
        }

        /// What it says about coming back is exact.
        #[test]
        fn the_next_passes_when_it_says_and_not_a_nanosecond_before(
            per_second in 0.01_f64..100_000.0,
            burst in 1_u32..20,
            at in 0_u64..10_000_000_000,
        ) {
            let (limit, epoch) = limit(per_second, burst);
            let now = epoch + Duration::from_nanos(at);
            let mut wait = None;
            for _ in 0..=burst {
                wait = after(limit.ask_at(now));
            }
            let wait = wait.expect("one more than the burst is refused");
            let earlier = now + (wait - Duration::from_nanos(1));
            prop_assert_eq!(after(limit.ask_at(earlier)), Some(Duration::from_nanos(1)));
            prop_assert_eq!(after(limit.ask_at(now + wait)), None);
        }
    }
}
