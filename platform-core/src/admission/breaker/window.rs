//! Window: what became of the calls of the last while. Pure: it is told which tick it is.
//!
//! Ten buckets, each one tick long. Each number carries the stamp of its tick, so that nobody has to sweep: who
//! finds an old stamp begins anew, and who sums passes over it, also after a long silence. A success costs one
//! addition; only a failure or a slow call pays for a sum, which reads thirty words, however many calls there were.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The last [`BUCKETS`] ticks. Apart from what is only read: every call writes here.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Window([Bucket; BUCKETS as usize]);

#[derive(Debug, Default)]
struct Bucket {
    calls: Tally,
    failures: Tally,
    slow: Tally,
}

/// A number and the stamp that it belongs to: `generation: 12, tick: 28, count: 24`.
#[derive(Debug, Default)]
struct Tally(AtomicU64);

/// Which tick of which generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    generation: u64,
    tick: u64,
}

/// What became of the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) calls: u32,
    pub(super) failures: u32,
    pub(super) slow: u32,
}

impl Stamp {
    pub(super) fn new(generation: u32, tick: u64) -> Self {
        Stamp { generation: u64::from(generation) & GENERATIONS, tick: tick & TICKS }
    }

    fn of(bits: u64) -> Self {
        Stamp { generation: bits >> GENERATION, tick: bits >> TICK & TICKS }
    }

    fn bits(self) -> u64 {
        self.generation << GENERATION | self.tick << TICK
    }

    /// How many ticks `older` lies back; `None` in another generation.
    fn ticks_since(self, older: Stamp) -> Option<u64> {
        (self.generation == older.generation).then_some(self.tick.wrapping_sub(older.tick) & TICKS)
    }

    /// Is it later than `other`, by as much as a report can be late? Beyond that the numbers have gone round.
    fn overtook(self, other: Stamp) -> bool {
        match self.ticks_since(other) {
            Some(ticks) => (1..LATE_TICKS).contains(&ticks),
            None => (self.generation.wrapping_sub(other.generation) & GENERATIONS) < LATE_GENERATIONS,
        }
    }
}

impl Window {
    /// One call ended.
    #[inline]
    pub(super) fn call(&self, stamp: Stamp) {
        self.bucket(stamp).calls.add(stamp);
    }

    /// It was a failure.
    pub(super) fn failure(&self, stamp: Stamp) {
        self.bucket(stamp).failures.add(stamp);
    }

    /// It was slow.
    pub(super) fn slow(&self, stamp: Stamp) {
        self.bucket(stamp).slow.add(stamp);
    }

    /// All of the ticks that end with this one, in its generation.
    pub(super) fn sums(&self, now: Stamp) -> Sums {
        self.0.iter().fold(Sums::default(), |sums, bucket| Sums {
            calls: sums.calls + bucket.calls.at(now),
            failures: sums.failures + bucket.failures.at(now),
            slow: sums.slow + bucket.slow.at(now),
        })
    }

    fn bucket(&self, stamp: Stamp) -> &Bucket {
        &self.0[(stamp.tick % BUCKETS) as usize]
    }
}

impl Tally {
    #[inline]
    fn add(&self, stamp: Stamp) {
        let seen = self.0.load(Relaxed);
        if seen & !COUNTS == stamp.bits() {
            // Between the look and the addition the bucket may begin anew; then the call counts a tick later.
            if seen & COUNTS < FULL {
                self.0.fetch_add(1, Relaxed);
            }
        } else {
            self.begin(stamp, seen);
        }
    }

