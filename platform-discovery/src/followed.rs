//! A set that is read along by who calls nobody.

use std::{fmt, sync::Arc};

use crate::{
    endpoint::EndpointSet,
    watch::{Belief, Watch},
};

/// A set that is read along; dropping it ends the watch unless somebody else watches the target.
pub struct Followed {
    watch: Arc<Watch>,
    belief: tokio::sync::watch::Receiver<Belief>,
    /// The version of the set that was told last.
    seen: u64,
}

impl Followed {
    pub(crate) fn new(watch: Arc<Watch>) -> Self {
        Followed { belief: watch.subscribe(), watch, seen: 0 }
    }

    /// All that is believed in now, the draining ones too.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.watch.belief().set
    }

    /// Waits for another set than the one that it told last; the first time for the first answer.
    pub async fn changed(&mut self) -> Arc<EndpointSet> {
        loop {
            let set = Arc::clone(&self.belief.borrow_and_update().set);
            if set.version() != self.seen {
                self.seen = set.version();
                return set;
            }
            if self.belief.changed().await.is_err() {
                // The source has said its last word.
                return std::future::pending().await;
            }
        }
    }
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("target", &self.watch.target).finish_non_exhaustive()
    }
}
