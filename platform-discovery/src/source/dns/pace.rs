//! When do we ask again?

use std::time::Duration;

use platform_core::recovery::backoff::doubled;

/// What the last question brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brought {
    /// Records that hold for so long.
    Records(Duration),
    /// Nobody; for so long, where the zone says.
    Nobody(Option<Duration>),
    /// Nothing, so many times in a row.
    Failure(u32),
}

/// The pause before the next question. The roll, 0.0 to 1.0, makes it up to a tenth longer: processes that were
/// started together do not ask together for ever, and what was just asked has then really ended.
pub(super) fn pause(brought: Brought, roll: f64) -> Duration {
    let pause = match brought {
        Brought::Records(ttl) => ttl.clamp(SHORTEST, LONGEST),
        Brought::Nobody(ttl) => ttl.unwrap_or(NOBODY).clamp(SHORTEST, NOBODY),
        Brought::Failure(times) => doubled(SHORTEST, times, FAILURE_LONGEST),
    };
    pause.mul_f64(1.0 + 0.1 * roll)
}

/// Whoever writes a time of 0 wants to be asked at once; a question a second and target is what that is worth.
const SHORTEST: Duration = Duration::from_secs(1);
/// A record that holds for a day was not meant to; nobody waits longer than this for a move to be seen.
const LONGEST: Duration = Duration::from_secs(300);
/// Zones let "nobody" hold for an hour; who has just registered should not wait for that.
const NOBODY: Duration = Duration::from_secs(10);
/// A server that is down comes back in a minute or two; half of that is soon enough.
const FAILURE_LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use Brought::{Failure, Nobody, Records};

    #[test]
    fn the_times_of_dns_are_kept_between_a_second_and_five_minutes() {
        let seconds = Duration::from_secs;
        let table = [
            (Records(seconds(0)), 1),
            (Records(seconds(1)), 1),
            (Records(seconds(30)), 30),
            (Records(seconds(86_400)), 300),
            (Nobody(None), 10),
            (Nobody(Some(seconds(0))), 1),
            (Nobody(Some(seconds(5))), 5),
            (Nobody(Some(seconds(3_600))), 10),
            (Failure(1), 1),
            (Failure(2), 2),
            (Failure(4), 8),
            (Failure(6), 30),
            (Failure(u32::MAX), 30),
        ];
        for (brought, wanted) in table {
            assert_eq!(pause(brought, 0.0), seconds(wanted), "{brought:?}");
            assert_eq!(pause(brought, 1.0), seconds(wanted).mul_f64(1.1), "{brought:?}");
        }
    }
}
