//! What is set: `[clients.NAME.policy.breaker]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Mode, Ratio, Refusal, Rules, duration};

/// When a target is no longer asked, and how it is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether it may refuse.
    pub mode: Mode,
    /// How far back the ratios look.
    #[serde(with = "duration")]
    pub window: Duration,
    /// With fewer calls in the window the ratios say nothing.
    pub min_calls: u32,
    /// Opens when at least this share of the calls failed.
    pub failure_ratio: Ratio,
    /// Opens after so many failures in a row.
    pub consecutive: u32,
    /// A call that takes this long or longer is slow, also one that succeeds. `None` (`"none"`) lifts the rule.
    #[serde(with = "duration::or_none")]
    pub slow_after: Option<Duration>,
    /// Opens when at least this share of the calls was slow.
    pub slow_ratio: Ratio,
    /// How long nothing is asked at first; doubles each time the target is found as it was.
    #[serde(with = "duration")]
    pub open: Duration,
    /// How long at most. A probe that has not come back after this time is given up.
    #[serde(with = "duration")]
    pub open_max: Duration,
    /// Does an answer of "too much to do" count as a failure?
    pub count_overload: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            mode: Mode::Enforce,
            window: WINDOW,
            min_calls: MIN_CALLS,
            failure_ratio: FAILURE_RATIO,
            consecutive: CONSECUTIVE,
            slow_after: Some(SLOW_AFTER),
            slow_ratio: SLOW_RATIO,
            open: OPEN,
            open_max: OPEN_MAX,
            count_overload: COUNT_OVERLOAD,
        }
    }
}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let shown = |length| duration::format(length).unwrap_or_else(|_| format!("{length:?}"));
        if !(SHORTEST_WINDOW..=LONGEST_WINDOW).contains(&self.window) {
            let why = format!(
                "is {}; a window lies between {} and {}",
                shown(self.window),
                shown(SHORTEST_WINDOW),
                shown(LONGEST_WINDOW)
            );
            refusals.push(Refusal::new("window", why));
        }
        for (key, count) in [("min_calls", self.min_calls), ("consecutive", self.consecutive)] {
            if count == 0 {
                refusals.push(Refusal::new(key, "is 0, which no call could keep below; write at least 1"));
            }
        }
        for (key, ratio) in [("failure_ratio", self.failure_ratio), ("slow_ratio", self.slow_ratio)] {
            if ratio == Ratio::ZERO {
                refusals
                    .push(Refusal::new(key, "is 0.0, which a target without a fault reaches; write more"));
            }
        }
        if self.slow_after.is_some_and(|after| after.is_zero()) {
            refusals
                .push(Refusal::new("slow_after", "is 0ms, so every call is slow; \"none\" lifts the rule"));
        }
        if self.open.is_zero() {
            refusals
                .push(Refusal::new("open", "is 0ms and would protect nobody; `mode = \"off\"` turns it off"));
        }
        if self.open > self.open_max {
            let why = format!(
                "is {}, longer than the longest time ({}); lower it or raise `open_max`",
                shown(self.open),
                shown(self.open_max)
            );
            refusals.push(Refusal::new("open", why).and("open_max"));
        }
        refusals
    }
}

impl Config {
    /// A tick in nanoseconds. Within bounds also for a configuration that nobody checked.
    pub(super) fn tick(&self) -> u64 {
        let window = self.window.clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
        super::millis(window) / super::window::BUCKETS * NANOS_PER_MILLI
    }
}

const NANOS_PER_MILLI: u64 = 1_000_000;

/// Long enough for [`MIN_CALLS`] at two calls a second, short enough that a fault of the last minute is no longer
/// held against a target that is well.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Below this a ratio is chance: with 20 calls at a true failure rate of one in five, half of them fail in one
/// window of 400.
pub const MIN_CALLS: u32 = 20;

/// A target that fails every second call costs its callers more in repeats than it gives them in answers.
pub const FAILURE_RATIO: Ratio = Ratio::of(0.5);

/// For targets with little traffic and for those that are gone at once: at a true failure rate of one in five, seven
/// in a row come once in 100 000 calls.
pub const CONSECUTIVE: u32 = 7;

/// Two thirds of the time that one attempt has: who is this slow will soon be too slow.
pub const SLOW_AFTER: Duration = Duration::from_secs(2);

/// Nearly all: a target where some calls are slow by nature must not be cut off for them.
pub const SLOW_RATIO: Ratio = Ratio::of(0.8);

/// As long as a restart behind a load balancer, and too short for anybody to notice a false alarm.
pub const OPEN: Duration = Duration::from_secs(1);

/// A target that is back is found within a minute.
pub const OPEN_MAX: Duration = Duration::from_secs(60);

/// Limits, budgets and push-back deal with overload; to cut the target off as well would make an outage of a slow
/// minute.
pub const COUNT_OVERLOAD: bool = false;

/// Ten ticks of 10 ms: below that the clock's own grain shows.
const SHORTEST_WINDOW: Duration = Duration::from_millis(100);

/// What happened an hour ago says nothing about now.
const LONGEST_WINDOW: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_write() {
        let good = Config::default();
        let ms = Duration::from_millis;
        let table = [
            (good, None),
            (Config { slow_after: None, ..good }, None),
            (Config { window: ms(100), ..good }, None),
            (Config { open: ms(60_000), ..good }, None),
            (
                Config { window: ms(99), ..good },
                Some("`breaker.window` is 99ms; a window lies between 100ms and 1h"),
            ),
            (Config { window: ms(3_600_001), ..good }, Some("`breaker.window`")),
            (Config { min_calls: 0, ..good }, Some("`breaker.min_calls` is 0")),
            (Config { consecutive: 0, ..good }, Some("`breaker.consecutive` is 0")),
            (Config { failure_ratio: Ratio::ZERO, ..good }, Some("`breaker.failure_ratio` is 0.0")),
            (Config { slow_ratio: Ratio::ZERO, ..good }, Some("`breaker.slow_ratio` is 0.0")),
            (Config { slow_after: Some(ms(0)), ..good }, Some("\"none\" lifts the rule")),
            (Config { open: ms(0), ..good }, Some("`mode = \"off\"`")),
            (Config { open: ms(60_001), ..good }, Some("longer than the longest time (1m)")),
        ];
        for (config, refused) in table {
            let answer = crate::config::Config::default().check("breaker", &config);
            match (answer, refused) {
                (Ok(()), None) => {}
                (Err(error), Some(words)) => assert!(error.detail().contains(words), "{error}"),
                (answer, refused) => panic!("{config:?}: {answer:?} instead of {refused:?}"),
            }
        }
    }

    #[test]
    fn it_is_written_and_read_as_in_a_file() {
        let config: Config = serde_json::from_str(r#"{"slow_after":"none","window":"5s"}"#).unwrap();
        assert_eq!(config, Config { slow_after: None, window: Duration::from_secs(5), ..Config::default() });
        let written = serde_json::to_string(&Config::default()).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&written).unwrap(), Config::default());
        assert!(serde_json::from_str::<Config>(r#"{"windw":"5s"}"#).is_err());
    }

    #[test]
    fn a_tick_lies_within_bounds_also_unchecked() {
        let tick = |window| Config { window, ..Config::default() }.tick();
        assert_eq!(tick(Duration::from_secs(10)), 1000 * NANOS_PER_MILLI);
        assert_eq!(tick(Duration::ZERO), 10 * NANOS_PER_MILLI);
        assert_eq!(tick(Duration::MAX), 360_000 * NANOS_PER_MILLI);
    }
}
