//! Is it worth sending at all?
//!
//! A target that refuses most calls still pays for refusing them. When a good part of a client's recent answers
//! was *overload*, the client turns a share of its calls away itself, as many as keep the target at `k` times what
//! it can accept, and goes on with the rest: nothing latches, and the first accepted calls are what ends it.
//!
//! With `n` answers in the memory, `a` of them accepted, the share is `(n - k*a) / (n + 1)`, at most `max_share`.
//! Answers are success and the caller's faults (accepted: the target did its work) and overload (not accepted).
//! Failures, timeouts, abandoned calls and, above all, *this throttle's own refusals* are not answers. A throttle
//! that counts what it turned away sees a storm as long as it remembers its own part in it; of answers alone
//! the first good second ends it. The price: offered `x` times what the target accepts, it sends about
//! `sqrt(k*x)` times that instead of `k`; with `max_share` that is at most `k` times more.
//!
//! # Defaults
//! | Setting | Default | Reason |
//! |---|---|---|
//! | `mode` | observe | proven in shadow first |
//! | `k` | 2 | half of the answers may be overload before anything is turned away; 1.1 gives no room for probing |
//! | `memory` | 1s | a second after a storm nothing is left of it; ten times that turned away 79 % of good calls |
//! | `max_share` | 0.8 | the fifth that goes on finds out that the target is well again |
//!
//! Off below ten answers in the memory, and of what it would turn away one call each second goes on, whatever
//! happens.
//!
//! # Signals
//! `platform_client_refusals{guard="throttle"}`; each refusal says how many answers were overload and the share.
//!
//! # Traps
//! It is no breaker: a target that fails, or is silent, is not throttled. It needs a target that says *overload*
//! (503 with a delay, 429, `RESOURCE_EXHAUSTED`); one that fails without a mark is not heard.

mod config;
mod ratio;
mod window;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
pub use config::{Config, DEFAULT_K, DEFAULT_MAX_SHARE, DEFAULT_MEMORY};

use self::{
    ratio::{Answers, share},
    window::Window,
};
use super::{
    Admission, Answer, Refusal,
    shed::{Rank, Shed},
};
use crate::{
    config::Mode,
    context::Context,
    outcome::{Outcome, Verdict},
    tick::Tick,
};

/// Turns away a share of the calls to a target that says that it has too much to do.
#[derive(Debug)]
pub struct Throttle {
    epoch: Tick,
    config: ArcSwap<Config>,
    window: Window,
    /// Until then, in nanoseconds since `epoch`, there may be an answer in the window that was no acceptance.
    doubtful: AtomicU64,
    /// When the next call goes on that would be turned away, in nanoseconds since `epoch`.
    probe: AtomicU64,
    /// Whose calls are turned away.
    shed: Shed,
}

impl Throttle {
    /// A throttle that has heard nothing yet.
    pub fn new(config: &Config, epoch: impl Into<Tick>) -> Self {
        let epoch = epoch.into();
        Throttle {
            epoch,
            config: ArcSwap::from_pointee(*config),
            window: Window::new(config.memory),
            doubtful: AtomicU64::new(doubtful(config)),
            probe: AtomicU64::new(0),
            shed: Shed::new(epoch),
        }
    }

    /// Judges by `config` from now on. Another memory begins empty.
    pub fn configure(&self, config: &Config) {
        self.window.remember(config.memory);
        self.config.store(Arc::new(*config));
        self.doubtful.fetch_max(doubtful(config), Relaxed);
    }

    /// The share of calls that it turns away at `now`.
    pub fn share(&self, now: impl Into<Tick>) -> f64 {
        let config = self.config.load();
        share(self.window.answers(self.since(now)), config.k, config.max_share)
    }

    /// Does the target say at `now` that it has too much to do: was it more than one of a hundred answers in the memory?
    /// A single refusal is one instance's bad moment. Nothing is heard in mode off.
    pub fn hears_overload(&self, now: impl Into<Tick>) -> bool {
        let at = self.since(now);
        if at >= self.doubtful.load(Relaxed) {
            return false;
        }
        let Answers { all, accepted } = self.window.answers(at);
        (all - accepted) * 100 > all
    }

    /// Does a call go on at `now`? `turned` says whether it is one of a share that does not.
    #[inline(always)]
    fn decide(&self, now: impl Into<Tick>, turned: impl FnOnce(f64) -> bool) -> Answer<()> {
        let now = now.into();
        let at = self.since(now);
        // What every call of a target that is well comes to.
        if at >= self.doubtful.load(Relaxed) {
            return Answer::Go(());
        }
        self.decide_closely(now, at, turned)
    }

