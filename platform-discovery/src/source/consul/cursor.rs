//! From where do we wait for the next change?

/// Where a blocking query goes on. Consul's rules: an index that goes backwards means that its state was restored
/// and nothing that we remember counts, and 0 would not wait at all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor(Option<u64>);

impl Cursor {
    /// The index to wait behind; `None` asks for what is true now.
    pub(super) fn index(&self) -> Option<u64> {
        self.0
    }

    /// An answer came with this index.
    pub(super) fn answered(&mut self, index: u64) {
        self.0 = match self.0 {
            Some(known) if index < known => None,
            _ => Some(index.max(1)),
        };
    }

    /// Whoever was lost asks for what is true now.
    pub(super) fn lost(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_goes_forward_and_starts_over_when_consul_does() {
        let mut cursor = Cursor::default();
        let mut after = |index| {
            cursor.answered(index);
            cursor.index()
        };
        assert_eq!(after(0), Some(1), "0 would not wait");
        assert_eq!(after(7), Some(7));
        assert_eq!(after(7), Some(7));
        assert_eq!(after(6), None, "restored");
        assert_eq!(after(6), Some(6));
        cursor.lost();
        assert_eq!(cursor.index(), None);
    }

    proptest! {
        #[test]
        fn nobody_waits_behind_what_was_not_said_or_for_nothing(said in prop::collection::vec(0_u64..9, 1..40)) {
            let mut cursor = Cursor::default();
            for index in said {
                cursor.answered(index);
                prop_assert!(cursor.index().is_none_or(|known| known == index.max(1)));
            }
        }
    }
}
