//! What does this answer mean?

use crate::outcome::{Hint, Outcome};

/// Judges a reply; a protocol has one, a team may bring its own.
///
/// Errors carry their own outcome ([`Error::outcome`](crate::Error::outcome)); only replies need judging.
pub trait Classify<R>: Send + Sync + 'static {
    /// The meaning of `reply`, and what it says about coming back.
    fn classify(&self, reply: &R) -> (Outcome, Hint);
}

impl<R, F> Classify<R> for F
where
    F: Fn(&R) -> (Outcome, Hint) + Send + Sync + 'static,
{
    fn classify(&self, reply: &R) -> (Outcome, Hint) {
        self(reply)
    }
}
