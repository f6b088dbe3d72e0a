//! Tally: how many there were, what became of them, and how long they took.
//!
//! Counts since the start of a process, as the metrics have them. Two of them give what happened in between, and those
//! of many instances give the whole fleet's: histograms are added, so that a percentile of all is one of all, and no
//! average of percentiles.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use platform_core::{Outcome, telemetry::Histogram};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Tally {
    /// By the outcome's label.
    outcomes: BTreeMap<String, u64>,
    /// Upper bounds of durations in nanoseconds, ascending.
    bounds: Vec<u64>,
    /// Up to each bound and above the one before, and above all.
    buckets: Vec<u64>,
}

/// What was counted in the past, second by second.
#[derive(Debug, Default)]
pub(super) struct History {
    recent: VecDeque<(Instant, Tally)>,
    line: VecDeque<[u64; 2]>,
}

impl Tally {
    /// Adds the calls of one series.
    pub(super) fn add(&mut self, outcome: Outcome, histogram: &Histogram) {
        let buckets = histogram.counts();
        let bounds = histogram.bounds().map(|bound| u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX));
        let outcomes = BTreeMap::from([(outcome.label().to_owned(), buckets.iter().sum())]);
        self.merge(&Tally { outcomes, bounds: bounds.collect(), buckets });
    }

    /// Adds what another one counted. Where they have other bounds, those that both have are kept: what was counted up
    /// to such a one is exact.
    pub(super) fn merge(&mut self, other: &Tally) {
        for (outcome, count) in &other.outcomes {
            let sum = self.outcomes.entry(outcome.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        if other.buckets.is_empty() {
            return;
        }
        if self.buckets.is_empty() {
            (self.bounds, self.buckets) = (other.bounds.clone(), other.buckets.clone());
            return;
        }
        if self.bounds != other.bounds {
            let common = |bound: &u64| other.bounds.binary_search(bound).is_ok();
            let bounds: Vec<u64> = self.bounds.iter().copied().filter(common).collect();
            self.buckets = self.coarse(&bounds);
            self.bounds = bounds;
        }
        for (sum, more) in self.buckets.iter_mut().zip(other.coarse(&self.bounds)) {
            *sum = sum.saturating_add(more);
        }
    }

    /// What was counted since `earlier`; nothing if it was begun anew in between.
    pub(super) fn since(&self, earlier: &Tally) -> Option<Tally> {
        let fewer = |outcome: &String| !self.outcomes.contains_key(outcome);
        if earlier.outcomes.keys().any(fewer)
            || (!earlier.buckets.is_empty() && earlier.bounds != self.bounds)
        {
            return None;
        }
        let before = |outcome: &String| earlier.outcomes.get(outcome).copied().unwrap_or_default();
        let outcomes = self
            .outcomes
            .iter()
            .map(|(outcome, count)| Some((outcome.clone(), count.checked_sub(before(outcome))?)));
        let before = earlier.buckets.iter().copied().chain(std::iter::repeat(0));
        let buckets = self.buckets.iter().zip(before).map(|(count, before)| count.checked_sub(before));
        Some(Tally {
            outcomes: outcomes.collect::<Option<_>>()?,
            bounds: self.bounds.clone(),
            buckets: buckets.collect::<Option<_>>()?,
        })
    }

    /// How many there were, without those that nobody waited for.
    pub(super) fn calls(&self) -> u64 {
        self.counted(|outcome| outcome != Outcome::Abandoned)
    }

    /// How many of them failed: not for what the caller asked, and not because it left.
    pub(super) fn failed(&self) -> u64 {
        self.counted(|outcome| {
            !matches!(outcome, Outcome::Success | Outcome::CallerFault | Outcome::Abandoned)
        })
    }

    /// The duration that this share of them did not exceed, by straight lines between the bounds; `true` where all that
    /// is known is that it was longer than the last bound.
    pub(super) fn quantile(&self, share: f64) -> Option<(Duration, bool)> {
        let total: u64 = self.buckets.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = share * total as f64;
        let (mut below, mut lower) = (0, 0);
        for (count, upper) in self.buckets.iter().zip(&self.bounds) {
            if (below + count) as f64 >= rank && *count > 0 {
                let part = ((rank - below as f64) / *count as f64).clamp(0.0, 1.0);
                let nanos = lower as f64 + (upper - lower) as f64 * part;
                return Some((Duration::from_nanos(nanos as u64), false));
            }
            (below, lower) = (below + count, *upper);
        }
        Some((Duration::from_nanos(lower), true))
    }

    /// Does it make sense? Others tell theirs, and what they tell is not believed unseen.
    pub(super) fn is_sound(&self) -> bool {
        let known = |label: &String| Outcome::ALL.iter().any(|outcome| outcome.label() == label);
        let fits = self.buckets.is_empty() || self.buckets.len() == self.bounds.len() + 1;
        let ascends = self.bounds.windows(2).all(|pair| pair[0] < pair[1]);
        fits && ascends && self.bounds.len() <= MOST_BOUNDS && self.outcomes.keys().all(known)
    }

    /// What the page shows of it, if it was counted in this time.
    pub(super) fn shown(&self, within: Duration) -> Value {
        let seconds = within.as_secs_f64().max(f64::MIN_POSITIVE);
        let quantile = |share| {
            self.quantile(share).map(
                |(length, more)| json!({ "ms": (length.as_secs_f64() * 1e4).round() / 10.0, "more": more }),
            )
        };
        let outcomes: BTreeMap<_, _> = self.outcomes.iter().filter(|(_, count)| **count > 0).collect();
        json!({
            "rate": (self.calls() as f64 / seconds * 100.0).round() / 100.0,
            "calls": self.calls(),
            "failed": self.failed(),
            "outcomes": outcomes,
            "p50": quantile(0.5),
            "p99": quantile(0.99),
        })
    }

    fn counted(&self, wanted: impl Fn(Outcome) -> bool) -> u64 {
        let all = Outcome::ALL.iter().filter(|outcome| wanted(**outcome));
        all.filter_map(|outcome| self.outcomes.get(outcome.label())).sum()
    }

    /// The buckets by fewer bounds, all of which are its own.
    fn coarse(&self, bounds: &[u64]) -> Vec<u64> {
        let mut coarse = vec![0_u64; bounds.len() + 1];
        for (at, count) in self.buckets.iter().enumerate() {
            let place =
                self.bounds.get(at).map_or(bounds.len(), |upper| bounds.partition_point(|b| b < upper));
            coarse[place] = coarse[place].saturating_add(*count);
        }
        coarse
    }
}

impl History {
    /// Keeps what is counted by now, once a second.
    pub(super) fn push(&mut self, now: Instant, tally: Tally) {
        if let Some((_, last)) = self.recent.back() {
            match tally.since(last) {
                Some(new) => self.line.push_back([new.calls(), new.failed()]),
                None => {
                    self.recent.clear();
                    self.line.push_back([0, 0]);
                }
            }
        }
        self.recent.push_back((now, tally));
        while self.recent.len() > WINDOW + 1 {
            self.recent.pop_front();
        }
        while self.line.len() > LINE {
            self.line.pop_front();
        }
    }

    /// What happened in the last [`WINDOW`] seconds, or since it is known, and how long that is.
    pub(super) fn window(&self) -> (Tally, Duration) {
        let ends = self.recent.front().zip(self.recent.back());
        ends.and_then(|((from, first), (to, last))| Some((last.since(first)?, *to - *from)))
            .unwrap_or_default()
    }

    /// Calls and failures of each second, the last one last.
    pub(super) fn line(&self) -> &VecDeque<[u64; 2]> {
        &self.line
    }
}

/// Seconds that rates and percentiles are taken of: short enough to follow an outage, long enough not to flicker.
const WINDOW: usize = 10;
/// Seconds of the line: what was before somebody opened the page.
pub(super) const LINE: usize = 120;
/// Far more than any service declares.
const MOST_BOUNDS: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    fn tally(bounds: &[u64], buckets: &[u64], outcomes: &[(&str, u64)]) -> Tally {
        let outcomes = outcomes.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect();
        Tally { outcomes, bounds: bounds.to_vec(), buckets: buckets.to_vec() }
    }

    #[test]
    fn a_quantile_lies_between_the_bounds_of_its_bucket() {
        let tally = tally(&[10 * MS, 20 * MS], &[50, 40, 10], &[]);
        for (share, millis, more) in [(0.5, 10, false), (0.7, 15, false), (0.9, 20, false), (0.99, 20, true)]
        {
            assert_eq!(tally.quantile(share), Some((Duration::from_millis(millis), more)), "{share}");
        }
        assert_eq!(Tally::default().quantile(0.5), None);
    }

    #[test]
    fn bounds_that_only_one_has_are_given_up_and_nothing_is_lost() {
        let mut sum = tally(&[10, 20, 30], &[1, 2, 3, 4], &[("ok", 10)]);
        sum.merge(&tally(&[10, 30, 40], &[5, 6, 7, 8], &[("ok", 25), ("server", 1)]));
        assert_eq!(sum, tally(&[10, 30], &[6, 11, 19], &[("ok", 35), ("server", 1)]));
    }

    #[test]
    fn who_began_anew_says_nothing_about_the_time_between() {
        let before = tally(&[10], &[5, 5], &[("ok", 10)]);
        assert_eq!(tally(&[10], &[1, 0], &[("ok", 1)]).since(&before), None);
        assert_eq!(tally(&[10], &[6, 5], &[("server", 20)]).since(&before), None);
        let after = tally(&[10], &[6, 7], &[("ok", 11), ("timeout", 2)]);
        assert_eq!(after.since(&before), Some(tally(&[10], &[1, 2], &[("ok", 1), ("timeout", 2)])));
        let all = after.since(&Tally::default());
        assert_eq!(all, Some(after));
    }

    #[test]
    fn what_callers_did_wrong_and_who_left_are_no_failures() {
        let outcomes = [("ok", 1), ("caller", 2), ("abandoned", 4), ("server", 8), ("local", 16)];
        let tally = tally(&[], &[], &outcomes);
        assert_eq!((tally.calls(), tally.failed()), (27, 24));
    }

    #[tokio::test(start_paused = true)]
    async fn a_history_keeps_ten_seconds_of_durations_and_two_minutes_of_counts() {
        let (start, mut history) = (Instant::now(), History::default());
        assert_eq!(history.window(), (Tally::default(), Duration::ZERO));
        for second in 0..200_u64 {
            let now = start + Duration::from_secs(second);
            history.push(now, tally(&[10], &[3 * second, second], &[("ok", 3 * second), ("server", second)]));
        }
        let (window, length) = history.window();
        assert_eq!((window.calls(), window.failed(), length), (40, 10, Duration::from_secs(10)));
        assert_eq!(history.line().len(), LINE);
        assert!(history.line().iter().all(|second| *second == [4, 1]));
        history.push(start + Duration::from_secs(200), Tally::default());
        assert_eq!(history.window().0, Tally::default(), "it began anew");
    }

    #[test]
    fn what_makes_no_sense_is_not_believed() {
        let sound = tally(&[10, 20], &[1, 2, 3], &[("ok", 6)]);
        assert!(sound.is_sound() && Tally::default().is_sound());
        for unsound in [
            tally(&[10, 20], &[1, 2], &[]),
            tally(&[20, 10], &[1, 2, 3], &[]),
            tally(&[], &[], &[("<script>", 1)]),
        ] {
            assert!(!unsound.is_sound(), "{unsound:?}");
        }
    }

    proptest! {
        /// A percentile of many instances is that of all their calls, to within the bucket where it lies.
        #[test]
        fn merged_percentiles_are_those_of_all_calls(
            instances in proptest::collection::vec(proptest::collection::vec(1_u64..2_000, 1..40), 1..6),
            share in 0.01_f64..1.0,
        ) {
            let bounds: Vec<u64> = [5, 10, 50, 100, 500, 1_000].to_vec();
            let mut merged = Tally::default();
            for instance in &instances {
                let mut buckets = vec![0; bounds.len() + 1];
                instance.iter().for_each(|value| buckets[bounds.partition_point(|bound| bound < value)] += 1);
                merged.merge(&tally(&bounds, &buckets, &[("ok", instance.len() as u64)]));
            }
            let mut all: Vec<u64> = instances.concat();
            all.sort_unstable();
            let exact = all[((share * all.len() as f64).ceil() as usize).clamp(1, all.len()) - 1];
            let (told, more) = merged.quantile(share).unwrap();
            let told = u64::try_from(told.as_nanos()).unwrap();
            let upper = bounds.iter().copied().find(|bound| exact <= *bound);
            let lower = bounds.iter().copied().rfind(|bound| exact > *bound).unwrap_or(0);
            match upper {
                Some(upper) => prop_assert!(!more && (lower..=upper).contains(&told), "{told} for {exact}"),
                None => prop_assert!(more && told == 1_000, "{told} for {exact}"),
            }
        }
    }
}
