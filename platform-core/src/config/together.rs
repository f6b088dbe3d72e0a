//! Together: a few numbers that change rarely and are read as one, at the price of a few loads.
//!
//! What every call reads of its settings should not cost what the call's guards do. An `ArcSwap` takes some sixty
//! instructions to read; this takes two loads more than there are numbers. There are two places for the numbers, and
//! a version that says which one counts: a change is written into the other one, and counts when it is whole. So a
//! reader never waits for a writer that stands still; it looks again only when the numbers have changed twice while
//! it was reading them.
//!
//! This file imports nothing of the crate: the loom tests (`platform-core/loom`) compile it alone.

mod sync {
    #[cfg(loom)]
    pub(super) use loom::sync::{
        Mutex,
        atomic::{AtomicU64, Ordering, fence},
    };
    #[cfg(not(loom))]
    pub(super) use std::sync::{
        Mutex,
        atomic::{AtomicU64, Ordering, fence},
    };
}

use std::{array, fmt};

use sync::{
    AtomicU64, Mutex,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// So many numbers, read together.
pub(crate) struct Together<const N: usize> {
    /// Even: the first place counts; odd: the second.
    version: AtomicU64,
    places: [[AtomicU64; N]; 2],
    /// Held while writing; nobody who reads takes it.
    writing: Mutex<()>,
}

impl<const N: usize> Together<N> {
    pub(crate) fn new(numbers: [u64; N]) -> Self {
        let place = || array::from_fn(|index| AtomicU64::new(numbers[index]));
        Together { version: AtomicU64::new(0), places: [place(), place()], writing: Mutex::new(()) }
    }

    /// The numbers, all of the same change.
    #[inline]
    pub(crate) fn read(&self) -> [u64; N] {
        self.first()
    }

    /// So many of the numbers, from the first on, all of the same change.
    #[inline]
    pub(crate) fn first<const M: usize>(&self) -> [u64; M] {
        const { assert!(M <= N, "there are no more numbers than these") };
        let mut version = self.version.load(Acquire);
        loop {
            let numbers = self.place(version);
            // The numbers are read before the second look.
            fence(Acquire);
            let later = self.version.load(Relaxed);
            if later == version {
                return numbers;
            }
            version = self.version.load(Acquire);
        }
    }

    /// Other numbers from now on; returns those before.
    pub(crate) fn swap(&self, numbers: [u64; N]) -> [u64; N] {
        // What it guards is whole after each line: a place that does not count may hold anything.
        let _writing = self.writing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let version = self.version.load(Relaxed);
        let before = self.place(version);
        // Whoever still reads the other place, and sees any of what follows, sees that the version has moved on.
        fence(Release);
        let other = &self.places[(version.wrapping_add(1) & 1) as usize];
        for (place, number) in other.iter().zip(numbers) {
            place.store(number, Relaxed);
        }
        self.version.store(version.wrapping_add(1), Release);
        before
    }

    #[inline]
    fn place<const M: usize>(&self, version: u64) -> [u64; M] {
        let place = &self.places[(version & 1) as usize];
        array::from_fn(|index| place[index].load(Relaxed))
    }
}

impl<const N: usize> fmt::Debug for Together<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Together").field(&self.read()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_and_says_what_was_before() {
        let numbers = Together::new([1, 2]);
        assert_eq!(numbers.read(), [1, 2]);
        assert_eq!(numbers.swap([3, 4]), [1, 2]);
        assert_eq!(numbers.swap([5, 6]), [3, 4]);
        assert_eq!((numbers.read(), numbers.first()), ([5, 6], [5]));
        assert_eq!(format!("{numbers:?}"), "Together([5, 6])");
    }

    #[test]
    fn nobody_ever_reads_two_halves() {
        let numbers = Together::new([0, 0, 0]);
        std::thread::scope(|scope| {
            let changes = scope.spawn(|| {
                (1..20_000_u64).for_each(|n| {
                    numbers.swap([n, 2 * n, 3 * n]);
                });
            });
            let read = || {
                let mut last = 0;
                while last < 19_999 {
                    let [one, two, three] = numbers.read();
                    assert!(one >= last && two == 2 * one && three == 3 * one);
                    last = one;
                    std::thread::yield_now();
                }
            };
            scope.spawn(read);
            scope.spawn(read);
            changes.join().expect("it does not panic");
        });
    }
}
