//! Rules: when is enough enough, for how long, and how does it come back? Pure.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{Cause, Config, millis, window::Sums};

/// How much evidence it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    pub(super) calls: u32,
    pub(super) in_a_row: u32,
}

impl Bar {
    /// Of a target that was well.
    pub(super) fn usual(config: &Config) -> Self {
        Bar { calls: config.min_calls, in_a_row: config.consecutive }
    }

    /// Of a target that was not well a moment ago.
    pub(super) fn small(config: &Config) -> Self {
        Bar { calls: config.min_calls.min(SMALL_BAR), in_a_row: config.consecutive.min(SMALL_BAR) }
    }
}

/// Is it enough? `run` is the number of failures in a row.
pub(super) fn trips(config: &Config, bar: Bar, run: u32, sums: Sums) -> Option<Cause> {
    let Sums { calls, failures, slow } = sums;
    if run >= bar.in_a_row.max(1) {
        return Some(Cause::Row { failures: run, limit: bar.in_a_row });
    }
    if calls < bar.calls {
        return None;
    }
    // Of nothing there is no share: a ratio of 0 must not trip on the success of a target without a fault.
    let reaches = |part: u32, ratio: f64| part > 0 && f64::from(part) >= ratio * f64::from(calls);
    if reaches(failures, config.failure_ratio.as_f64()) {
        return Some(Cause::Share { failures, calls, window: config.window, limit: config.failure_ratio });
    }
    let limit = config.slow_ratio;
    match config.slow_after {
        Some(after) if reaches(slow, limit.as_f64()) => Some(Cause::Slow { slow, calls, after, limit }),
        _ => None,
    }
}

/// How long nothing is asked after so many failed tries, in milliseconds. Half is fixed, half is for the dice, so
/// that the clients of one target do not come back as one.
pub(super) fn pause(config: &Config, tries: u32, dice: f64) -> u64 {
    let (first, longest) = (millis(config.open), millis(config.open_max));
    let whole = first.saturating_mul(1 << tries.min(MOST_DOUBLINGS)).min(longest);
    whole / 2 + ((whole - whole / 2) as f64 * dice).round() as u64
}

/// The percentage that goes on so long after the probe; `None` once all do.
pub(super) fn share(elapsed: u64) -> Option<u64> {
    usize::try_from(elapsed / RAMP_STEP).ok().and_then(|step| RAMP.get(step)).copied()
}

/// How long until the next step of the ramp.
pub(super) fn next_step(elapsed: u64) -> Duration {
    Duration::from_millis(RAMP_STEP - elapsed % RAMP_STEP)
}

/// How long until the end of the ramp.
pub(super) fn ramp_left(elapsed: u64) -> Duration {
    Duration::from_millis((RAMP.len() as u64 * RAMP_STEP).saturating_sub(elapsed))
}

/// Is call number `turn` one of those? Spread evenly and the first is one: of ten calls exactly one at 10 %.
pub(super) fn is_one_of(turn: u64, percent: u64) -> bool {
    // A remainder first: the counter may be large, and only its place among a hundred matters.
    (turn % 100) * percent % 100 < percent
}

/// Failures in a row, of one generation.
///
/// Calls that were under way together and fail together are one event: an instance that is killed takes all that it was
/// working on with it, and that says no more about the target than one of them does. And one that was under way while the
/// target refused another is late because there is too much to do, which is no sign that the target is gone.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// The generation, and how many.
    bits: AtomicU64,
    /// When the last one was counted, in milliseconds.
    last: AtomicU64,
    /// The millisecond after the last refusal; 0 if there was none.
    refused: AtomicU64,
}

impl Run {
    /// A call failed that took from `began` until `at`; how many failures that makes.
    pub(super) fn more(&self, generation: u32, began: u64, at: u64) -> u32 {
        let (bits, last) = (self.bits.load(Relaxed), self.last.load(Relaxed));
        let count = if (bits >> 32) as u32 == generation { bits as u32 } else { 0 };
        let together = count > 0 && began < last && at < last + TOGETHER;
        if together || began < self.refused.load(Relaxed) {
            return count;
        }
        self.last.fetch_max(at, Relaxed);
        let next = |bits: u64| match (bits >> 32) as u32 == generation {
            true => bits + u64::from(bits as u32 != u32::MAX),
            false => u64::from(generation) << 32 | 1,
        };
        let before = self.bits.fetch_update(Relaxed, Relaxed, |bits| Some(next(bits)));
        next(before.unwrap_or_else(|bits| bits)) as u32
    }

    /// The target refused a call at `at`, because it has too much to do.
    #[cold]
    pub(super) fn refused(&self, at: u64) {
        self.refused.fetch_max(at + 1, Relaxed);
    }

    /// A success. Most of the time there is nothing to end, and nothing is written.
    #[inline]
    pub(super) fn end(&self, generation: u32) {
        if self.bits.load(Relaxed) as u32 != 0 {
            self.cut(generation);
        }
    }

    #[cold]
    fn cut(&self, generation: u32) {
        let of = |bits: u64| (bits >> 32) as u32 == generation;
        // An error says that there was a run of another generation, which is none of ours.
        let _ =
            self.bits.fetch_update(Relaxed, Relaxed, |bits| of(bits).then_some(u64::from(generation) << 32));
    }
}

/// The calls of the ramp, in percent, step by step: a target that has just come back has empty caches and pools, and
/// a tenth is enough to see it fail again.
const RAMP: [u64; 4] = [10, 20, 40, 80];

/// A second is long enough to hear of the calls of one step before the next.
const RAMP_STEP: u64 = 1000;

