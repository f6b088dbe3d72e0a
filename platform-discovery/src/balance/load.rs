//! How busy is an endpoint with our calls?

use std::sync::atomic::{AtomicU32, Ordering};

/// What is in flight to one endpoint from this process.
///
/// On a cache line of its own: every call writes it twice, and two endpoints side by side would slow each
/// other down. Written by the calls, read by the picks.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Load {
    in_flight: AtomicU32,
}

impl Load {
    // Relaxed: a pick that sees a number of a moment ago chooses a little worse, and nothing depends on it.
    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}
