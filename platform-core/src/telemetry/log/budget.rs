//! How many bytes may a process say a second, and who gives way when it says more?
//!
//! Two pots are filled at the budget's pace, one for events and one for requests; what runs over in one runs into the
//! other. So a storm of events does not cost a request its line, nor the lines of many requests a rare event, and
//! where only one of the two is said it has all. What must not be lost is always let through and paid from the fuller
//! pot.
//!
//! The lines of requests that went well are thinned out by their trace, as the head decides about traces: at a rate
//! of `n` those whose id lies in the lowest `n`-th are told, whichever service asks. The rate doubles with each step
//! that the pot falls below its half, and stands on the line, so that lines can be counted back to requests.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::tick::Tick;

/// What a process may say.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes a second.
    rate: u64,
    /// What a pot holds at most.
    size: i64,
    began: Tick,
    /// Up to when the pots were filled, in nanoseconds since it began.
    filled: AtomicU64,
    events: AtomicI64,
    requests: AtomicI64,
}

/// What an event is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// Debug and below.
    Detail,
    /// Info.
    Ordinary,
    /// Info, said while serving a request whose trace is recorded.
    Recorded,
}

impl Budget {
    /// So many bytes a second from `now` on, 1 at least: a budget of nothing never fills.
    pub(super) fn new(rate: u64, now: Tick) -> Self {
        let rate = rate.max(1);
        let size = i64::try_from(rate.saturating_mul(RUSH.as_secs()) / 2).unwrap_or(i64::MAX / 4);
        let full = || AtomicI64::new(size);
        Budget { rate, size, began: now, filled: AtomicU64::new(0), events: full(), requests: full() }
    }

    /// May an event of this worth be said?
    pub(super) fn has_room(&self, worth: Worth, now: Tick) -> bool {
        let least = match worth {
            Worth::Detail => self.size / 2,
            Worth::Ordinary => 0,
            Worth::Recorded => -self.size / 2,
        };
        // Who has enough need not know what time has brought.
        self.events.load(Relaxed) > least || {
            self.fill(now);
            self.events.load(Relaxed) > least
        }
    }

    /// How many requests that went well one line stands for.
    pub(super) fn stands_for(&self, now: impl FnOnce() -> Tick) -> u32 {
        let enough = self.size / 2;
        if self.requests.load(Relaxed) >= enough {
            return 1;
        }
        self.fill(now());
        let short = enough - self.requests.load(Relaxed);
        // No step of a pot that is smaller than its steps.
        let step = (self.size / STEPS).max(1);
        let doubled = (short.max(0) as u64).div_ceil(step as u64).min(u64::from(MOST_DOUBLED));
        1 << doubled
    }

    /// So many bytes of an event were said.
    pub(super) fn event(&self, bytes: usize) {
        self.take(&self.events, bytes);
    }

    /// So many bytes of a request's line were said.
    pub(super) fn request(&self, bytes: usize) {
        self.take(&self.requests, bytes);
    }

    /// So many bytes were said that must not be lost.
    pub(super) fn grave(&self, bytes: usize) {
        let fuller = if self.events.load(Relaxed) > self.requests.load(Relaxed) {
            &self.events
        } else {
            &self.requests
        };
        self.take(fuller, bytes);
    }

    fn take(&self, pot: &AtomicI64, bytes: usize) {
        // Whoever failed for an hour must not be silent for an hour.
        if pot.load(Relaxed) > -self.size {
            pot.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX / 4), Relaxed);
        }
    }

    /// Puts in what time has brought.
    fn fill(&self, now: Tick) {
        let (now, last) = (now.nanos_since(self.began), self.filled.load(Relaxed));
        let passed = now.saturating_sub(last);
        if passed < FILL_EVERY {
            return;
        }
        let nanos = u128::from(NANOS_PER_SEC);
        let bytes = u128::from(passed) * u128::from(self.rate) / nanos;
        // What is less than a byte comes with the next.
        let until = last + u64::try_from(bytes * nanos / u128::from(self.rate)).unwrap_or(passed);
        if self.filled.compare_exchange(last, until, Relaxed, Relaxed).is_err() {
            return;
        }
        // More than both hold is nothing more.
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX).min(self.size.saturating_mul(4));
        let over = self.pour(&self.events, bytes / 2);
        let over = self.pour(&self.requests, bytes - bytes / 2 + over);
        self.pour(&self.events, over);
    }

    /// Fills a pot, and gives back what it does not hold.
    fn pour(&self, pot: &AtomicI64, bytes: i64) -> i64 {
        let level = pot.fetch_add(bytes, Relaxed) + bytes;
        let over = (level - self.size).clamp(0, bytes);
        if over > 0 {
            pot.fetch_sub(over, Relaxed);
        }
        over
    }
}

