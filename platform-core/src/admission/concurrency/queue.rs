//! The default algorithm: how long is the queue that our calls stand in?
//!
//! With a baseline latency `b`, a recent latency `r` and the limit `L`, about `q = L * (1 - b/r)` of `L` calls are
//! waiting rather than being worked on (Vegas, as failsafe-go reads it). A short queue says that there is room, a
//! long one that there is not. A queue that grows slowly hides itself in a baseline that follows what it sees, so
//! a full limit also comes down when throughput does not gain from it while latency does; and while it is full the
//! baseline does not rise by itself, because what it would follow is partly our own queue. Instead, every thirty
//! full windows the limit goes a quarter lower for five, and what is seen there is the baseline: a queue shrinks,
//! and a target that has become slower does not become faster.
//!
//! | Seen in a window | The limit |
//! |---|---|
//! | a tenth or more ended in overload or a timeout | times 0.9 |
//! | less than half in use | holds, up to five times the peak it may go on growing |
//! | `q` above `6*log10(L)` | falls by `log10(L)`, or by a quarter of the excess |
//! | full, `q` above `log10(L)`; throughput falls as more is under way | falls by `log10(L)` |
//! | full, `q` above `log10(L)`; throughput flat, latency follows what is under way (over 0.5) | falls by `log10(L)` |
//! | `q` below `3*log10(L)`, and the limit below five times the peak | rises, see below |
//! | else | holds |
//!
//! It rises to twice itself for each window until it first fell (nothing is known that speaks against it), and by
//! `log10(L)` after that. A first window that shows a queue, or drops, brings it at once to twice what needs none,
//! by the calls that began before there was a crowd. It never falls below
//! what was carried: the calls that ended in a second times the baseline, the number that needs no queue at all.

use std::collections::VecDeque;

use super::{
    correlation::Correlation,
    limit::{Algorithm, Sample},
};

/// failsafe-go's rule, with a start that is not in the way and a fall that is as fast as the queue is long.
#[derive(Debug)]
pub struct Queue {
    /// The limit rises to so many times the recent peak.
    factor: f64,
    /// The last latencies, for a median that one bad window does not move.
    latest: VecDeque<f64>,
    recent: Option<f64>,
    baseline: Option<f64>,
    throughput: Correlation,
    latency: Correlation,
    has_fallen: bool,
    full_windows: u32,
    look: Option<Look>,
}

/// A look at the target under less than it is believed to bear.
#[derive(Debug)]
struct Look {
    /// The limit before.
    back: f64,
    seen: Vec<f64>,
}

impl Algorithm for Queue {
    fn update(&mut self, sample: &Sample) -> f64 {
        let limit = sample.limit;
        let next = self.judge(sample);
        if next < limit {
            self.has_fallen = true;
            let carried = sample.throughput() * self.baseline.unwrap_or(0.0);
            return next.max(carried.min(limit));
        }
        match &self.look {
            None if self.full_windows >= FULL_WINDOWS => {
                self.full_windows = 0;
                self.look = Some(Look { back: next, seen: Vec::with_capacity(LOOK_WINDOWS) });
                next * LOOK_AT
            }
            _ => next,
        }
    }
}

impl Queue {
    /// An algorithm that has seen nothing.
    pub fn new() -> Self {
        Queue::up_to(FACTOR)
    }

    /// The same whose limit stays within so many times the recent peak.
    pub fn up_to(factor: f64) -> Self {
        Queue {
            factor,
            latest: VecDeque::new(),
            recent: None,
            baseline: None,
            throughput: Correlation::default(),
            latency: Correlation::default(),
            has_fallen: false,
            full_windows: 0,
            look: None,
        }
    }

