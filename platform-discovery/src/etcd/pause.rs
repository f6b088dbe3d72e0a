//! How long is a cluster left alone that cannot answer?

use std::time::Duration;

use platform_core::recovery::backoff::doubled;

/// Anything from nothing to [`FIRST`], doubled with every failure up to [`LONGEST`] ("full jitter"): whoever lost
/// the cluster together does not come back together. `roll` is a dice roll from 0.0 to 1.0.
pub(crate) fn pause(failures: u32, roll: f64) -> Duration {
    if failures == 0 { Duration::ZERO } else { doubled(FIRST, failures, LONGEST).mul_f64(roll) }
}

/// A member that restarts is away for a few of these.
const FIRST: Duration = Duration::from_millis(100);
/// On average half of it: a registry that is back is heard of well before the hold of vanished endpoints ends.
const LONGEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_doubles_up_to_the_cap() {
        let table = [(0, 0), (1, 100), (2, 200), (6, 3_200), (7, 5_000), (33, 5_000), (u32::MAX, 5_000)];
        for (failures, most) in table {
            assert_eq!(pause(failures, 1.0).as_millis(), most, "{failures}");
            assert_eq!(pause(failures, 0.5), pause(failures, 1.0) / 2, "{failures}");
            assert_eq!(pause(failures, 0.0), Duration::ZERO, "{failures}");
        }
    }
}
