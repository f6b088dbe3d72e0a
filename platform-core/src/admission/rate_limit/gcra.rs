//! GCRA: the generic cell rate algorithm on plain numbers.

/// How far apart calls are when they come evenly, and how far ahead of that they may be. In nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gcra {
    interval: u64,
    tolerance: u64,
}

impl Gcra {
    /// `per_second` calls a second, `burst` of them at once. What [`Config`](super::Config) refuses is bent to
    /// what can be counted.
    pub(super) fn new(per_second: f64, burst: u32) -> Self {
        // Rounded up, so that never more is allowed than was promised; as `f64` to integer saturates, a rate of
        // nothing is an interval without end.
        Gcra::of_interval((NANOS_PER_SECOND / per_second).ceil() as u64, burst)
    }

    pub(super) fn of_interval(interval: u64, burst: u32) -> Self {
        let interval = interval.clamp(1, LONGEST);
        Gcra { interval, tolerance: interval.saturating_mul(u64::from(burst.max(1))).min(LONGEST) }
    }

    pub(super) fn words(self) -> [u64; 2] {
        [self.interval, self.tolerance]
    }

    /// What [`words`](Self::words) says.
    #[inline]
    pub(super) fn of_words([interval, tolerance]: [u64; 2]) -> Self {
        Gcra { interval, tolerance }
    }

    /// The arrival time after a call at `now`, or how long until one would pass.
    #[inline]
    pub(super) fn next(self, arrival: u64, now: u64) -> Result<u64, u64> {
        let next = arrival.max(now).saturating_add(self.interval);
        // A call passes if the even stream, this call included, is no further ahead than a burst.
        match next.saturating_sub(self.tolerance).checked_sub(now) {
            None | Some(0) => Ok(next),
            Some(early) => Err(early),
        }
    }

    /// Is nothing used any more?
    pub(super) fn is_full(arrival: u64, now: u64) -> bool {
        arrival <= now
    }

    /// The arrival time by this rule of a key that has used the same number of calls by the rule `before`; a burst
    /// at most.
    pub(super) fn take_over(self, before: Gcra, arrival: u64, now: u64) -> u64 {
        let used = u128::from(arrival.saturating_sub(now));
        let scaled = used * u128::from(self.interval) / u128::from(before.interval);
        now + u64::try_from(scaled).unwrap_or(u64::MAX).min(self.tolerance)
    }
}

const NANOS_PER_SECOND: f64 = 1e9;

/// A hundred years: whatever is longer is never, and sums with it do not overflow.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rate_is_in_numbers() {
        let table = [
            (100.0, 100, 10_000_000, 1_000_000_000),
            (3.0, 1, 333_333_334, 333_333_334),
            (0.1, 2, 10_000_000_000, 20_000_000_000),
            // What the configuration refuses does no harm.
            (1e12, 5, 1, 5),
            (0.0, 5, LONGEST, LONGEST),
            (-1.0, 0, 1, 1),
            (f64::NAN, 1, 1, 1),
        ];
        for (per_second, burst, interval, tolerance) in table {
            assert_eq!(Gcra::new(per_second, burst), Gcra { interval, tolerance }, "{per_second}");
        }
    }

    #[test]
    fn who_passes_and_who_waits_how_long() {
        let gcra = Gcra::of_interval(10, 3);
        let table = [
            (0, 0, Ok(10)),
            (20, 0, Ok(30)),
            (21, 0, Err(1)),
            (30, 0, Err(10)),
            (30, 10, Ok(40)),
            (30, 9, Err(1)),
            (30, 1_000, Ok(1_010)),
        ];
        for (arrival, now, answer) in table {
            assert_eq!(gcra.next(arrival, now), answer, "{arrival} at {now}");
        }
    }
}
