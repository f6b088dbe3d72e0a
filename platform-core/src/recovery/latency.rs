//! Latency: how long do calls take lately?

use std::{
    array,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

use crate::tick::{Tick, nanos};

/// What calls took during the last 20 to 30 seconds.
///
/// Fed by successes, timeouts and calls that a hedge overtook (their time so far is a lower bound), and by nothing
/// else: fast failures would make every good call look slow. Recording is one addition. Answers are off by 6 % at
/// most, and a second old at most, so that asking is one load.
#[derive(Debug)]
pub struct Latencies {
    origin: Tick,
    slices: [Slice; PLACES],
    quantile: AtomicU64,
    median: AtomicU64,
}

/// Ten seconds of samples.
#[derive(Debug)]
struct Slice {
    /// Which ten seconds, or [`EMPTYING`].
    number: AtomicU32,
    counts: [AtomicU32; BUCKETS],
}

impl Latencies {
    /// Nothing is known yet.
    pub fn new(now: impl Into<Tick>) -> Self {
        let zero = || AtomicU32::new(0);
        let slice = |_| Slice { number: zero(), counts: array::from_fn(|_| zero()) };
        Latencies {
            origin: now.into(),
            slices: array::from_fn(slice),
            quantile: AtomicU64::new(0),
            median: AtomicU64::new(0),
        }
    }

    /// A call that ended at `now` took so long.
    pub fn record(&self, now: impl Into<Tick>, took: Duration) {
        self.record_nanos(now.into(), nanos(took));
    }

    /// The same in nanoseconds.
    #[inline]
    pub(crate) fn record_nanos(&self, now: Tick, took: u64) {
        let number = self.number(now);
        let slice = &self.slices[number as usize % PLACES];
        if slice.number.load(Acquire) == number || slice.turn(number) {
            slice.counts[bucket(took)].fetch_add(1, Relaxed);
        }
    }

    /// What the share `q` of the recent calls took at most; 60 s stand for anything longer. `None` until there
    /// are samples enough to say: 20, and 2 beyond the quantile.
    ///
    /// The answer for one `q` is kept; who asks for several in turn pays for each.
    pub fn quantile(&self, now: impl Into<Tick>, q: f64) -> Option<Duration> {
        // The cast takes what is no number for 0.
        let q = (q * f64::from(Q_ONE)).round().clamp(0.0, f64::from(Q_ONE)) as u32;
        self.kept(&self.quantile, now, q)
    }

    /// What half of the recent calls took at most, as [`quantile`](Self::quantile).
    pub fn median(&self, now: impl Into<Tick>) -> Option<Duration> {
        self.kept(&self.median, now, Q_ONE / 2)
    }

    fn kept(&self, word: &AtomicU64, now: impl Into<Tick>, q: u32) -> Option<Duration> {
        // 24 bits of time, 14 of the quantile, 26 of the answer.
        let now = now.into();
        let second = now.nanos_since(self.origin) / NANOS_PER_SEC + 1;
        let key = (second & 0xff_ffff) << 14 | u64::from(q);
        let kept = word.load(Relaxed);
        let micros = if kept >> 26 == key {
            kept & NOTHING
        } else {
            // Threads that meet here say the same twice.
            let fresh = self.compute(self.number(now), q).unwrap_or(NOTHING);
            word.store(key << 26 | fresh, Relaxed);
            fresh
        };
        (micros != NOTHING).then(|| Duration::from_micros(micros))
    }

    #[cold]
    fn compute(&self, number: u32, q: u32) -> Option<u64> {
        let mut counts = [0_u64; BUCKETS];
        let recent = self.slices.iter().filter(|slice| {
            let seen = slice.number.load(Acquire);
            seen != EMPTYING && seen != 0 && number.saturating_sub(seen) < SLICES as u32
        });
        for slice in recent {
            for (sum, count) in counts.iter_mut().zip(&slice.counts) {
                *sum += u64::from(count.load(Relaxed));
            }
        }
        let all: u64 = counts.iter().sum();
        let beyond = u64::from((Q_ONE - q).max(1));
        if all < WARM.max((WARM_BEYOND * u64::from(Q_ONE)).div_ceil(beyond)) {
            return None;
        }
        let rank = (all * u64::from(q)).div_ceil(u64::from(Q_ONE)).max(1);
        let mut below = 0;
        let found = counts.iter().position(|count| {
            below += count;
            below >= rank
        });
        found.map(middle)
    }

    fn number(&self, now: impl Into<Tick>) -> u32 {
        // 1300 years of slices; 0 is of nobody.
        (now.into().nanos_since(self.origin) / (SLICE_SECS * NANOS_PER_SEC)) as u32 + 1
    }
}

impl Slice {
    /// Makes room for slice `number`; `false` if this sample has to be left out, because somebody is emptying the
    /// slice just now or is already further on.
    #[cold]
    fn turn(&self, number: u32) -> bool {
        let seen = self.number.load(Acquire);
        if seen == number {
            return true;
        }
        if seen > number || self.number.compare_exchange(seen, EMPTYING, Acquire, Relaxed).is_err() {
            return false;
        }
        for count in &self.counts {
            count.store(0, Relaxed);
        }
        self.number.store(number, Release);
        true
    }
}

/// Eight buckets to each doubling of microseconds; below eight, one for each.
fn bucket(took: u64) -> usize {
    let micros = (took / 1_000).min(LONGEST_MICROS) as usize;
    match micros.checked_ilog2() {
        Some(power @ PRECISION..) => {
            let shift = power - PRECISION;
            (shift as usize + 1) * PER_DOUBLING + ((micros >> shift) & (PER_DOUBLING - 1))
        }
        _ => micros,
    }
}

/// The middle of a bucket; of the last, [`LONGEST`].
fn middle(bucket: usize) -> u64 {
    if bucket == BUCKETS - 1 {
        return LONGEST_MICROS;
    }
    let (row, column) = ((bucket / PER_DOUBLING) as u32, (bucket % PER_DOUBLING) as u64);
    match row {
        0 => column,
        _ => {
            let width = 1_u64 << (row - 1);
            (PER_DOUBLING as u64 + column) * width + width / 2
        }
    }
}

/// Whatever takes longer is as long.
pub(super) const LONGEST: Duration = Duration::from_secs(60);
const LONGEST_MICROS: u64 = LONGEST.as_micros() as u64;

const NANOS_PER_SEC: u64 = 1_000_000_000;

const SLICES: usize = 3;
/// One more than count, because a place is found without a division then.
const PLACES: usize = 4;
const SLICE_SECS: u64 = 10;

/// A quantile of fewer samples is an anecdote …
const WARM: u64 = 20;

/// … and so is one with fewer than these beyond it.
const WARM_BEYOND: u64 = 2;

/// Bits of a sample that are kept: a bucket's middle is off by a sixteenth.
const PRECISION: u32 = 3;
const PER_DOUBLING: usize = 1 << PRECISION;

/// The bucket of [`LONGEST`] is the last.
const BUCKETS: usize = 191;

/// Quantiles are told apart to four digits.
const Q_ONE: u32 = 10_000;

/// The answer that there is none; longer than [`LONGEST`].
const NOTHING: u64 = (1 << 26) - 1;

const EMPTYING: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::time::Instant;

    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn fill(latencies: &Latencies, now: Instant, count: u32, took: Duration) {
        (0..count).for_each(|_| latencies.record(now, took));
    }

    fn near(found: Option<Duration>, exact: Duration) -> bool {
        found.is_some_and(|found| {
            let (found, exact) = (found.as_micros() as f64, exact.as_micros() as f64);
            (found - exact).abs() <= exact / 16.0 + 1.0
        })
    }

    #[test]
    fn buckets_follow_each_other_up_to_the_longest() {
        let mut last = 0;
        for micros in (0..100_000).chain((100_000..60_000_000).step_by(997)) {
            let found = bucket(micros * 1_000);
            assert!(found == last || found == last + 1, "{micros}");
            last = found;
            if found < BUCKETS - 1 {
                assert!(middle(found).abs_diff(micros) * 16 <= micros, "{micros} is near {}", middle(found));
            }
        }
        assert_eq!(bucket(nanos(LONGEST)), BUCKETS - 1);
        assert_eq!(bucket(nanos(Duration::MAX)), BUCKETS - 1);
        assert_eq!(middle(BUCKETS - 1), 60_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_said_before_there_are_samples_enough() {
        let now = Instant::now();
        for (q, needed) in [(0.5, 20), (0.9, 20), (0.95, 40), (0.99, 200), (0.999, 2000)] {
            let latencies = Latencies::new(now);
            fill(&latencies, now, needed - 1, 10 * MS);
            assert_eq!(latencies.quantile(now, q), None, "{q}");
            fill(&latencies, now, 1, 10 * MS);
            assert_eq!(latencies.quantile(now, q), None, "the answer is kept for a second");
            assert!(near(latencies.quantile(now + S, q), 10 * MS), "{q}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_old_is_forgotten() {
        let now = Instant::now();
        let latencies = Latencies::new(now);
        fill(&latencies, now, 100, 10 * MS);
        assert!(near(latencies.median(now + S), 10 * MS));
        fill(&latencies, now + 15 * S, 300, 50 * MS);
        assert!(near(latencies.median(now + 16 * S), 50 * MS));
        assert!(near(latencies.quantile(now + 16 * S, 0.2), 10 * MS));
        assert!(near(latencies.quantile(now + 29 * S, 0.2), 10 * MS));
        assert!(near(latencies.quantile(now + 30 * S, 0.2), 50 * MS), "the first slice is gone");
        assert_eq!(latencies.median(now + 40 * S), None);
        // The slice of the first samples is used again.
        fill(&latencies, now + 60 * S, 20, 80 * MS);
        assert!(near(latencies.median(now + 60 * S), 80 * MS));
        // Somebody's clock is late by several slices: left out.
        fill(&latencies, now, 1000, 5 * MS);
        assert!(near(latencies.median(now + 62 * S), 80 * MS));
        assert_eq!(latencies.median(now + 1_000_000 * S), None);
    }

    #[tokio::test(start_paused = true)]
    async fn two_quantiles_and_the_median_do_not_answer_for_each_other() {
        let now = Instant::now();
        let latencies = Latencies::new(now);
        (1..=1000).for_each(|n| latencies.record(now, n * MS));
        for _ in 0..2 {
            assert!(near(latencies.quantile(now, 0.95), 950 * MS));
            assert!(near(latencies.quantile(now, 0.9), 900 * MS));
            assert!(near(latencies.median(now), 500 * MS));
        }
        fill(&latencies, now, 1000, Duration::MAX);
        assert_eq!(latencies.quantile(now + S, 0.95), Some(LONGEST));
        assert!(latencies.quantile(now, f64::NAN).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn threads_lose_at_most_what_they_say_while_a_slice_is_emptied() {
        let start = Instant::now();
        let latencies = Latencies::new(start);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..60).for_each(|n| fill(&latencies, start + n * S, 100, n * MS)));
            }
        });
        // The last three slices stand for 30 to 59 ms, whatever was lost.
        let median = latencies.median(start + 59 * S).unwrap();
        assert!(median >= 28 * MS && median <= 63 * MS, "{median:?}");
    }

    proptest! {
        #[test]
        fn a_quantile_is_that_of_the_sorted_samples(
            mut samples in prop::collection::vec(0u64..100_000_000, 200..600),
            small in any::<bool>(),
            q in 0.0f64..0.99,
        ) {
            let now = Instant::now();
            let latencies = Latencies::new(now);
            if small {
                samples.iter_mut().for_each(|sample| *sample %= 5000);
            }
            samples.iter().for_each(|micros| latencies.record(now, Duration::from_micros(*micros)));
            samples.sort_unstable();
            let q = (q * 10_000.0).round() / 10_000.0;
            let rank = ((samples.len() as f64 * q - 1e-6).ceil() as usize).max(1);
            let exact = Duration::from_micros(samples[rank - 1]).min(LONGEST);
            let found = latencies.quantile(now, q);
            prop_assert!(near(found, exact), "{:?} is not near {:?}", found, exact);
        }
    }
}
