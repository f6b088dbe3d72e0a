//! Knobs: what every call reads of its policy; the rest is read by those that fail.

use super::ClientPolicy;
use crate::{deadline::NEVER, recovery::Recovery, tick::nanos};

/// Four numbers of one policy, read together ([`Together`](crate::config::Together)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Knobs {
    /// In nanoseconds; [`NEVER`] is no limit.
    pub(super) timeout: u64,
    /// The same.
    pub(super) attempt_timeout: u64,
    pub(super) recovery: Recovery,
    /// The largest body that is kept for a repeat, in bytes.
    pub(super) body: u64,
}

impl Knobs {
    /// Those of `policy`, as they are kept.
    pub(super) fn words(policy: &ClientPolicy) -> [u64; 4] {
        [
            policy.timeout.map_or(NEVER, nanos),
            policy.attempt_timeout.map_or(NEVER, nanos),
            match policy.recovery {
                Recovery::None => 0,
                Recovery::Retry => 1,
                Recovery::Hedge => 2,
            },
            policy.retry.body,
        ]
    }

    #[inline]
    pub(super) fn of([timeout, attempt_timeout, recovery, body]: [u64; 4]) -> Self {
        let recovery = match recovery {
            0 => Recovery::None,
            1 => Recovery::Retry,
            _ => Recovery::Hedge,
        };
        Knobs { timeout, attempt_timeout, recovery, body }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_set_is_what_is_read() {
        let policy = ClientPolicy { timeout: Some(Duration::from_millis(7)), ..ClientPolicy::default() };
        for recovery in [Recovery::None, Recovery::Retry, Recovery::Hedge] {
            let policy = ClientPolicy { recovery, attempt_timeout: None, ..policy };
            let knobs = Knobs::of(Knobs::words(&policy));
            let expected =
                Knobs { timeout: 7_000_000, attempt_timeout: NEVER, recovery, body: policy.retry.body };
            assert_eq!(knobs, expected);
        }
    }
}