    fn judge(&mut self, sample: &Sample) -> f64 {
        let limit = sample.limit;
        let dropped = f64::from(sample.drops) >= DROPS * f64::from(sample.done + sample.drops);
        if sample.drops > 0 && dropped {
            // The latencies of those that came through are no measure of the others.
            self.look = None;
            if let Some(quiet) = sample.quiet.map(|quiet| quiet.as_secs_f64()) {
                self.baseline = Some(quiet);
                return (limit * AFTER_DROPS).min(first_guess(sample, quiet));
            }
            return limit * AFTER_DROPS;
        }
        let Some(latency) = sample.latency.map(|latency| latency.as_secs_f64().max(1e-6)) else {
            return limit;
        };
        if let Some(look) = self.look.take() {
            return self.look(look, limit, latency);
        }
        let is_full = sample.refused > 0 || f64::from(sample.peak) >= limit.floor();
        self.full_windows = if is_full { self.full_windows + 1 } else { 0 };
        let (recent, baseline) = self.learn(latency, sample.quiet.map(|quiet| quiet.as_secs_f64()), is_full);
        let (peak, throughput) = (f64::from(sample.peak), sample.throughput());
        let gain = self.throughput.add(peak, throughput);
        let cost = self.latency.add(peak, recent);

        let queue = limit * (1.0 - baseline / recent);
        let queue_now = limit * (1.0 - baseline / latency);
        let log = limit.max(1.0).log10().max(1.0);
        let is_used = peak * 2.0 >= limit;
        if is_used && queue > LONG * log {
            if sample.quiet.is_some() {
                return limit.min(first_guess(sample, baseline));
            }
            return limit - log.max((queue - LONG * log) / 4.0);
        }
        let flat = gain.slope < 0.3 || self.throughput.spread_of_second() < 0.2;
        // Without a call that waits, now and on average, there is nothing to be gained by going down, whatever the
        // last minute was like.
        let waits = queue.min(queue_now) > log;
        if is_full && waits && gain.is_known && (gain.slope < 0.0 || (cost.slope > 0.5 && flat)) {
            return limit - log;
        }
        let most = peak * self.factor;
        if queue >= SHORT * log || limit >= most {
            return limit;
        }
        // The average lags by three windows, in which a limit that doubles would be eight times too high.
        let step = if self.has_fallen || queue_now >= SHORT * log { log } else { limit };
        (limit + step).min(most)
    }

    /// One window of a look; after the last, the limit before, against a new baseline.
    fn look(&mut self, mut look: Look, limit: f64, latency: f64) -> f64 {
        look.seen.push(latency);
        if look.seen.len() < LOOK_WINDOWS {
            self.look = Some(look);
            return limit;
        }
        // The first windows still have the calls of before in them.
        let mut seen = look.seen.split_off(LOOK_WINDOWS - 3);
        seen.sort_unstable_by(f64::total_cmp);
        self.baseline = Some(seen[1]);
        look.back
    }

    /// The recent latency and the baseline with this window in them.
    fn learn(&mut self, latency: f64, quiet: Option<f64>, is_full: bool) -> (f64, f64) {
        if self.latest.len() == MEDIAN_OF {
            self.latest.pop_front();
        }
        self.latest.push_back(latency);
        let mut sorted: Vec<f64> = self.latest.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        let recent = self.recent.map_or(median, |recent| mix(recent, median, RECENT_AGE));
        self.recent = Some(recent);
        let seen = self.baseline.or(quiet).unwrap_or(recent);
        let baseline = match self.baseline {
            None => seen.min(recent),
            Some(_) if recent < seen => mix(seen, recent, FALLING_AGE),
            Some(_) if is_full => seen,
            Some(_) => mix(seen, recent, BASELINE_AGE),
        };
        self.baseline = Some(baseline);
        (recent, baseline)
    }
}

/// Twice what would need no queue: after a first window in which everything went, steps would take minutes.
fn first_guess(sample: &Sample, baseline: f64) -> f64 {
    // Nothing can end before the first call does, and that time is no part of how many end in a second.
    let elapsed = sample.elapsed.as_secs_f64();
    let ending = (elapsed - baseline).max(elapsed / 2.0);
    (f64::from(sample.done) / ending * baseline * 2.0).ceil()
}

impl Default for Queue {
    fn default() -> Self {
        Queue::new()
    }
}

/// An exponential average that remembers about `age` values.
fn mix(old: f64, new: f64, age: f64) -> f64 {
    old + (new - old) * 2.0 / (age + 1.0)
}

/// Queues in `log10` of the limit: below this there is room,
const SHORT: f64 = 3.0;
/// and above this there is none. Both are failsafe-go's, from Vegas.
const LONG: f64 = 6.0;

/// No more than this many times the recent peak: a limit far above what was ever seen is a guess.
const FACTOR: f64 = 5.0;

/// A tenth of the calls: single timeouts are the noise of every network, and would hold any limit down.
pub(super) const DROPS: f64 = 0.1;
/// Twenty windows of drops leave an eighth.
const AFTER_DROPS: f64 = 0.9;

/// One odd window of five changes nothing,
const MEDIAN_OF: usize = 5;
/// and five make the average.
const RECENT_AGE: f64 = 5.0;

