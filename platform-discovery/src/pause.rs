//! How long until somebody is asked again?
//!
//! Never all at the same moment: who was started together, or lost a registry together, would ask together for ever.
//! A `roll` is a dice roll from 0.0 to 1.0.

use std::time::Duration;

#[cfg(any(feature = "consul", feature = "kubernetes"))]
use platform_core::recovery::backoff::doubled;

/// Between nine and eleven tenths of `every`.
pub(crate) fn around(every: Duration, roll: f64) -> Duration {
    every.mul_f64(1.0 - JITTER + 2.0 * JITTER * roll)
}

/// The later half of `whole`: a pause that keeps most of its length.
pub(crate) fn later_half(whole: Duration, roll: f64) -> Duration {
    whole.mul_f64(0.5 + 0.5 * roll)
}

/// For a server that many of us ask: 1, 2, 4 … 30 s, half of it at random, so that one that comes back is not asked by
/// all at once.
#[cfg(any(feature = "consul", feature = "kubernetes"))]
pub(crate) fn of_server(failures: u32, roll: f64) -> Duration {
    later_half(doubled(FIRST, failures, LONGEST), roll)
}

/// A tenth tears apart what was started together, within ten rounds.
const JITTER: f64 = 0.1;
#[cfg(any(feature = "consul", feature = "kubernetes"))]
const FIRST: Duration = Duration::from_secs(1);
/// A server that is down comes back in a minute or two; half of that is soon enough.
#[cfg(any(feature = "consul", feature = "kubernetes"))]
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn around_is_a_tenth_either_way() {
        let every = Duration::from_secs(10);
        for (roll, wanted) in [(0.0, 9_000), (0.5, 10_000), (1.0, 11_000)] {
            assert_eq!(around(every, roll).as_millis(), wanted);
        }
    }

    #[cfg(feature = "consul")]
    #[test]
    fn a_server_is_left_alone_for_longer_and_longer() {
        let table =
            [(1, 1_000), (2, 2_000), (3, 4_000), (5, 16_000), (6, 30_000), (9, 30_000), (u32::MAX, 30_000)];
        for (failures, whole) in table {
            assert_eq!(of_server(failures, 1.0).as_millis(), whole, "{failures}");
            assert_eq!(of_server(failures, 0.0).as_millis(), whole / 2, "{failures}");
        }
    }
}
