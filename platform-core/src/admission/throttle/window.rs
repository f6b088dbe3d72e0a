//! Window: the answers of the last second or so, in a few atomic words.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::ratio::Answers;

/// A ring of buckets, each one word: its number, its answers, and the accepted among them. A bucket changes in one
/// step, so a late count never meets a bucket that was emptied under it.
#[derive(Debug)]
pub(super) struct Window {
    /// Nanoseconds of a bucket.
    length: AtomicU64,
    buckets: [AtomicU64; BUCKETS as usize],
}

impl Window {
    pub(super) fn new(memory: Duration) -> Self {
        Window {
            length: AtomicU64::new(length(memory)),
            buckets: std::array::from_fn(|_| AtomicU64::new(NEVER)),
        }
    }

    /// Remembers for `memory` from now on; if that is new, of nothing that was.
    pub(super) fn remember(&self, memory: Duration) {
        let length = length(memory);
        if self.length.swap(length, Relaxed) != length {
            for bucket in &self.buckets {
                bucket.store(NEVER, Relaxed);
            }
        }
    }

    /// Counts an answer at `at`.
    #[inline]
    pub(super) fn count(&self, at: u64, accepted: bool) {
        let number = self.number(at);
        let index = usize::try_from(number % BUCKETS).expect("an index of eight");
        let (bucket, number) = (&self.buckets[index], number & NUMBERS);
        let seen = bucket.load(Relaxed);
        // Mostly it is one more in a bucket that is open; whoever is overtaken there looks closely.
        if seen >> (2 * COUNT_BITS) == number && seen >> COUNT_BITS & COUNTS < COUNTS {
            let next = seen + (1 << COUNT_BITS) + u64::from(accepted);
            if bucket.compare_exchange(seen, next, Relaxed, Relaxed).is_ok() {
                return;
            }
        }
        Self::count_closely(bucket, number, accepted);
    }

    #[cold]
    fn count_closely(bucket: &AtomicU64, number: u64, accepted: bool) {
        let add = |word| Some(Bucket::of(word).add(number, accepted).word());
        // The closure always has an answer, so this cannot fail.
        let _ = bucket.fetch_update(Relaxed, Relaxed, add);
    }

    /// When an answer at `at` is no longer remembered.
    pub(super) fn forgets(&self, at: u64) -> u64 {
        (self.number(at) + BUCKETS).saturating_mul(self.length.load(Relaxed))
    }

    /// The answers that are remembered at `at`.
    pub(super) fn answers(&self, at: u64) -> Answers {
        let number = self.number(at);
        let mut sum = Answers::default();
        for bucket in &self.buckets {
            let bucket = Bucket::of(bucket.load(Relaxed));
            let age = number.wrapping_sub(bucket.number) & NUMBERS;
            // A report may be ahead of a question by the time between their clock readings.
            if age < BUCKETS || age == NUMBERS {
                sum.all += bucket.all;
                sum.accepted += bucket.accepted;
            }
        }
        sum
    }

    fn number(&self, at: u64) -> u64 {
        at / self.length.load(Relaxed)
    }
}

fn length(memory: Duration) -> u64 {
    u64::try_from(memory.as_nanos()).unwrap_or(u64::MAX).div_ceil(BUCKETS).max(1)
}

/// A word, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    number: u64,
    all: u64,
    accepted: u64,
}

impl Bucket {
    fn of(word: u64) -> Self {
        Bucket { number: word >> (2 * COUNT_BITS), all: word >> COUNT_BITS & COUNTS, accepted: word & COUNTS }
    }

    fn word(self) -> u64 {
        self.number << (2 * COUNT_BITS) | self.all << COUNT_BITS | self.accepted
    }

    fn add(self, number: u64, accepted: bool) -> Self {
        // A report that comes late by a whole memory is news of a time that is forgotten.
        let behind = self.number.wrapping_sub(number) & NUMBERS;
        if self.all > 0 && behind > 0 && behind <= BUCKETS {
            return self;
        }
        let old = if self.number == number { self } else { Bucket { number, all: 0, accepted: 0 } };
        if old.all == COUNTS {
            // Full: the ratio of a million answers says it all.
            return old;
        }
        Bucket { all: old.all + 1, accepted: old.accepted + u64::from(accepted), ..old }
    }
}

/// A step of the window is an eighth of the memory: smooth enough, and a question reads eight words.
const BUCKETS: u64 = 8;

const COUNT_BITS: u32 = 20;
const COUNTS: u64 = (1 << COUNT_BITS) - 1;
/// Numbers of buckets come round after 24 days of a one-second memory; only a bucket that nobody touched for
/// exactly that long would be taken for a young one.
const NUMBERS: u64 = (1 << (64 - 2 * COUNT_BITS)) - 1;

/// No answers: whatever the number is, it adds nothing.
const NEVER: u64 = 0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEP: u64 = 125_000_000;

    fn window() -> Window {
        Window::new(Duration::from_secs(1))
    }

    #[test]
    fn a_memory_lasts_a_memory() {
        let window = window();
        for step in 0..8 {
            window.count(step * STEP, step % 2 == 0);
        }
        assert_eq!(window.answers(7 * STEP), Answers { all: 8, accepted: 4 });
        assert_eq!(window.answers(8 * STEP), Answers { all: 7, accepted: 3 });
        assert_eq!(window.answers(14 * STEP), Answers { all: 1, accepted: 0 });
        assert_eq!(window.answers(15 * STEP), Answers::default());
        assert_eq!(window.answers(6 * STEP).all, 8, "a clock that is a step behind");
    }

    #[test]
    fn a_late_report_does_not_empty_a_young_bucket() {
        let window = window();
        window.count(9 * STEP, true);
        window.count(STEP, false);
        assert_eq!(window.answers(9 * STEP), Answers { all: 1, accepted: 1 });
    }

    #[test]
    fn a_bucket_that_is_full_stays_full() {
        let full = Bucket { number: 3, all: COUNTS, accepted: 5 };
        assert_eq!(full.add(3, true), full);
        assert_eq!(full.add(3 + BUCKETS, true), Bucket { number: 3 + BUCKETS, all: 1, accepted: 1 });
    }

    #[test]
    fn no_count_is_lost_between_threads() {
        let window = window();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..8_000_u64).for_each(|i| window.count(i % 8 * STEP, i % 4 == 0)));
            }
        });
        assert_eq!(window.answers(7 * STEP), Answers { all: 32_000, accepted: 8_000 });
    }

    proptest! {
        /// Against a list of everything that happened.
        #[test]
        fn it_counts_as_a_list_would(steps in prop::collection::vec((0_u64..400_000_000, any::<bool>()), 1..200)) {
            let window = window();
            let mut all: Vec<(u64, bool)> = Vec::new();
            let mut now = 0;
            for (step, accepted) in steps {
                now += step;
                window.count(now, accepted);
                all.push((now / STEP, accepted));
                let recent = all.iter().filter(|(number, _)| now / STEP - number < BUCKETS);
                let expected = Answers {
                    all: recent.clone().count() as u64,
                    accepted: recent.filter(|(_, accepted)| *accepted).count() as u64,
                };
                prop_assert_eq!(window.answers(now), expected);
            }
        }

        #[test]
        fn a_word_keeps_its_parts(number in 0..=NUMBERS, all in 0..=COUNTS, accepted in 0..=COUNTS) {
            let bucket = Bucket { number, all, accepted };
            prop_assert_eq!(Bucket::of(bucket.word()), bucket);
        }
    }
}