const BASELINE_AGE: f64 = 10.0;
/// Better news is believed sooner: what a target has done, it can do.
const FALLING_AGE: f64 = 3.0;

/// Half a minute between looks: each costs a full client a quarter of its calls, if there is no queue, for a
/// seventh of the time.
const FULL_WINDOWS: u32 = 30;
/// Two for the calls of before to leave, three for a median.
const LOOK_WINDOWS: usize = 5;
/// Less, and a target without a queue idles; more, and the difference drowns in noise.
const LOOK_AT: f64 = 0.75;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn window(limit: f64, latency_ms: u64, peak: u32) -> Sample {
        Sample {
            limit,
            elapsed: Duration::from_secs(1),
            latency: Some(Duration::from_millis(latency_ms)),
            quiet: None,
            peak,
            done: peak * 1_000 / u32::try_from(latency_ms).unwrap(),
            drops: 0,
            refused: 0,
        }
    }

    fn after(windows: &[Sample]) -> Queue {
        let mut queue = Queue::new();
        windows.iter().for_each(|sample| {
            let _ = queue.update(sample);
        });
        queue
    }

    #[test]
    fn what_one_window_does_to_a_limit_of_100() {
        let calm = window(100.0, 100, 60);
        let long = Sample { latency: Some(Duration::from_millis(400)), done: 400, ..calm };
        let table = [
            ("no queue, never fallen: twice", vec![calm], calm, 200.0),
            ("five times the peak at most", vec![calm], Sample { peak: 30, ..calm }, 150.0),
            ("above five times the peak it holds", vec![calm], Sample { peak: 3, ..calm }, 100.0),
            ("drops", vec![calm], Sample { drops: 600, ..long }, 90.0),
            ("few drops are noise", vec![calm], Sample { drops: 20, ..calm }, 200.0),
            ("nothing but drops", vec![calm], Sample { drops: 60, done: 0, latency: None, ..calm }, 90.0),
        ];
        for (what, before, sample, expected) in table {
            assert_eq!(after(&before).update(&sample), expected, "{what}");
        }
    }

    #[test]
    fn a_long_queue_lowers_a_limit_that_is_used_and_not_one_that_is_idle() {
        for (peak, falls) in [(100, true), (50, true), (49, false)] {
            let mut queue = after(&[window(100.0, 100, 60)]);
            let limits: Vec<f64> =
                (0..6).map(|_| queue.update(&Sample { done: 100, ..window(100.0, 1_000, peak) })).collect();
            assert_eq!(limits[5] < 100.0, falls, "{peak}: {limits:?}");
        }
    }

    #[test]
    fn it_never_falls_below_what_is_carried() {
        let mut queue = after(&[window(100.0, 100, 60)]);
        for _ in 0..10 {
            let next = queue.update(&Sample { drops: 500, done: 990, ..window(100.0, 100, 100) });
            assert!((98.0..=100.0).contains(&next), "990 a second of 100 ms: {next}");
        }
    }

    #[test]
    fn after_a_fall_it_rises_by_steps() {
        let calm = window(100.0, 100, 60);
        let mut queue = after(&[calm, Sample { drops: 600, done: 0, ..calm }]);
        assert_eq!(queue.update(&calm), 102.0);
        assert_eq!(queue.update(&Sample { peak: 10, ..calm }), 100.0, "above five times the peak it holds");
    }

    proptest! {
        #[test]
        fn whatever_comes_the_limit_is_a_number_and_grows_to_five_times_the_peak_at_most(
            windows in prop::collection::vec(
                (0_u64..5_000, 0_u32..2_000, 0_u32..5_000, 0_u32..200, 0_u32..100), 1..100
            ),
        ) {
            let (mut queue, mut limit) = (Queue::new(), 20.0_f64);
            let mut most = limit;
            for (latency, peak, done, drops, refused) in windows {
                let latency = (done > 0).then(|| Duration::from_millis(latency));
                let sample = Sample { latency, done, drops, refused, ..window(limit, 1, peak) };
                let next = queue.update(&sample);
                prop_assert!(next.is_finite() && next > 0.0);
                // A look ends where it began, so it is the highest peak of all that counts.
                most = f64::max(most, f64::from(peak) * FACTOR);
                prop_assert!(next <= most, "{next} of {most}");
                limit = next.clamp(1.0, 1_000.0);
            }
        }
    }
}