    /// The first of its tick begins the bucket anew.
    #[cold]
    fn begin(&self, stamp: Stamp, mut seen: u64) {
        loop {
            let there = Stamp::of(seen);
            let next = match there == stamp {
                true if seen & COUNTS >= FULL => return,
                true => seen + 1,
                // Too late to count, and what is there must not be lost.
                false if there.overtook(stamp) => return,
                false => stamp.bits() | 1,
            };
            match self.0.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    fn at(&self, now: Stamp) -> u32 {
        let seen = self.0.load(Relaxed);
        let counts = now.ticks_since(Stamp::of(seen)).is_some_and(|ticks| ticks < BUCKETS);
        if counts { (seen & COUNTS) as u32 } else { 0 }
    }
}

/// Into so many parts a window is cut: a sum covers nine to ten tenths of it.
pub(super) const BUCKETS: u64 = 10;

const TICK: u32 = 24;
const GENERATION: u32 = 52;
const TICKS: u64 = (1 << (GENERATION - TICK)) - 1;
const GENERATIONS: u64 = (1 << (64 - GENERATION)) - 1;
const COUNTS: u64 = (1 << TICK) - 1;

/// Beyond this a number stays as it is: 16 million calls in a tick say what there is to say, and the threads that
/// are adding just now must not spill into the stamp.
const FULL: u64 = COUNTS - 0xffff;

/// A report later than this is none: the stamp is one that has gone round (after a month at the shortest tick).
const LATE_TICKS: u64 = 1024;
const LATE_GENERATIONS: u64 = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums(calls: u32, failures: u32, slow: u32) -> Sums {
        Sums { calls, failures, slow }
    }

    #[test]
    fn old_buckets_expire_one_by_one_and_all_after_a_long_silence() {
        let window = Window::default();
        for tick in 100..110 {
            window.call(Stamp::new(0, tick));
            window.failure(Stamp::new(0, tick));
        }
        let table = [(109, 10), (110, 9), (113, 6), (118, 1), (119, 0), (200, 0), (1_000_000, 0), (TICKS, 0)];
        for (tick, left) in table {
            assert_eq!(window.sums(Stamp::new(0, tick)), sums(left, left, 0), "{tick}");
        }
        window.call(Stamp::new(0, 1_000_009));
        assert_eq!(window.sums(Stamp::new(0, 1_000_009)), sums(1, 0, 0));
    }

    #[test]
    fn a_late_report_takes_nothing_away() {
        let window = Window::default();
        window.call(Stamp::new(0, 25));
        window.call(Stamp::new(0, 15));
        assert_eq!(window.sums(Stamp::new(0, 25)), sums(1, 0, 0));
        window.call(Stamp::new(1, 5));
        window.call(Stamp::new(0, 25));
        assert_eq!(window.sums(Stamp::new(1, 5)), sums(1, 0, 0));
        assert_eq!(window.sums(Stamp::new(0, 25)), sums(0, 0, 0));
    }

    #[test]
    fn a_full_bucket_stays_full() {
        let window = Window::default();
        let stamp = Stamp::new(3, 7);
        window.bucket(stamp).calls.0.store(stamp.bits() | FULL, Relaxed);
        window.call(stamp);
        window.bucket(stamp).calls.begin(stamp, stamp.bits() | FULL);
        assert_eq!(window.sums(stamp).calls, FULL as u32);
    }

    #[test]
    fn a_window_is_as_large_as_its_buckets() {
        // Neither memory nor the cost of a sum knows how many calls there were.
        assert_eq!(size_of::<Window>(), 256);
    }

    #[derive(Clone, Copy, Debug)]
    struct Step {
        wait: u64,
        failed: bool,
        slow: bool,
        renewed: bool,
    }

    fn step() -> impl Strategy<Value = Step> {
        let wait = prop_oneof![8 => 0..2_u64, 2 => 2..15_u64, 1 => 15..5_000_000_u64];
        (wait, any::<bool>(), any::<bool>(), prop::bool::weighted(0.05))
            .prop_map(|(wait, failed, slow, renewed)| Step { wait, failed, slow, renewed })
    }

    proptest! {
        #[test]
        fn it_says_what_a_list_of_all_calls_says(steps in prop::collection::vec(step(), 1..200)) {
            let window = Window::default();
            let mut model: Vec<(u32, u64, Step)> = Vec::new();
            let (mut generation, mut tick) = (0, 0);
            for step in steps {
                tick += step.wait;
                generation += u32::from(step.renewed);
                let stamp = Stamp::new(generation, tick);
                window.call(stamp);
                if step.failed { window.failure(stamp); }
                if step.slow { window.slow(stamp); }
                model.push((generation, tick, step));
                let mut expected = Sums::default();
                for (of, at, step) in &model {
                    if *of == generation && tick - at < BUCKETS {
                        expected.calls += 1;
                        expected.failures += u32::from(step.failed);
                        expected.slow += u32::from(step.slow);
                    }
                }
                prop_assert_eq!(window.sums(stamp), expected);
            }
        }
    }
}
