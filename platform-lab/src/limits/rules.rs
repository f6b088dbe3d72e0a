//! Rules that others use, for comparison. Each is asked once a window, as the platform's own is.

use platform_core::admission::concurrency::{Algorithm, Sample};

/// Additive increase, multiplicative decrease: one more after a window without a drop that used half of the limit,
/// a tenth less after one with a drop. Netflix' constants; theirs is asked for each call.
#[derive(Debug, Default)]
pub(super) struct Aimd;

impl Algorithm for Aimd {
    fn update(&mut self, sample: &Sample) -> f64 {
        if sample.drops > 0 {
            sample.limit * 0.9
        } else if f64::from(sample.peak) * 2.0 >= sample.limit {
            sample.limit + 1.0
        } else {
            sample.limit
        }
    }
}

/// Netflix' Gradient2: the ratio of a long average of the latency to the present one scales the limit, which may
/// always queue four more.
#[derive(Debug, Default)]
pub(super) struct Gradient2 {
    /// Milliseconds.
    long: Option<f64>,
    seen: f64,
}

impl Algorithm for Gradient2 {
    fn update(&mut self, sample: &Sample) -> f64 {
        let Some(short) = sample.latency else { return sample.limit };
        let short = short.as_secs_f64() * 1e3;
        // An average of all so far to begin with, then an exponential one over 600 samples.
        self.seen = (self.seen + 1.0).min(WINDOW);
        let mut long = self.long.map_or(short, |long| long + (short - long) * 2.0 / (self.seen + 1.0));
        if long > 2.0 * short {
            long *= 0.95;
        }
        self.long = Some(long);
        // Who does not use half of it learns nothing about it.
        if f64::from(sample.peak) < sample.limit / 2.0 {
            return sample.limit;
        }
        let gradient = (TOLERANCE * long / short).clamp(0.5, 1.0);
        sample.limit * (1.0 - SMOOTHING) + SMOOTHING * (sample.limit * gradient + QUEUE)
    }
}

const WINDOW: f64 = 600.0;
const TOLERANCE: f64 = 1.5;
const SMOOTHING: f64 = 0.2;
const QUEUE: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sample(limit: f64, peak: u32, latency_ms: u64, drops: u32) -> Sample {
        Sample {
            limit,
            elapsed: Duration::from_secs(1),
            latency: Some(Duration::from_millis(latency_ms)),
            quiet: None,
            peak,
            done: 100,
            drops,
            refused: 0,
        }
    }

    #[test]
    fn aimd_adds_one_where_it_is_used_and_takes_a_tenth_after_a_drop() {
        let mut rule = Aimd;
        for (peak, drops, wanted) in [(10, 0, 21.0), (9, 0, 20.0), (20, 1, 18.0)] {
            assert_eq!(rule.update(&sample(20.0, peak, 10, drops)), wanted);
        }
    }

    #[test]
    fn gradient2_grows_while_latency_is_what_it_was_and_shrinks_when_it_doubles() {
        let mut rule = Gradient2::default();
        let grown = rule.update(&sample(20.0, 20, 10, 0));
        assert!((grown - 20.8).abs() < 1e-9, "{grown}");
        for _ in 0..50 {
            rule.update(&sample(20.0, 20, 10, 0));
        }
        let shrunk = rule.update(&sample(100.0, 100, 40, 0));
        assert!(shrunk < 100.0, "{shrunk}");
        assert_eq!(rule.update(&sample(20.0, 9, 10, 0)), 20.0, "idle teaches nothing");
    }
}
