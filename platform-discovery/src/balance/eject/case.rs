//! What is known against one endpoint, and for how long it is out.

use std::{ops::Add, time::Duration};

use tokio::time::Instant;

use super::{Rules, Why};
use crate::balance::load::Tally;

/// One endpoint's file.
#[derive(Clone, Debug)]
pub(in crate::balance) struct Case {
    seen: Tally,
    buckets: [Counts; BUCKETS],
    /// Which bucket is filled, and since when.
    current: usize,
    begun: Instant,
    /// How often it was out and has not made up for.
    times: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// It is asked, and was well since then.
    Well { since: Instant, on_trial: bool },
    /// It should be out, but too many are.
    Held { why: Why },
    /// It is out.
    Out { until: Instant, why: Why },
}

/// Answers within some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) successes: u32,
    pub(super) failures: u32,
}

impl Case {
    pub(in crate::balance) fn new(now: Instant) -> Self {
        Case {
            seen: Tally::default(),
            buckets: [Counts::default(); BUCKETS],
            current: 0,
            begun: now,
            times: 0,
            state: State::Well { since: now, on_trial: false },
        }
    }

    /// Takes down what was counted since the last time. Was there anything?
    pub(in crate::balance) fn count(&mut self, tally: Tally, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.begun).as_millis() / BUCKET.as_millis();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        for _ in 0..passed.min(BUCKETS as u32) {
            self.current = (self.current + 1) % BUCKETS;
            self.buckets[self.current] = Counts::default();
        }
        self.begun += BUCKET * passed;
        let new = Counts {
            successes: tally.successes.wrapping_sub(self.seen.successes),
            failures: tally.failures.wrapping_sub(self.seen.failures),
        };
        self.buckets[self.current] = self.buckets[self.current] + new;
        self.seen = tally;
        if new.successes > 0
            && let State::Well { on_trial, .. } = &mut self.state
        {
            *on_trial = false;
        }
        new.answers() > 0
    }

    /// All within the window.
    pub(super) fn counts(&self) -> Counts {
        self.buckets.iter().fold(Counts::default(), |sum, one| sum + *one)
    }

    pub(in crate::balance) fn is_out(&self) -> bool {
        matches!(self.state, State::Out { .. })
    }

    pub(super) fn is_on_trial(&self) -> bool {
        matches!(self.state, State::Well { on_trial: true, .. })
    }

    /// Is it out, or should it be?
    pub(super) fn is_sick(&self) -> bool {
        !matches!(self.state, State::Well { .. })
    }

    /// Has its time passed?
    pub(super) fn ends(&self, now: Instant) -> bool {
        matches!(self.state, State::Out { until, .. } if until <= now)
    }

    /// Sends it out; returns for how long.
    pub(super) fn go(&mut self, rules: &Rules, why: Why, now: Instant, dice: u64) -> Duration {
        self.times = self.times.saturating_add(1);
        let whole = rules.base.saturating_mul(self.times).min(rules.max);
        let time = whole.mul_f64(0.5 + 0.5 * ((dice >> 11) as f64 / (1_u64 << 53) as f64));
        self.state = State::Out { until: now + time, why };
        time
    }

    /// It should be out and cannot.
    pub(super) fn hold(&mut self, why: Why) {
        self.state = State::Held { why };
    }

    /// It is asked again. What it did before says nothing any more.
    pub(super) fn come_back(&mut self, now: Instant, on_trial: bool) {
        self.buckets = [Counts::default(); BUCKETS];
        self.state = State::Well { since: now, on_trial };
    }

    /// Nobody judges any more.
    pub(in crate::balance) fn acquit(&mut self) {
        if let State::Held { .. } | State::Out { .. } = self.state {
            self.state = State::Well { since: self.begun, on_trial: false };
        }
    }

    /// Nothing speaks against it.
    pub(super) fn is_well(&mut self, rules: &Rules, now: Instant) {
        match &mut self.state {
            State::Held { .. } => self.state = State::Well { since: now, on_trial: false },
            State::Well { since, .. } => {
                while self.times > 0 && now.saturating_duration_since(*since) >= rules.base {
                    *since += rules.base;
                    self.times -= 1;
                }
            }
            State::Out { .. } => {}
        }
    }

    /// Why it is out, or should be, in words; nothing if it is well.
    pub(in crate::balance) fn tell(&self, now: Instant, enforce: bool) -> Option<String> {
        let back = |until: Instant| until.saturating_duration_since(now).as_secs_f64().ceil();
        Some(match (self.state, enforce) {
            (State::Well { .. }, _) => return None,
            (State::Held { why }, _) => format!("{why}; it is asked all the same, because too many are out"),
            (State::Out { until, why }, true) => format!("{why}, back in {} s", back(until)),
            (State::Out { until, why }, false) => format!("{why}; it would be back in {} s", back(until)),
        })
    }
}

impl Counts {
    pub(super) fn answers(self) -> u32 {
        self.successes.saturating_add(self.failures)
    }

    /// Which share failed; none of none.
    pub(super) fn share(self) -> f64 {
        f64::from(self.failures) / f64::from(self.answers().max(1))
    }

    /// How far the share of `answers` others like these may lie from theirs by chance: one deviation. One failure more
    /// than was seen is assumed, because none of a hundred does not mean never.
    pub(super) fn deviation(self, answers: u32) -> f64 {
        let share = (f64::from(self.failures) + 1.0) / (f64::from(self.answers()) + 2.0);
        (share * (1.0 - share) / f64::from(answers.max(1))).sqrt()
    }
}

impl Add for Counts {
    type Output = Counts;

    fn add(self, other: Counts) -> Counts {
        Counts {
            successes: self.successes.saturating_add(other.successes),
            failures: self.failures.saturating_add(other.failures),
        }
    }
}

/// Ten times three seconds: half a minute, as Finagle looks back, so that few calls are enough to count.
const BUCKETS: usize = 10;
const BUCKET: Duration = Duration::from_secs(3);
