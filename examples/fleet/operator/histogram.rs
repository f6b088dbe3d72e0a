//! How long did it take, over many instances?
//!
//! Percentiles cannot be averaged: the p99 of three instances says nothing about the p99 of all requests. Counts
//! can be added, so buckets are, and the percentile is read from their sum.

use std::{collections::BTreeMap, fmt, time::Duration};

/// Observations by their size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    /// By upper bound in microseconds; [`UNBOUNDED`] for what is above every bound.
    buckets: BTreeMap<u64, Bucket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    lower: u64,
    count: u64,
}

/// A percentile, as exactly as the buckets know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantile {
    /// Somewhere in the smallest bucket.
    Below(Duration),
    /// Interpolated within its bucket.
    About(Duration),
    /// Above the largest bound.
    Above(Duration),
}

impl Histogram {
    /// Adds `count` observations between `lower` and `upper`; without an upper bound they are only known to be
    /// above `lower`.
    pub(crate) fn count(&mut self, lower: Duration, upper: Option<Duration>, count: u64) {
        self.put(micros(lower), upper.map_or(UNBOUNDED, micros), count);
    }

    /// Adds one observation that is known exactly, to a bucket a hundredth of its size.
    pub(crate) fn observe(&mut self, took: Duration) {
        let took = micros(took).max(1);
        let width = (1_u64 << took.ilog2()).div_ceil(FINENESS);
        let lower = (took - 1) / width * width;
        self.put(lower, lower + width, 1);
    }

    /// Adds everything of `other`.
    pub(crate) fn add(&mut self, other: &Histogram) {
        for (upper, bucket) in &other.buckets {
            self.put(bucket.lower, *upper, bucket.count);
        }
    }

    /// What came after `earlier`.
    pub(crate) fn since(&self, earlier: &Histogram) -> Histogram {
        let mut buckets = self.buckets.clone();
        for (upper, bucket) in &mut buckets {
            let before = earlier.buckets.get(upper).map_or(0, |bucket| bucket.count);
            bucket.count = bucket.count.saturating_sub(before);
        }
        Histogram { buckets }
    }

    /// How many.
    pub(crate) fn total(&self) -> u64 {
        self.buckets.values().map(|bucket| bucket.count).sum()
    }

    /// The value that a share of `q` (0 to 1) does not exceed; `None` of nothing.
    pub(crate) fn quantile(&self, q: f64) -> Option<Quantile> {
        let total = self.total();
        let rank = (q * total as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (upper, bucket) in &self.buckets {
            if bucket.count > 0 && below + bucket.count >= rank {
                return Some(bucket.quantile(*upper, rank - below));
            }
            below += bucket.count;
        }
        None
    }

    fn put(&mut self, lower: u64, upper: u64, count: u64) {
        let bucket = self.buckets.entry(upper).or_insert(Bucket { lower, count: 0 });
        // Versions with other bounds may run side by side; the wider bucket is the one that holds for both.
        bucket.lower = bucket.lower.min(lower);
        bucket.count += count;
    }
}

impl Bucket {
    fn quantile(self, upper: u64, rank: u64) -> Quantile {
        match (self.lower, upper) {
            (lower, UNBOUNDED) => Quantile::Above(Duration::from_micros(lower)),
            (0, upper) => Quantile::Below(Duration::from_micros(upper)),
            (lower, upper) => {
                let share = rank as f64 / self.count as f64;
                let above = ((upper - lower) as f64 * share).round() as u64;
                Quantile::About(Duration::from_micros(lower + above))
            }
        }
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, length) = match self {
            Quantile::Below(length) => ("<", length),
            Quantile::About(length) => ("", length),
            Quantile::Above(length) => (">", length),
        };
        f.pad(&format!("{sign}{}", short(*length)))
    }
}

/// A length as a person reads it in a table: three digits or so.
pub(crate) fn short(length: Duration) -> String {
    let micros = length.as_micros() as f64;
    let (value, unit) = match micros {
        ..1e3 => (micros, "us"),
        ..1e6 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    let text = if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(UNBOUNDED - 1)
}

const UNBOUNDED: u64 = u64::MAX;
/// Buckets per doubling: an exact observation is off by less than a hundredth, finer than any table shows.
const FINENESS: u64 = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn histogram(buckets: &[(u64, Option<u64>, u64)]) -> Histogram {
        let mut histogram = Histogram::default();
        for (lower, upper, count) in buckets {
            histogram.count(ms(*lower), upper.map(ms), *count);
        }
        histogram
    }

    #[test]
    fn a_percentile_is_read_from_the_sum_of_the_buckets() {
        let table: &[(&[_], f64, Option<Quantile>)] = &[
            (&[], 0.5, None),
            (&[(0, Some(5), 0)], 0.5, None),
            (&[(0, Some(5), 10)], 0.99, Some(Quantile::Below(ms(5)))),
            (&[(0, Some(5), 90), (5, Some(10), 10)], 0.5, Some(Quantile::Below(ms(5)))),
            (
                &[(0, Some(5), 90), (5, Some(10), 10)],
                0.95,
                Some(Quantile::About(Duration::from_micros(7_500))),
            ),
            (&[(0, Some(5), 90), (5, Some(10), 10)], 1.0, Some(Quantile::About(ms(10)))),
            (&[(0, Some(5), 90), (10_000, None, 10)], 0.99, Some(Quantile::Above(ms(10_000)))),
        ];
        for (buckets, q, expected) in table {
            assert_eq!(histogram(buckets).quantile(*q), *expected, "{buckets:?} {q}");
        }
    }

    /// One slow instance of three: an average of percentiles would say 340 ms.
    #[test]
    fn merging_is_not_averaging() {
        let mut merged = histogram(&[(0, Some(5), 100)]);
        merged.add(&histogram(&[(0, Some(5), 100)]));
        merged.add(&histogram(&[(750, Some(1000), 1)]));
        assert_eq!(merged.quantile(0.99), Some(Quantile::Below(ms(5))));
        assert_eq!(merged.total(), 201);
    }

    #[test]
    fn only_what_came_after_counts() {
        let earlier = histogram(&[(0, Some(5), 90), (5, Some(10), 10)]);
        let later = histogram(&[(0, Some(5), 90), (5, Some(10), 14), (10, Some(25), 1)]);
        assert_eq!(later.since(&earlier).total(), 5);
        assert_eq!(later.since(&earlier).quantile(1.0), Some(Quantile::About(ms(25))));
        assert_eq!(earlier.since(&later).total(), 0);
    }

    #[test]
    fn lengths_are_short() {
        for (micros, text) in [
            (7, "7us"),
            (850, "850us"),
            (1_240, "1.2ms"),
            (2_000, "2ms"),
            (43_400, "43ms"),
            (1_500_000, "1.5s"),
            (10_000_000, "10s"),
        ] {
            assert_eq!(short(Duration::from_micros(micros)), text);
        }
        assert_eq!(format!("{:>6}", Quantile::Below(ms(5))), "  <5ms");
        assert_eq!(Quantile::Above(ms(10_000)).to_string(), ">10s");
    }

    proptest! {
        #[test]
        fn an_exact_observation_is_found_within_a_hundredth(micros in 1_u64..100_000_000) {
            let mut histogram = Histogram::default();
            histogram.observe(Duration::from_micros(micros));
            let found = match histogram.quantile(0.5) {
                Some(Quantile::About(length) | Quantile::Below(length)) => length.as_micros() as f64,
                other => panic!("{other:?}"),
            };
            let exact = micros as f64;
            prop_assert!(found >= exact && found <= exact * 1.01 + 1.0, "{exact} became {found}");
        }
    }
}
