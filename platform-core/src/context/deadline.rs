//! Deadline: an instant, its remainder, the earlier of two.

use std::time::Duration;

use tokio::time::Instant;

use crate::tick::Tick;

/// The instant after which nobody waits for the answer.
///
/// Relative on the wire and absolute inside, so that clocks of two machines are never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Tick);

impl Deadline {
    /// The deadline at `instant`.
    pub fn at(instant: impl Into<Tick>) -> Self {
        Deadline(instant.into())
    }

    /// The deadline `length` after `now`; `None` if that is beyond what the clock can say.
    pub fn after(now: impl Into<Tick>, length: Duration) -> Option<Self> {
        now.into().after(length).map(Deadline)
    }

    /// The instant itself.
    pub fn instant(self) -> Instant {
        self.0.instant()
    }

    /// The same as a number.
    pub(crate) const fn tick(self) -> Tick {
        self.0
    }

    /// What is left at `now`; zero once it has passed.
    pub fn remaining(self, now: impl Into<Tick>) -> Duration {
        self.0.since(now.into())
    }

    /// Has it passed at `now`?
    pub fn has_passed(self, now: impl Into<Tick>) -> bool {
        self.0 <= now.into()
    }

    /// The earlier of two.
    #[must_use]
    pub fn earlier(self, other: Deadline) -> Deadline {
        self.min(other)
    }
}
