//! Slots: who is under way, exactly.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Counts what is under way against a limit that may change.
///
/// Taking compares and adds in one step: two callers at the last slot never both get it. A limit below what is
/// under way takes nothing back; nobody comes in until enough have left.
#[derive(Debug)]
pub(super) struct Slots {
    in_flight: AtomicU32,
    limit: AtomicU32,
    /// The most that were under way at a time since it was last asked.
    peak: AtomicU32,
}

impl Slots {
    pub(super) const fn new(limit: u32) -> Self {
        Slots { in_flight: AtomicU32::new(0), limit: AtomicU32::new(limit), peak: AtomicU32::new(0) }
    }

    /// Takes a slot: how many are under way with this one, or the limit that was met.
    #[inline]
    pub(super) fn take(&self) -> Result<u32, u32> {
        let limit = self.limit.load(Relaxed);
        let one_more = |in_flight| (in_flight < limit).then(|| in_flight + 1);
        let before = self.in_flight.fetch_update(Relaxed, Relaxed, one_more).map_err(|_| limit)?;
        // Read first: a peak is rare, and a write would make every core fetch the line.
        if before + 1 > self.peak.load(Relaxed) {
            self.peak.fetch_max(before + 1, Relaxed);
        }
        Ok(before + 1)
    }

    /// Takes one, whatever the limit says.
    pub(super) fn retake(&self) {
        let in_flight = self.in_flight.fetch_add(1, Relaxed) + 1;
        self.peak.fetch_max(in_flight, Relaxed);
    }

    #[inline]
    pub(super) fn free(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    pub(super) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Relaxed);
    }

    /// Raises the limit from `seen`, unless somebody else has changed it meanwhile.
    pub(super) fn grow(&self, seen: u32, limit: u32) {
        // Whoever was first has made room, so there is nothing to do on a failure.
        let _ = self.limit.compare_exchange(seen, limit, Relaxed, Relaxed);
    }

    /// The peak; the next one begins with what is under way now.
    pub(super) fn take_peak(&self) -> u32 {
        self.peak.swap(self.in_flight(), Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_slot_is_given_once() {
        let slots = Slots::new(2);
        assert_eq!([slots.take(), slots.take(), slots.take()], [Ok(1), Ok(2), Err(2)]);
        slots.free();
        assert_eq!((slots.take_peak(), slots.in_flight()), (2, 1));
        slots.set_limit(1);
        assert_eq!(slots.take(), Err(1));
        slots.grow(5, 9);
        assert_eq!(slots.limit(), 1, "somebody else was first");
        slots.grow(1, 2);
        assert_eq!(slots.take(), Ok(2));
        slots.retake();
        assert_eq!((slots.in_flight(), slots.take_peak(), slots.take()), (3, 3, Err(2)), "above the limit");
    }

    #[test]
    fn threads_never_exceed_the_limit_and_leave_nothing_behind() {
        let slots = Slots::new(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if let Ok(taken) = slots.take() {
                            assert!(taken <= 3);
                            slots.free();
                        }
                    }
                });
            }
        });
        assert_eq!(slots.in_flight(), 0);
        assert!(slots.take_peak() <= 3);
    }
}