    #[cold]
    fn decide_closely(&self, now: Tick, at: u64, turned: impl FnOnce(f64) -> bool) -> Answer<()> {
        let config = self.config.load();
        let answers = self.window.answers(at);
        let share = share(answers, config.k, config.max_share);
        // Nobody looks at the calls to a target that is well.
        if share <= 0.0 {
            self.shed.rest(now);
            return Answer::Go(());
        }
        if !turned(share) || self.may_probe(at) {
            return Answer::Go(());
        }
        Answer::No(refusal(answers, share, &config))
    }

    fn may_probe(&self, at: u64) -> bool {
        let next = self.probe.load(Relaxed);
        at >= next && self.probe.compare_exchange(next, at.saturating_add(PROBE), Relaxed, Relaxed).is_ok()
    }

    #[inline(always)]
    fn hear(&self, outcome: Outcome, at: impl Into<Tick>) {
        match outcome {
            Outcome::Success | Outcome::CallerFault => self.window.count(self.since(at), true),
            Outcome::Overload => {
                let at = self.since(at);
                // Before it counts, so that nobody overlooks it.
                self.doubtful.fetch_max(self.window.forgets(at), Relaxed);
                self.window.count(at, false);
            }
            Outcome::ServerFault
            | Outcome::Timeout
            | Outcome::Unreachable
            | Outcome::Local
            | Outcome::Abandoned => {}
        }
    }

    fn since(&self, now: impl Into<Tick>) -> u64 {
        now.into().nanos_since(self.epoch)
    }
}

impl Admission for Throttle {
    type Ticket = ();

    #[inline(always)]
    fn ask(&self, context: &Context) -> Answer<()> {
        self.decide(context.now(), |share| {
            let (now, die) = (context.now(), fastrand::f64());
            let turned = self.shed.ask(Rank::of(context), share, Mode::Enforce, now, die).turned;
            if self.shed.has_seen_enough() { turned.is_some() } else { die < share }
        })
    }

    #[inline(always)]
    fn report(&self, (): (), verdict: &Verdict) {
        self.hear(verdict.outcome, verdict.at);
    }
}

/// Since when there is nothing to be doubted: from the beginning, or never if acceptances alone are too few, which
/// no configuration that was checked says.
fn doubtful(config: &Config) -> u64 {
    if config.k >= 1.0 { 0 } else { u64::MAX }
}

#[cold]
fn refusal(answers: Answers, share: f64, config: &Config) -> Refusal {
    Refusal::new(format!(
        "{} of the last {} answers were overload (throttle.k = {}, memory {:?}), so {:.0} % of the calls are not \
         sent",
        answers.all - answers.accepted,
        answers.all,
        config.k,
        config.memory,
        share * 100.0
    ))
}

