//! Which guards has a server?

use std::fmt;

/// A guard of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Guarding {
    /// Work for which nobody waits.
    Expired,
    /// A tenant's contract.
    RateLimit,
    /// Tenants that ask for more than others.
    FairShare,
    /// Importance.
    Shed,
    /// What can be borne at a time.
    Concurrency,
}

impl Guarding {
    /// Every guard, in the order in which they are asked.
    pub const ALL: [Guarding; 5] =
        [Guarding::Expired, Guarding::RateLimit, Guarding::FairShare, Guarding::Shed, Guarding::Concurrency];

    /// The word in errors, labels and on the admin page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Guarding::Expired => "expired",
            Guarding::RateLimit => "rate-limit",
            Guarding::FairShare => "fair-share",
            Guarding::Shed => "shed",
            Guarding::Concurrency => "concurrency",
        }
    }
}

impl fmt::Display for Guarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
