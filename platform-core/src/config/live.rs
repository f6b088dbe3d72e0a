//! Live: the few values that may change while running.

use std::{fmt, ops::Deref, sync::Arc};

use arc_swap::ArcSwap;

/// A value that an operator may change in a running service. Clones share it.
///
/// Reading never waits: a request that has read the old value goes on with it.
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Live<T> {
    /// A value that may change.
    pub fn new(value: T) -> Self {
        Live(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// What it is now. Wait-free; keep it no longer than one decision.
    pub fn load(&self) -> impl Deref<Target = T> + use<T> {
        Now(self.0.load())
    }

    /// Changes it and returns what it was, for the record of changes.
    pub fn set(&self, value: T) -> Arc<T> {
        self.0.swap(Arc::new(value))
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Live(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Live<T> {
    fn default() -> Self {
        Live::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&*self.load()).finish()
    }
}

/// One reading; hides arc-swap.
struct Now<T>(arc_swap::Guard<Arc<T>>);

impl<T> Deref for Now<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_by_every_clone_and_the_old_value_comes_back() {
        let live = Live::new("info".to_owned());
        let other = live.clone();
        let before = live.load();
        assert_eq!(*other.set("debug".to_owned()), "info");
        assert_eq!(*live.load(), "debug");
        assert_eq!(*before, "info", "a reader goes on with what it has read");
    }
}
