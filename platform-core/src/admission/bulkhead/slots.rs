//! Slots: so many places, and who waits for one.
//!
//! Two numbers and a queue. Who takes a place where nobody waits, and who leaves one for which nobody waits, touches
//! the numbers only. The order of the accesses is what keeps anybody from sleeping beside a free place: who waits
//! *says so, then looks* for a place; who leaves *frees the place, then looks* for somebody who waits; one of the two
//! sees the other. And who stops waiting, for whatever reason, wakes the next if a place is free.

use std::{
    pin::pin,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

use tokio::sync::Notify;

/// Places, as many as its user says.
#[derive(Debug, Default)]
pub(super) struct Slots {
    max: AtomicU32,
    taken: AtomicU32,
    waiting: AtomicU32,
    freed: Notify,
}

/// Somebody who waits.
pub(super) struct Waiter<'a> {
    slots: &'a Slots,
    /// Nobody was there before, so nobody has to be let in first.
    first: bool,
}

impl Slots {
    pub(super) fn new(max: u32) -> Self {
        Slots { max: AtomicU32::new(max), ..Slots::default() }
    }

    pub(super) fn max(&self) -> u32 {
        self.max.load(SeqCst)
    }

    pub(super) fn set_max(&self, max: u32) {
        self.max.store(max, SeqCst);
        // Wakes one or meets the next one to come; each who finds a place wakes another.
        self.freed.notify_one();
    }

    pub(super) fn taken(&self) -> u32 {
        self.taken.load(SeqCst)
    }

    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst)
    }

    /// Takes a place, if there is one. Never more than `max`, not even for a moment.
    pub(super) fn take(&self) -> bool {
        let max = self.max();
        self.taken.fetch_update(SeqCst, SeqCst, |taken| (taken < max).then(|| taken + 1)).is_ok()
    }

    /// Leaves a place.
    pub(super) fn leave(&self) {
        let before = self.taken.fetch_sub(1, SeqCst);
        debug_assert!(before > 0, "a place was left that nobody had");
        if self.waiting() > 0 {
            self.freed.notify_one();
        }
    }

    /// Stands in line, if the line is no longer than there are places.
    pub(super) fn stand(&self) -> Option<Waiter<'_>> {
        let max = self.max();
        let before =
            self.waiting.fetch_update(SeqCst, SeqCst, |waiting| (waiting < max).then(|| waiting + 1));
        before.ok().map(|before| Waiter { slots: self, first: before == 0 })
    }
}

impl Waiter<'_> {
    /// Waits for a place and takes it.
    pub(super) async fn take(&self) {
        let mut may = self.first;
        loop {
            let mut freed = pin!(self.slots.freed.notified());
            // In line before the look, else a place that is freed in between wakes nobody.
            let called = freed.as_mut().enable();
            if (called || may) && self.slots.take() {
                return;
            }
            freed.await;
            may = true;
        }
    }

    /// Takes a place, whoever else waits: at the end of one's patience.
    pub(super) fn take_now(&self) -> bool {
        self.slots.take()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        // After this, who comes looks for himself; who came before is woken here.
        let others = self.slots.waiting.fetch_sub(1, SeqCst) > 1;
        if others && self.slots.taken() < self.slots.max() {
            self.slots.freed.notify_one();
        }
    }
}
