//! What was said last?

use crate::{
    endpoint::{Endpoint, Found},
    resolve::Snapshot,
};

/// The last answer of a source that has no leases. Who says the same again says it with the same snapshot, which
/// costs its readers a comparison of pointers.
#[derive(Debug, Default)]
pub(super) struct Said(Option<Snapshot>);

impl Said {
    /// The answer of these endpoints, the one before if they are the same; `skipped` records made no sense.
    pub(super) fn say(&mut self, endpoints: Vec<Endpoint>, skipped: usize) -> Snapshot {
        let same = |said: &&Snapshot| {
            let known = said.found().iter().map(|found| &*found.endpoint);
            said.skipped() == skipped && known.eq(&endpoints)
        };
        if let Some(said) = self.0.as_ref().filter(same) {
            return said.clone();
        }
        let snapshot = Snapshot::new(endpoints.into_iter().map(Found::new)).skipping(skipped);
        self.0 = Some(snapshot.clone());
        snapshot
    }

    /// The last answer once more.
    #[cfg(feature = "kubernetes")]
    pub(super) fn again(&self) -> Option<Snapshot> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_same_is_said_with_the_same_snapshot_and_anything_else_with_another() {
        let at = |port: u16| Endpoint::at(([127, 0, 0, 1], port).into());
        let mut said = Said::default();
        let first = said.say(vec![at(1), at(2)], 0);
        assert!(Arc::ptr_eq(first.found(), said.say(vec![at(1), at(2)], 0).found()));
        for (endpoints, skipped) in
            [(vec![at(1)], 0), (vec![at(2), at(1)], 0), (vec![at(2), at(1)], 1), (Vec::new(), 0)]
        {
            let other = said.say(endpoints.clone(), skipped);
            assert!(!Arc::ptr_eq(first.found(), other.found()));
            assert_eq!((other.found().len(), other.skipped()), (endpoints.len(), skipped));
        }
    }
}
