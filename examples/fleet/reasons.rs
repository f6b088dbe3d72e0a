//! How did it fail, and how often each?

use std::collections::BTreeMap;

/// Failures by their words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reasons(BTreeMap<String, u64>);

impl Reasons {
    /// Once more; of very many kinds only the first are told apart.
    pub(crate) fn count(&mut self, reason: String) {
        if self.0.len() < MOST_KINDS || self.0.contains_key(&reason) {
            *self.0.entry(reason).or_default() += 1;
        }
    }

    /// The most frequent, as lines; the rest is in the logs.
    pub(crate) fn most(&self) -> impl Iterator<Item = String> {
        let mut reasons: Vec<(&String, &u64)> = self.0.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        reasons.into_iter().take(MOST_TOLD).map(|(reason, count)| format!("  {count} x {reason}"))
    }
}

impl<const N: usize> From<[(&str, u64); N]> for Reasons {
    fn from(reasons: [(&str, u64); N]) -> Self {
        Reasons(reasons.map(|(reason, count)| (reason.to_owned(), count)).into())
    }
}

/// More kinds of failure nobody reads, and each takes memory.
const MOST_KINDS: usize = 50;
/// So many fit on a screen beside the rest.
const MOST_TOLD: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_and_the_most_frequent_are_told() {
        let mut reasons = Reasons::default();
        for (reason, count) in [("gone", 1), ("timeout", 7), ("full", 3)] {
            (0..count).for_each(|_| reasons.count(reason.to_owned()));
        }
        assert_eq!(reasons, Reasons::from([("full", 3), ("gone", 1), ("timeout", 7)]));
        assert_eq!(reasons.most().collect::<Vec<_>>(), ["  7 x timeout", "  3 x full", "  1 x gone"]);
        (0..2 * MOST_KINDS).for_each(|number| reasons.count(number.to_string()));
        reasons.count("gone".to_owned());
        assert_eq!((reasons.0.len(), reasons.0["gone"]), (MOST_KINDS, 2));
        assert_eq!(reasons.most().count(), MOST_TOLD);
    }
}