/// What is enough to fall back: one failure may be chance, and three in so short a time are not.
const SMALL_BAR: u32 = 3;

/// Milliseconds within which the calls of one broken connection, or of one process, hear of it: an event of the loop each,
/// on a machine that has other things to do. A target that is gone for all is still found within seven times that.
const TOGETHER: u64 = 20;

/// A year is reached sooner, from a millisecond on.
const MOST_DOUBLINGS: u32 = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Ratio;

    #[test]
    fn when_enough_is_enough() {
        let config = Config { slow_ratio: Ratio::of(0.8), ..Config::default() };
        let no_slow = Config { slow_after: None, ..config };
        let table = [
            (config, 6, (6, 6, 0), ""),
            (config, 7, (7, 7, 0), "row"),
            (config, 0, (19, 19, 19), ""),
            (config, 0, (20, 9, 0), ""),
            (config, 0, (20, 10, 0), "share"),
            (config, 0, (1000, 499, 0), ""),
            (config, 0, (1000, 500, 0), "share"),
            (config, 0, (20, 0, 15), ""),
            (config, 0, (20, 0, 16), "slow"),
            (no_slow, 0, (20, 0, 20), ""),
            (config, 9, (20, 20, 20), "row"),
            (Config { failure_ratio: Ratio::ZERO, ..config }, 0, (20, 0, 0), ""),
            (Config { failure_ratio: Ratio::ONE, ..config }, 0, (20, 19, 0), ""),
            (Config { failure_ratio: Ratio::ONE, ..config }, 0, (20, 20, 0), "share"),
        ];
        for (config, run, (calls, failures, slow), expected) in table {
            let cause = trips(&config, Bar::usual(&config), run, Sums { calls, failures, slow });
            let name = match cause {
                None => "",
                Some(Cause::Row { .. }) => "row",
                Some(Cause::Share { .. }) => "share",
                Some(Cause::Slow { .. }) => "slow",
            };
            assert_eq!(name, expected, "run {run}, {calls} calls, {failures} failures, {slow} slow");
        }
    }

    #[test]
    fn after_a_try_less_is_enough_but_never_more_than_before() {
        let config = Config::default();
        let small = Bar::small(&config);
        let trips =
            |run, calls, failures, slow| trips(&config, small, run, Sums { calls, failures, slow }).is_some();
        assert!(!trips(1, 1, 1, 0) && !trips(2, 2, 2, 0) && !trips(0, 3, 1, 2));
        assert!(trips(3, 3, 3, 0) && trips(1, 3, 2, 0) && trips(0, 3, 0, 3));
        let strict = Config { min_calls: 1, consecutive: 1, ..config };
        assert_eq!((Bar::small(&strict).calls, Bar::small(&strict).in_a_row), (1, 1));
    }

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_half_of_it_is_chance() {
        let config = Config::default();
        for (tries, whole) in [(0, 1000), (1, 2000), (5, 32_000), (6, 60_000), (u32::MAX, 60_000)] {
            assert_eq!(pause(&config, tries, 0.0), whole / 2, "{tries}");
            assert_eq!(pause(&config, tries, 0.5), whole * 3 / 4, "{tries}");
            assert_eq!(pause(&config, tries, 1.0), whole, "{tries}");
        }
        let odd = Config { open: Duration::MAX, open_max: Duration::MAX, ..config };
        assert!(pause(&odd, 40, 0.999) > 0);
    }

    #[test]
    fn the_ramp_doubles_each_second_and_ends() {
        let table = [(0, 10), (999, 10), (1000, 20), (2000, 40), (3000, 80), (3999, 80)];
        for (elapsed, percent) in table {
            assert_eq!(share(elapsed), Some(percent), "{elapsed}");
            let admitted = (0..100_u64).filter(|turn| is_one_of(*turn, percent)).count() as u64;
            assert_eq!(admitted, percent);
        }
        assert_eq!((share(4000), share(u64::MAX)), (None, None));
        assert_eq!((next_step(0), next_step(1999)), (Duration::from_secs(1), Duration::from_millis(1)));
        assert_eq!((ramp_left(300), ramp_left(9000)), (Duration::from_millis(3700), Duration::ZERO));
    }

    #[test]
    fn a_run_is_ended_by_a_success_and_by_a_new_generation() {
        let run = Run::default();
        let more = |generation| run.more(generation, 5, 5);
        assert_eq!((more(0), more(0)), (1, 2));
        run.end(1);
        assert_eq!(more(0), 3, "a success of another generation says nothing");
        run.end(0);
        assert_eq!(more(0), 1);
        assert_eq!((more(1), more(1)), (1, 2));
    }

    #[test]
    fn what_breaks_together_counts_once() {
        // From, until, and how many in a row that makes.
        let table = [
            ("the first", 0, 100, 1),
            ("under way with it, and lost with it", 40, 100, 1),
            ("a moment later", 99, 119, 1),
            ("under way with it, and lost by itself", 99, 120, 2),
            ("begun after that", 120, 121, 3),
            ("as old as the first, heard of late", 0, 122, 3),
            ("and later still", 0, 160, 4),
        ];
        let run = Run::default();
        for (what, began, at, count) in table {
            assert_eq!(run.more(7, began, at), count, "{what}");
        }
    }

    proptest! {
        #[test]
        fn the_share_is_kept_from_any_turn_on(from in 0..u64::MAX - 10, step in 0..4_usize) {
            // Also across the hundreds: within ten turns the share is exact to one call.
            let percent = RAMP[step];
            let admitted = (from..from + 10).filter(|turn| is_one_of(*turn, percent)).count() as u64;
            prop_assert_eq!(admitted * 10, percent);
        }
    }
}
