//! Deadline: an instant, its remainder, the earlier of two.

use std::time::Duration;

use tokio::time::Instant;

/// The instant after which nobody waits for the answer.
///
/// Relative on the wire and absolute inside, so that clocks of two machines are never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline at `instant`.
    pub const fn at(instant: Instant) -> Self {
        Deadline(instant)
    }

    /// The deadline `length` after `now`; `None` if that is beyond what the clock can say.
    pub fn after(now: Instant, length: Duration) -> Option<Self> {
        now.checked_add(length).map(Deadline)
    }

    /// The instant itself.
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// What is left at `now`; zero once it has passed.
    pub fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Has it passed at `now`?
    pub fn has_passed(self, now: Instant) -> bool {
        self.0 <= now
    }

    /// The earlier of two.
    #[must_use]
    pub fn earlier(self, other: Deadline) -> Deadline {
        self.min(other)
    }
}
