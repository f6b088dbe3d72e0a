//! The same key to the same endpoint.

use platform_core::Context;

use super::{Pick, ReadySet, hash};

/// Asks the endpoint to which the call's key belongs on a ring, while it is not much busier than the others.
///
/// The roll *is* the key: [`Balance::roll`](super::Balance::roll) makes it from the call, and one without a key goes
/// anywhere. For targets that keep something for each key, such as a cache: all clients ask the same endpoint for it,
/// so neither zones nor subsets are looked at. When an endpoint comes or leaves, only the keys that it takes or gives
/// away move.
///
/// An endpoint that has [`BOUND`] times its share of this process's calls in flight is passed over, and its keys go to
/// the next ones on the ring until it has caught up (Mirrokni, Thorup, Zadimoghaddam, *Consistent hashing with bounded
/// loads*): one hot key does not sink one endpoint. Its share is that of all endpoints of the target, whichever variants
/// and versions they are: a few that get a small part of the traffic are not allowed as much as all the others together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RingHash;

impl<C> Pick<C> for RingHash {
    fn pick(&self, ready: &ReadySet<C>, _context: &Context, roll: u64) -> Option<usize> {
        ready.by_key(roll)
    }
}

/// The key of a call from what is given for it, the same in every process.
pub(super) fn key(given: &[u8]) -> u64 {
    hash::bytes(given)
}

/// A quarter above the mean: the paper's example, and what Vimeo and HAProxy set; below it keys wander, above it the
/// busiest endpoint decides how slow the target is.
pub const BOUND: f64 = 1.25;