/// A second between probes: seldom enough for any target, often enough to notice that it is well.
const PROBE: u64 = Duration::from_secs(1).as_nanos() as u64;

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn throttle() -> (Throttle, Instant) {
        let epoch = Instant::now();
        (Throttle::new(&Config::default(), epoch), epoch)
    }

    fn goes(answer: &Answer<()>) -> bool {
        matches!(answer, Answer::Go(()))
    }

    #[test]
    fn what_each_outcome_does_to_the_share() {
        for outcome in Outcome::ALL {
            let (throttle, now) = throttle();
            for _ in 0..20 {
                throttle.hear(Outcome::Overload, now);
            }
            for _ in 0..20 {
                throttle.hear(outcome, now);
            }
            let expected = match outcome {
                // 40 answers, k = 2: all that is lacking is half of them accepted.
                Outcome::Success | Outcome::CallerFault => 0.0,
                _ => 0.8,
            };
            assert!((throttle.share(now) - expected).abs() < 1e-9, "{outcome:?}");
        }
    }

    #[test]
    fn overload_is_heard_from_one_in_a_hundred_on_and_for_as_long_as_it_is_remembered() {
        let (throttle, now) = throttle();
        assert!(!throttle.hears_overload(now));
        (0..199).for_each(|_| throttle.hear(Outcome::Success, now));
        (0..2).for_each(|_| throttle.hear(Outcome::Overload, now));
        assert!(!throttle.hears_overload(now), "2 of 201");
        throttle.hear(Outcome::Overload, now);
        assert!(throttle.hears_overload(now), "3 of 202");
        assert!(!throttle.hears_overload(now + MS * 1_200), "a second later");
    }

    #[test]
    fn a_refusal_says_its_numbers_and_one_call_each_second_goes_on() {
        let (throttle, start) = throttle();
        let mut went = 0;
        for ms in 0..5_000 {
            let now = start + MS * ms;
            throttle.hear(Outcome::Overload, now);
            match throttle.decide(now, |share| share > 0.0) {
                Answer::Go(()) => went += 1,
                Answer::No(refusal) if ms == 4_999 => assert_eq!(
                    refusal.why,
                    "875 of the last 875 answers were overload (throttle.k = 2, memory 1s), so 80 % of the \
                     calls are not sent"
                        .replace("875", &throttle.window.answers(throttle.since(now)).all.to_string())
                ),
                _ => {}
            }
        }
        // Nine before there were ten answers, then one each second.
        assert_eq!(went, 9 + 5);
    }

    #[test]
    fn the_dice_decide_at_the_share() {
        let (throttle, now) = throttle();
        for _ in 0..100 {
            throttle.hear(Outcome::Overload, now);
        }
        assert!(goes(&throttle.decide(now, |share| share > 0.0)), "the probe of this second");
        for (dice, expected) in [(0.0, false), (0.799, false), (0.8, true), (0.999, true)] {
            assert_eq!(goes(&throttle.decide(now, |share| dice < share)), expected, "{dice}");
        }
    }

    #[test]
    fn a_new_memory_begins_empty() {
        let (throttle, start) = throttle();
        let now = start + MS * 500;
        (0..100).for_each(|_| throttle.hear(Outcome::Overload, now));
        throttle.configure(&Config { k: 3.0, ..Config::default() });
        assert!(throttle.share(now) > 0.0, "the same memory stays");
        throttle.configure(&Config { memory: MS * 2_000, ..Config::default() });
        assert!(throttle.share(now) <= 0.0);
        (0..100).for_each(|_| throttle.hear(Outcome::Overload, now));
        assert!(throttle.share(now + MS * 1_500) > 0.0);
    }

    /// A target that accepts `capacity` calls in each 10 ms and calls the rest overload; what was sent, accepted
    /// and turned away in each second.
    fn storm(offered: impl Fn(u32) -> u32, seconds: u32, capacity: u32) -> Vec<[u32; 3]> {
        let (throttle, start) = throttle();
        let mut dice = fastrand::Rng::with_seed(7);
        let mut all = Vec::new();
        for second in 0..seconds {
            let mut sums = [0; 3];
            for tick in 0..100 {
                let now = start + MS * (second * 1_000 + tick * 10);
                let asked = offered(second);
                let sent = (0..asked)
                    .filter(|_| goes(&throttle.decide(now, |share| dice.f64() < share)))
                    .count() as u32;
                let accepted = sent.min(capacity);
                // The answers come one network delay later.
                let at = now + MS * 5;
                (0..accepted).for_each(|_| throttle.hear(Outcome::Success, at));
                (accepted..sent).for_each(|_| throttle.hear(Outcome::Overload, at));
                for (sum, new) in sums.iter_mut().zip([sent, accepted, asked - sent]) {
                    *sum += new;
                }
            }
            all.push(sums);
        }
        all
    }

    #[test]
    fn a_storm_leaves_no_hangover() {
        // Ten times what the target can do, for ten seconds; then seven tenths of it.
        let seconds = storm(|second| if second < 10 { 100 } else { 7 }, 22, 10);
        let turned_away: u32 = seconds[11..20].iter().map(|[_, _, away]| away).sum();
        assert_eq!(turned_away, 0, "1 to 10 s after the storm: {seconds:?}");
        let [sent, _, away] = seconds[10];
        assert!(away * 2 < sent + away, "already in the first second most go: {seconds:?}");
    }

    #[test]
    fn in_a_storm_it_sends_what_it_says_and_wastes_nothing_of_the_target() {
        for (times, most) in [(2, 2.1), (5, 3.4), (10, 4.8), (50, 10.5)] {
            let seconds = storm(|_| 20 * times, 20, 20);
            for [sent, accepted, _] in &seconds[5..] {
                let sent = f64::from(*sent) / 2_000.0;
                // sqrt(k*x), and no less than the fifth that always goes.
                let target = (2.0 * f64::from(times)).sqrt().max(f64::from(times) * 0.2);
                assert!(sent <= most && sent > target * 0.8, "{times}x: {sent} for {target}");
                assert!(*accepted >= 1_980, "{times}x: {accepted} of 2000 accepted");
            }
        }
    }

    #[test]
    fn a_quiet_client_is_never_throttled() {
        let (throttle, start) = throttle();
        for i in 0..100 {
            let now = start + MS * (i * 120);
            throttle.hear(Outcome::Overload, now);
            assert!(goes(&throttle.decide(now, |share| share > 0.0)), "at most nine in any second");
        }
    }
}
