//! Knobs: what every call reads of its policy; the rest is read by those that fail.

use super::ClientPolicy;
use crate::{
    deadline::{Limit, NEVER},
    recovery::Recovery,
    tick::nanos,
};

/// What an attempt is held to, and all attempts of a call.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) knobs: Knobs,
    /// What the whole call is held to.
    pub(super) whole: Option<Limit>,
}

/// Four numbers of one policy, read together ([`Together`](crate::config::Together)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Knobs {
    /// In nanoseconds; [`NEVER`] is no limit.
    pub(super) timeout: u64,
    /// The same.
    pub(super) attempt_timeout: u64,
    /// A [`number`]: it is asked for three times in a call, and told to nobody.
    recovery: u64,
    /// The largest body that is kept for a repeat, in bytes.
    pub(super) body: u64,
}

impl Knobs {
    /// Those of `policy`, as they are kept.
    pub(super) fn words(policy: &ClientPolicy) -> [u64; 4] {
        [
            policy.timeout.map_or(NEVER, nanos),
            policy.attempt_timeout.map_or(NEVER, nanos),
            number(policy.recovery),
            policy.retry.body,
        ]
    }

    #[inline]
    pub(super) fn of([timeout, attempt_timeout, recovery, body]: [u64; 4]) -> Self {
        Knobs { timeout, attempt_timeout, recovery, body }
    }

    /// Is this what is done about an attempt that failed?
    #[inline]
    pub(super) fn recovers_by(&self, recovery: Recovery) -> bool {
        self.recovery == number(recovery)
    }
}

/// The number of a way to recover.
const fn number(recovery: Recovery) -> u64 {
    match recovery {
        Recovery::None => 0,
        Recovery::Retry => 1,
        Recovery::Hedge => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_set_is_what_is_read() {
        let policy = ClientPolicy { timeout: Some(Duration::from_millis(7)), ..ClientPolicy::default() };
        const ALL: [Recovery; 3] = [Recovery::None, Recovery::Retry, Recovery::Hedge];
        for recovery in ALL {
            let policy = ClientPolicy { recovery, attempt_timeout: None, ..policy };
            let knobs = Knobs::of(Knobs::words(&policy));
            let Knobs { timeout, attempt_timeout, body, .. } = knobs;
            assert_eq!((timeout, attempt_timeout, body), (7_000_000, NEVER, policy.retry.body));
            assert_eq!(ALL.map(|one| knobs.recovers_by(one)), ALL.map(|one| one == recovery));
        }
    }
}
