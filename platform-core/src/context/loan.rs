//! Loan: a request that waits for what its caller still has to send lends its place to others.

use std::{
    sync::atomic::{
        AtomicU8, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};

use crate::tick::nanos;

/// Whose is the place that one served request was given?
///
/// Its page and its body hold it from two ends, perhaps on two threads: each change happens once.
#[derive(Debug, Default)]
pub(crate) struct Loan {
    state: AtomicU8,
    /// For its caller, in nanoseconds.
    waited: AtomicU64,
}

impl Loan {
    /// There is a place, which may be lent from now on.
    pub(crate) fn open(&self) {
        self.state.store(OPEN, Release);
    }

    /// Whether it may be given to others, who have it from now on.
    pub(crate) fn lend(&self) -> bool {
        self.state.compare_exchange(OPEN, LENT, AcqRel, Acquire).is_ok()
    }

    /// Whether it was lent, and no longer is.
    pub(crate) fn take_back(&self) -> bool {
        self.state.compare_exchange(LENT, OPEN, AcqRel, Acquire).is_ok()
    }

    /// It is not lent any more; whether it was, and is not the request's to free.
    pub(crate) fn close(&self) -> bool {
        self.state.swap(CLOSED, AcqRel) == LENT
    }

    /// Do others have it?
    pub(crate) fn is_lent(&self) -> bool {
        self.state.load(Acquire) == LENT
    }

    /// It has waited for so long, and this is no time that the server took.
    pub(crate) fn add_wait(&self, length: Duration) {
        self.waited.fetch_add(nanos(length), Relaxed);
    }

    /// How long it has waited in all.
    pub(crate) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited.load(Relaxed))
    }
}

/// It has none, or none that may be lent.
const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const LENT: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_happens_once() {
        let loan = Loan::default();
        assert!(!loan.lend(), "there is no place");
        loan.open();
        assert!(!loan.take_back() && loan.lend() && loan.is_lent() && !loan.lend());
        assert!(loan.take_back() && !loan.take_back() && !loan.is_lent());
        assert!(loan.lend() && loan.close() && !loan.close());
        assert!(!loan.take_back() && !loan.lend(), "the page is done with it");
    }
}
