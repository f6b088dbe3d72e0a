//! Ledger: deposits and withdrawals of one window, without a lock.
//!
//! It imports nothing of this crate, so that a model checker can take the file as it is (`platform-core/loom`).
//!
//! Every word is a bucket: the tick at which it began, and a count. Ticks only grow, and so do counts within a
//! bucket; so every word only grows, and a compare-and-swap that succeeds proves that nothing happened in between.
//!
//! Deposits are many and independent: each is one addition to the bucket of its time. Withdrawals are few and must
//! be exact, so all of them go through one word, the `live` bucket. What has been withdrawn in earlier buckets
//! stands in `past`, where a bucket is noted *before* `live` moves on: whoever sees the new bucket sees the old one
//! noted. A late note of a smaller count changes nothing, because notes are maxima.

mod sync {
    #[cfg(loom)]
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
    #[cfg(not(loom))]
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

use std::array;

use sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// What came in and went out during the last `SLOTS` buckets.
///
/// Aligned, so that what stands beside it is not fetched anew after every deposit of another core.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Ledger<const SLOTS: usize> {
    deposits: [AtomicU64; SLOTS],
    past: [AtomicU64; SLOTS],
    live: AtomicU64,
}

/// A time, as the ledger knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The tick at which its bucket began.
    begin: u32,
    /// The number of its bucket; its slot follows from it without another division.
    number: u32,
    /// Ticks of a bucket.
    width: u32,
}

/// When a withdrawal is granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Withdrawals per deposit, in millionths.
    pub(crate) ratio: u64,
    /// Withdrawals per window that need no deposit, in millionths.
    pub(crate) reserve: u64,
    /// After so many ticks without a withdrawal, one is granted whatever the sums are.
    pub(crate) idle: u32,
}

/// What is known of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) deposits: u64,
    pub(crate) withdrawals: u64,
}

impl Moment {
    /// The moment `tick`, in buckets of `width` ticks. The first tick of all is a window and [`Terms::idle`] after 0,
    /// so that a word that was never used is older than everything.
    pub(crate) fn new(tick: u32, width: u32) -> Self {
        let number = tick / width;
        Moment { begin: number * width, number, width }
    }

    /// The same, unless time was further on already.
    fn not_before(self, begin: u32) -> Self {
        if begin <= self.begin { self } else { Moment { begin, number: begin / self.width, ..self } }
    }

    fn slot<const SLOTS: usize>(number: u32) -> usize {
        number as usize % SLOTS
    }

    /// Does a bucket that began at `begin` still count? One that began later does: the clock of another thread
    /// is ahead.
    fn counts<const SLOTS: usize>(self, begin: u32) -> bool {
        u64::from(self.begin.saturating_sub(begin)) < SLOTS as u64 * u64::from(self.width)
    }
}

impl Terms {
    /// What may be withdrawn in all, in millionths.
    pub(crate) fn capacity(&self, deposits: u64) -> u64 {
        deposits * self.ratio + self.reserve
    }

    fn grant(&self, sums: Sums, idle: u32) -> bool {
        (sums.withdrawals + 1) * MILLION <= self.capacity(sums.deposits) || idle >= self.idle
    }
}

impl<const SLOTS: usize> Ledger<SLOTS> {
    pub(crate) fn new() -> Self {
        let words = || array::from_fn(|_| AtomicU64::new(0));
        Ledger { deposits: words(), past: words(), live: AtomicU64::new(0) }
    }

    /// Puts one in.
    ///
    /// A thread that stands still for a whole window between the two lines deposits late; nothing is lost or
    /// counted twice.
    #[inline]
    pub(crate) fn deposit(&self, at: Moment) {
        let bucket = &self.deposits[Moment::slot::<SLOTS>(at.number)];
        // The count cannot run over into the beginning: that would be 2^32 calls within seconds.
        if begin(bucket.load(Relaxed)) >= at.begin {
            bucket.fetch_add(1, Relaxed);
        } else {
            Self::turn(bucket, at);
        }
    }

    /// The first deposit of a bucket empties what stood in its slot a window ago.
    #[cold]
    fn turn(bucket: &AtomicU64, at: Moment) {
        let mut seen = bucket.load(Relaxed);
        while begin(seen) < at.begin {
            match bucket.compare_exchange(seen, word(at.begin, 1), Relaxed, Relaxed) {
                Ok(_) => return,
                Err(newer) => seen = newer,
            }
        }
        bucket.fetch_add(1, Relaxed);
    }

    /// Takes one out, if the terms allow it; else says what they were held against.
    pub(crate) fn withdraw(&self, at: Moment, terms: &Terms) -> Result<(), Sums> {
        let mut seen = self.live.load(Acquire);
        loop {
            // Another thread may have read its clock later; time does not go back.
            let at = at.not_before(begin(seen));
            let sums = self.sums_seen(at, seen);
            if !terms.grant(sums, at.begin - begin(seen)) {
                return Err(sums);
            }
            let next = if begin(seen) == at.begin {
                seen + 1
            } else {
                self.past[Moment::slot::<SLOTS>(begin(seen) / at.width)].fetch_max(seen, AcqRel);
                word(at.begin, 1)
            };
            match self.live.compare_exchange(seen, next, AcqRel, Acquire) {
                Ok(_) => return Ok(()),
                Err(newer) => seen = newer,
            }
        }
    }

    /// What is known of the window that ends at `at`.
    pub(crate) fn sums(&self, at: Moment) -> Sums {
        self.sums_seen(at, self.live.load(Acquire))
    }

    fn sums_seen(&self, at: Moment, live: u64) -> Sums {
        let counted = |word: &u64| at.counts::<SLOTS>(begin(*word));
        let deposits = self.deposits.iter().map(|bucket| bucket.load(Relaxed)).filter(counted).map(count);
        // A note of the live bucket itself is of somebody who is about to move on.
        let earlier = |word: &u64| begin(*word) < begin(live);
        let past = self.past.iter().map(|bucket| bucket.load(Relaxed)).filter(counted).filter(earlier);
        let live = Some(live).filter(counted);
        Sums { deposits: deposits.sum(), withdrawals: past.chain(live).map(count).sum() }
    }
}

fn word(begin: u32, count: u32) -> u64 {
    u64::from(begin) << 32 | u64::from(count)
}

fn begin(word: u64) -> u32 {
    (word >> 32) as u32
}

fn count(word: u64) -> u64 {
    word & u64::from(u32::MAX)
}

/// The unit of [`Terms`]: fine enough for any ratio that is written with six digits.
pub(crate) const MILLION: u64 = 1_000_000;
