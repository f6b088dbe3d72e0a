//! State: where a breaker stands, and why, as a person on call wants to read it.

use std::{fmt, time::Duration};

use crate::{admission::refusal::Told, config::Ratio};

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Every call goes on.
    Closed,
    /// No call goes on.
    Open {
        /// What came before.
        why: Why,
        /// So long until a call may try.
        again_in: Duration,
    },
    /// One call at a time goes on, to see.
    HalfOpen {
        /// What came before.
        why: Why,
        /// Is it under way?
        probing: bool,
    },
    /// A growing share of the calls goes on.
    Ramp {
        /// In percent.
        share: u8,
        /// So long until the share grows.
        more_in: Duration,
        /// So long until all go on.
        all_in: Duration,
    },
    /// A person has decided.
    Forced(Forced),
}

/// What a person may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// No call goes on.
    Open,
    /// Every call goes on.
    Closed,
}

/// Why a target is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    /// The rule, with its numbers. `None` for the moment in which it is being written.
    pub cause: Option<Cause>,
    /// So long ago.
    pub since: Duration,
    /// How often it was tried since, in vain.
    pub tries: u32,
}

/// The rule that opened it, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Failures in a row.
    Row {
        /// So many.
        failures: u32,
        /// `breaker.consecutive`.
        limit: u32,
    },
    /// The share of failures.
    Share {
        /// So many failed.
        failures: u32,
        /// Of so many.
        calls: u32,
        /// Within `breaker.window`.
        window: Duration,
        /// `breaker.failure_ratio`.
        limit: Ratio,
    },
    /// The share of slow calls.
    Slow {
        /// So many were slow.
        slow: u32,
        /// Of so many.
        calls: u32,
        /// `breaker.slow_after`.
        after: Duration,
        /// `breaker.slow_ratio`.
        limit: Ratio,
    },
}

impl State {
    /// As the gauge tells it: 0 closed, 1 half-open or ramp, 2 open.
    pub(crate) fn level(&self) -> f64 {
        match self {
            State::Closed | State::Forced(Forced::Closed) => 0.0,
            State::HalfOpen { .. } | State::Ramp { .. } => 1.0,
            State::Open { .. } | State::Forced(Forced::Open) => 2.0,
        }
    }

    /// When a call that is refused now may come back.
    pub fn again_in(&self) -> Option<Duration> {
        match self {
            State::Open { again_in, .. } => Some(*again_in),
            State::Ramp { more_in, .. } => Some(*more_in),
            State::Closed | State::HalfOpen { .. } | State::Forced(_) => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Closed => f.write_str("closed"),
            State::Open { why, again_in } => write!(f, "open {why}; asks again in {}", Told(*again_in)),
            State::HalfOpen { why, probing: true } => {
                write!(f, "half-open, failed {why}; one call is under way to see whether it is back")
            }
            State::HalfOpen { why, probing: false } => {
                write!(f, "half-open, failed {why}; the next call will see whether it is back")
            }
            State::Ramp { share, all_in, .. } => {
                write!(f, "coming back: {share} % of the calls go on, all in {}", Told(*all_in))
            }
            State::Forced(Forced::Open) => f.write_str("held open by hand until somebody lifts it"),
            State::Forced(Forced::Closed) => f.write_str("held closed by hand until somebody lifts it"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "since {}", Told(self.since))?;
        if let Some(cause) = self.cause {
            write!(f, " after {cause}")?;
        }
        match self.tries {
            0 => Ok(()),
            1 => f.write_str(" and 1 try in vain"),
            tries => write!(f, " and {tries} tries in vain"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Cause::Row { failures, limit } => {
                let noun = if failures == 1 { "failure" } else { "failures in a row" };
                write!(f, "{failures} {noun} (breaker.consecutive = {limit})")
            }
            Cause::Share { failures, calls, window, limit } => write!(
                f,
                "{failures} of {calls} calls failed within {} (breaker.failure_ratio = {limit})",
                Told(window)
            ),
            Cause::Slow { slow, calls, after, limit } => write!(
                f,
                "{slow} of {calls} calls took {} or longer (breaker.slow_ratio = {limit})",
                Told(after)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_on_call_reads() {
        let ms = Duration::from_millis;
        let row = Some(Cause::Row { failures: 7, limit: 7 });
        let share = Some(Cause::Share { failures: 12, calls: 20, window: ms(10_000), limit: Ratio::of(0.5) });
        let slow = Some(Cause::Slow { slow: 17, calls: 20, after: ms(2000), limit: Ratio::of(0.8) });
        let why = |cause, since, tries| Why { cause, since: ms(since), tries };
        let table = [
            (State::Closed, "closed"),
            (
                State::Open { why: why(row, 1234, 0), again_in: ms(340) },
                "open since 1.2s after 7 failures in a row (breaker.consecutive = 7); asks again in 340ms",
            ),
            (
                State::Open { why: why(share, 75_000, 1), again_in: ms(31_020) },
                "open since 1m 15s after 12 of 20 calls failed within 10s (breaker.failure_ratio = 0.5) and 1 try in \
                 vain; asks again in 31s",
            ),
            (
                State::Open { why: why(slow, 7_500_000, 125), again_in: ms(59_990) },
                "open since 2h 5m after 17 of 20 calls took 2s or longer (breaker.slow_ratio = 0.8) and 125 tries in \
                 vain; asks again in 59.9s",
            ),
            (State::Open { why: why(None, 0, 0), again_in: ms(1) }, "open since 0ms; asks again in 1ms"),
            (
                State::HalfOpen { why: why(row, 1234, 0), probing: true },
                "half-open, failed since 1.2s after 7 failures in a row (breaker.consecutive = 7); one call is under \
                 way to see whether it is back",
            ),
            (
                State::Ramp { share: 20, more_in: ms(700), all_in: ms(2700) },
                "coming back: 20 % of the calls go on, all in 2.7s",
            ),
            (State::Forced(Forced::Open), "held open by hand until somebody lifts it"),
        ];
        for (state, text) in table {
            assert_eq!(state.to_string(), text);
        }
    }
}
