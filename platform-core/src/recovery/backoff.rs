//! Back-off: how long to wait before a repeat, so that clients that failed together do not return together.

use std::time::Duration;

use super::config::Retry;

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// So long.
    After(Duration),
    /// The target named a time that nobody waits for; it is in here.
    TooLong(Duration),
}

/// The wait before repeat number `repeat`, 1 for the first.
///
/// Anything from nothing to the base, doubled with every repeat ("full jitter"). A target that named a time is not
/// asked sooner, and up to half of that time later, [`SPREAD`] at most. `roll` is a dice roll over all of `u64`.
pub fn delay(retry: &Retry, repeat: u32, throttled: bool, hint: Option<Duration>, roll: u64) -> Wait {
    match hint {
        Some(after) if after > LONGEST_HINT => Wait::TooLong(after),
        Some(after) => Wait::After(after + part(SPREAD.min(after / 2), roll)),
        None => {
            let base = if throttled { retry.backoff_throttled } else { retry.backoff };
            Wait::After(part(doubled(base, repeat, retry.backoff_max), roll))
        }
    }
}

/// `first` for the first of several tries, twice as long for each one more, and `longest` at most.
pub fn doubled(first: Duration, tries: u32, longest: Duration) -> Duration {
    let doubled = 1_u32.checked_shl(tries.saturating_sub(1)).map(|times| first.saturating_mul(times));
    doubled.unwrap_or(Duration::MAX).min(longest)
}

/// From nothing to all of `whole`, both included, each nanosecond as likely as any other.
fn part(whole: Duration, roll: u64) -> Duration {
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX - 1);
    let scaled = u128::from(nanos + 1) * u128::from(roll);
    Duration::from_nanos((scaled >> 64) as u64)
}

/// What a target may ask for. Longer than that is a broken answer, or a repair: a call does not wait for it.
pub const LONGEST_HINT: Duration = Duration::from_secs(300);

/// Clients that were sent away together come back within this time. Five seconds tear any crowd apart; more would
/// punish those who were told to wait long.
pub const SPREAD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn after(wait: Wait) -> Duration {
        match wait {
            Wait::After(length) => length,
            Wait::TooLong(length) => panic!("{length:?} is not too long"),
        }
    }

    #[test]
    fn the_longest_wait_doubles_up_to_the_cap() {
        let retry = Retry::default();
        let table = [
            (1, false, 50),
            (2, false, 100),
            (3, false, 200),
            (9, false, 12_800),
            (10, false, 20_000),
            (32, false, 20_000),
            (33, false, 20_000),
            (u32::MAX, false, 20_000),
            (0, false, 50),
            (1, true, 1000),
            (2, true, 2000),
            (6, true, 20_000),
        ];
        for (repeat, throttled, most) in table {
            let waited = |roll| after(delay(&retry, repeat, throttled, None, roll));
            assert_eq!(waited(u64::MAX), most * MS, "{repeat} {throttled}");
            assert_eq!(waited(0), Duration::ZERO);
            assert_eq!(waited(1 << 63).as_millis(), u128::from(most / 2));
        }
    }

    /// The row of other libraries' tests: clients that failed together are told apart.
    #[test]
    fn four_back_offs_differ() {
        let mut dice = fastrand::Rng::with_seed(7);
        let waits = [(); 4].map(|()| after(delay(&Retry::default(), 1, false, None, dice.u64(..))));
        assert_eq!(waits.into_iter().collect::<BTreeSet<_>>().len(), 4, "{waits:?}");
        let waits = [(); 4].map(|()| after(delay(&Retry::default(), 1, true, Some(2000 * MS), dice.u64(..))));
        assert_eq!(waits.into_iter().collect::<BTreeSet<_>>().len(), 4, "{waits:?}");
    }

    #[test]
    fn every_wait_is_as_likely_as_any_other() {
        let mut dice = fastrand::Rng::with_seed(1);
        let mut tenths = [0_u32; 10];
        for _ in 0..100_000 {
            let wait = after(delay(&Retry::default(), 1, false, None, dice.u64(..)));
            tenths[(wait.as_nanos() / 5_000_001) as usize] += 1;
        }
        // Ten thousand each, give or take four deviations of 95.
        assert!(tenths.iter().all(|n| (9_620..=10_380).contains(n)), "{tenths:?}");
    }

    #[test]
    fn a_target_is_not_asked_sooner_than_it_said() {
        let retry = Retry::default();
        let table = [
            (Duration::ZERO, Wait::After(Duration::ZERO)),
            (100 * MS, Wait::After(150 * MS)),
            (10_000 * MS, Wait::After(15_000 * MS)),
            (60_000 * MS, Wait::After(65_000 * MS)),
            (300_000 * MS, Wait::After(305_000 * MS)),
            (300_001 * MS, Wait::TooLong(300_001 * MS)),
            (Duration::MAX, Wait::TooLong(Duration::MAX)),
        ];
        for (hint, latest) in table {
            assert_eq!(delay(&retry, 1, true, Some(hint), u64::MAX), latest);
            if let Wait::After(_) = latest {
                assert_eq!(delay(&retry, 1, true, Some(hint), 0), Wait::After(hint));
            }
        }
    }

    proptest! {
        #[test]
        fn no_wait_leaves_its_bounds(
            base in 0u64..100_000, most in 0u64..100_000, repeat: u32, throttled: bool, roll: u64,
            hint in prop::option::of(0u64..400_000),
        ) {
            let retry = Retry {
                backoff: Duration::from_millis(base), backoff_throttled: Duration::from_millis(base),
                backoff_max: Duration::from_millis(most), ..Retry::default()
            };
            let hint = hint.map(Duration::from_millis);
            match (delay(&retry, repeat, throttled, hint, roll), hint) {
                (Wait::TooLong(told), Some(hint)) => prop_assert!(told == hint && hint > LONGEST_HINT),
                (Wait::TooLong(_), None) => prop_assert!(false),
                (Wait::After(wait), Some(hint)) => prop_assert!(wait >= hint && wait <= hint + SPREAD),
                (Wait::After(wait), None) => prop_assert!(wait <= retry.backoff_max),
            }
        }
    }
}
