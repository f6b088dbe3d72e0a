//! Latencies: a log-linear histogram of atomics.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// Sixteen buckets for each doubling, from a microsecond to over an hour: a quantile is within a few percent, and
/// adding one is one addition.
#[derive(Debug)]
pub(super) struct Latencies {
    buckets: Box<[AtomicU32]>,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Latencies { buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect() }
    }

    /// One more took so many nanoseconds.
    #[inline]
    pub(super) fn add(&self, latency: u64) {
        self.buckets[index(latency)].fetch_add(1, Relaxed);
    }

    /// The latency that this share of the samples does not exceed, and how many samples there are.
    pub(super) fn quantile(&self, share: f64) -> Option<(Duration, u32)> {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Relaxed));
        let all: u32 = counts.clone().sum();
        let wanted = f64::from(all) * share;
        let mut below = 0.0;
        for (index, count) in counts.enumerate().filter(|(_, count)| *count > 0) {
            let count = f64::from(count);
            if below + count >= wanted {
                // Within a bucket, as if they lay evenly: steps of a bucket would look like a changing target.
                let (low, high) = (bound(index), bound(index + 1));
                let micros = low + (high - low) * ((wanted - below) / count).clamp(0.0, 1.0);
                return Some((Duration::from_secs_f64(micros / 1e6), all));
            }
            below += count;
        }
        None
    }

    /// Forgets what was added. A sample that comes meanwhile is in this window or the next.
    pub(super) fn clear(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Relaxed);
        }
    }
}

/// Of so many nanoseconds.
fn index(latency: u64) -> usize {
    let micros = (latency / 1_000).min(LONGEST_MICROS);
    if micros < STEPS {
        return usize::try_from(micros).expect("under sixteen");
    }
    let octave = u64::from(micros.ilog2() - STEP_BITS);
    usize::try_from((octave + 1) * STEPS + (micros >> octave) - STEPS).expect("under the count of buckets")
}

/// The lower bound of a bucket in microseconds.
fn bound(index: usize) -> f64 {
    let (octave, step) = (index as u64 / STEPS, index as u64 % STEPS);
    let micros = if octave == 0 { step } else { (STEPS + step) << (octave - 1) };
    micros as f64
}

const STEP_BITS: u32 = 4;
const STEPS: u64 = 1 << STEP_BITS;
/// Over an hour; nothing that long is a latency.
const LONGEST_MICROS: u64 = (1 << 32) - 1;
const BUCKETS: u64 = (32 - STEP_BITS as u64 + 1) * STEPS;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_latency_lies_within_its_bucket(micros in 0_u64..=LONGEST_MICROS) {
            let index = index(micros * 1_000);
            prop_assert!(index < BUCKETS as usize);
            prop_assert!(bound(index) <= micros as f64 && (micros as f64) < bound(index + 1));
        }

        #[test]
        fn a_quantile_is_within_a_sixteenth(mut micros in prop::collection::vec(16_u64..10_000_000, 1..200)) {
            let latencies = Latencies::new();
            micros.iter().for_each(|micros| latencies.add(*micros * 1_000));
            micros.sort_unstable();
            let exact = micros[(micros.len() * 9).div_ceil(10) - 1] as f64 / 1e6;
            let (found, count) = latencies.quantile(0.9).unwrap();
            prop_assert_eq!(count as usize, micros.len());
            let found = found.as_secs_f64();
            prop_assert!(found >= exact * 0.93 && found <= exact * 1.07, "{found} for {exact}");
            latencies.clear();
            prop_assert_eq!(latencies.quantile(0.9), None);
        }
    }
}