/// A rush that comes after quiet is told whole: a bill is read by the day.
const RUSH: Duration = Duration::from_secs(10);
/// The rate doubles each time a pot has lost so small a part of it: fine enough that it does not swing between telling
/// all and telling nothing, coarse enough that ten times too much is met within a tenth of a pot.
const STEPS: i64 = 32;
/// No service has so many requests.
const MOST_DOUBLED: u32 = 31;
/// How often the pots are filled at most: a hundred times a second is smooth, and costs a busy process nothing.
const FILL_EVERY: u64 = 10_000_000;
const NANOS_PER_SEC: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    fn later(began: Tick, millis: u64) -> Tick {
        began.after(Duration::from_millis(millis)).unwrap()
    }

    /// What is said of `offered` bytes a millisecond in lines of `line`, each second.
    fn said(
        budget: &Budget,
        began: Tick,
        seconds: u64,
        mut each: impl FnMut(&Budget, Tick) -> u64,
    ) -> Vec<u64> {
        (0..seconds)
            .map(|second| (0..1000).map(|milli| each(budget, later(began, second * 1000 + milli))).sum())
            .collect()
    }

    fn event(worth: Worth, lines: u64, bytes: usize) -> impl FnMut(&Budget, Tick) -> u64 {
        move |budget, now| {
            let mut said = 0;
            for _ in 0..lines {
                if budget.has_room(worth, now) {
                    budget.event(bytes);
                    said += bytes as u64;
                }
            }
            said
        }
    }

    #[test]
    fn one_kind_alone_has_all_of_the_budget_and_not_more() {
        let began = Tick::now();
        for worth in [Worth::Ordinary, Worth::Recorded, Worth::Detail] {
            let budget = Budget::new(64 * KIB, began);
            // Ten times as much as may be said.
            let each = said(&budget, began, 40, event(worth, 5, 131));
            let steady: u64 = each[20..].iter().sum();
            let wanted = 20 * 64 * KIB;
            assert!(steady.abs_diff(wanted) * 100 < wanted, "{worth:?}: {steady} of {wanted}: {each:?}");
            assert!(each[0] > 200 * KIB, "a rush after quiet is told: {}", each[0]);
        }
    }

    #[test]
    fn a_storm_of_events_leaves_requests_their_half() {
        let began = Tick::now();
        let budget = Budget::new(64 * KIB, began);
        let mut storm = event(Worth::Ordinary, 5, 131);
        let (mut events, mut requests) = (0, 0);
        for milli in 0..40_000 {
            let now = later(began, milli);
            let bytes = storm(&budget, now);
            // Requests say 30 KiB a second of the 32 that are theirs.
            let alone = milli % 20 == 0;
            if alone {
                assert_eq!(budget.stands_for(|| now), 1, "after {milli} ms");
                budget.request(614);
            }
            if milli >= 20_000 {
                events += bytes;
                requests += if alone { 614 } else { 0 };
            }
        }
        let wanted = 20 * 64 * KIB;
        assert!((events + requests).abs_diff(wanted) * 100 < wanted, "{events} and {requests} of {wanted}");
    }

    #[test]
    fn too_many_requests_are_thinned_out_and_what_is_told_counts_for_all() {
        let began = Tick::now();
        for (times, most) in [(2_u64, 4), (10, 16), (100, 256)] {
            let budget = Budget::new(64 * KIB, began);
            let mut dice = fastrand::Rng::with_seed(7);
            let (mut told, mut counted, mut highest) = (0_u64, 0_f64, 0);
            let mut asked = 0_u64;
            for step in 0..4_000 {
                let now = later(began, step * 10);
                for _ in 0..times {
                    // 655 bytes each 10 ms is the budget.
                    asked += 1;
                    let n = budget.stands_for(|| now);
                    highest = highest.max(n);
                    if dice.f64() < 1.0 / f64::from(n) {
                        budget.request(655);
                        counted += f64::from(n);
                        told += if step >= 2_000 { 655 } else { 0 };
                    }
                }
            }
            let wanted = 20 * 64 * KIB;
            assert!(told.abs_diff(wanted) * 50 < wanted, "{times}: {told} of {wanted}");
            let off = (counted / asked as f64 - 1.0).abs();
            assert!(off < 0.03, "{times}: {counted} were told of {asked}");
            assert!(highest <= most, "{times}: {highest}");
        }
    }

    #[test]
    fn what_must_not_be_lost_is_paid_for_and_not_for_ever() {
        let began = Tick::now();
        let budget = Budget::new(64 * KIB, began);
        // An hour of failures, thrice the budget.
        for second in 0..3600 {
            (0..192).for_each(|_| budget.grave(KIB as usize));
            budget.stands_for(|| later(began, second * 1000));
        }
        let end = 3_600_000;
        assert!(!budget.has_room(Worth::Ordinary, later(began, end)));
        assert!(budget.has_room(Worth::Ordinary, later(began, end + 11_000)), "ten seconds later it is paid");
    }

    #[test]
    fn a_budget_of_nothing_is_next_to_nothing() {
        let began = Tick::now();
        let budget = Budget::new(0, began);
        budget.event(1000);
        budget.request(1000);
        assert!(!budget.has_room(Worth::Ordinary, later(began, 60_000)), "60 of 1000 bytes are paid");
        assert!(budget.stands_for(|| later(began, 61_000)) > 1);
    }

    #[test]
    fn time_that_was_not_counted_is_not_lost() {
        let began = Tick::now();
        // 7 bytes a second: a byte is longer than a step.
        let budget = Budget::new(7, began);
        budget.event(1000);
        for milli in 0..100_000 {
            budget.has_room(Worth::Ordinary, later(began, milli));
        }
        let level = budget.events.load(Relaxed);
        // The other pot is full, so all of it comes here; a take stops only behind the floor.
        assert!((35 - 1000 + 698..=35 - 1000 + 701).contains(&level), "{level}");
    }
}
