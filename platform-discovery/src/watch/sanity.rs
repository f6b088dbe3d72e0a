//! Is this loss to be believed?
//!
//! A registry that restarts empty, that thaws after the life of its leases, or that lists the half it can still
//! read, says the same as a mass death. It is believed only when it says so again a confirmation later.
//!
//! A set is *suspect* when, within one [`CONFIRMATION`], it shrank to nobody, or by two or more and by
//! `discovery.removals.mass` of what it was. Who said `draining` has not vanished, and who came meanwhile makes
//! up for who went, so that neither an announced stop nor a rolling restart is suspect. One alone is never a mass:
//!
//! | ready | one vanishes | two | three |
//! |---|---|---|---|
//! | 1 | suspect: nobody is left | | |
//! | 2 | a death | suspect: nobody is left | |
//! | 3 | a death | suspect: 67 % | suspect |
//! | 4 | a death | suspect: 50 % | suspect |
//! | 10 | a death | deaths | deaths; suspect from five on |
//!
//! A death is believed as ever: after `removals.hold`, at once if its lease has ended. While the set is suspect
//! nobody leaves it; whoever is still missing in an answer one confirmation after he vanished goes then.

use std::{collections::VecDeque, time::Duration};

use platform_core::config::Ratio;
use tokio::time::Instant;

/// A loss that is not believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// Since when.
    pub(crate) since: Instant,
    /// How many were ready before.
    pub(crate) were: usize,
    /// How many the source still tells of.
    pub(crate) are: usize,
}

impl Doubt {
    pub(crate) fn explain(&self, now: Instant) -> String {
        let Doubt { since, were, are } = self;
        let ago = now.saturating_duration_since(*since);
        format!(
            "it told of {are} where there were {were} {ago:.1?} ago, which is believed if it says so {CONFIRMATION:?} later"
        )
    }
}

/// What one answer says, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Ready, and told of by this answer.
    pub(super) heard: usize,
    /// Believed in and not told of, or told of with a lease that has ended.
    pub(super) missing: usize,
    /// Ready before, and draining now.
    pub(super) drained: usize,
}

/// How many there were lately. Pure: the time is an argument.
#[derive(Debug)]
pub(super) struct Sanity {
    mass: Option<Ratio>,
    /// Since when there were so many; the first reaches back to the beginning of the window.
    counts: VecDeque<(Instant, usize)>,
    doubt: Option<Doubt>,
}

impl Sanity {
    /// `None` believes everything.
    pub(super) fn new(mass: Option<Ratio>) -> Self {
        Sanity { mass, counts: VecDeque::new(), doubt: None }
    }

    /// Is the set suspect after this answer?
    pub(super) fn judge(&mut self, tally: Tally, now: Instant) -> Option<Doubt> {
        for (_, count) in &mut self.counts {
            *count = count.saturating_sub(tally.drained);
        }
        if self.doubt.is_none() {
            self.forget(now);
        }
        let were = self.counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
        self.doubt = if tally.missing > 0 && self.is_suspect(were, tally.heard) {
            let since = self.doubt.map_or(now, |doubt| doubt.since);
            Some(Doubt { since, were, are: tally.heard })
        } else {
            None
        };
        if self.counts.back().is_none_or(|(_, count)| *count != tally.heard) {
            self.counts.push_back((now, tally.heard));
        }
        self.doubt
    }

    /// From now on there are so many, whatever there was before.
    pub(super) fn accept(&mut self, count: usize, now: Instant) {
        self.counts.clear();
        self.counts.push_back((now, count));
        self.doubt = None;
    }

    pub(super) fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    fn is_suspect(&self, were: usize, are: usize) -> bool {
        let Some(mass) = self.mass else { return false };
        let lost = were.saturating_sub(are);
        #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 endpoints")]
        let share = lost as f64 / were.max(1) as f64;
        lost > 0 && (are == 0 || (lost >= SMALLEST_MASS && share >= mass.as_f64()))
    }

    fn forget(&mut self, now: Instant) {
        // What was in force when the window began counts, however long ago it began itself.
        while self
            .counts
            .get(1)
            .is_some_and(|(since, _)| now.saturating_duration_since(*since) >= CONFIRMATION)
        {
            self.counts.pop_front();
        }
    }
}

/// One lease (`discovery.register.lease`): a registry that lost its records has those of all the living back within
/// a renewal and its jitter (11 s), and again twice. Who is missing after that is gone, and not only unheard of.
pub(crate) const CONFIRMATION: Duration = Duration::from_secs(30);
/// One that dies is what happens every day; of a pair it would be the half.
const SMALLEST_MASS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sanity() -> Sanity {
        Sanity::new(Some(Ratio::of(0.5)))
    }

    fn heard(heard: usize) -> Tally {
        Tally { heard, ..Tally::default() }
    }

    fn lost(heard: usize, missing: usize) -> Tally {
        Tally { heard, missing, drained: 0 }
    }

    #[test]
    fn the_table_of_small_sets_holds() {
        let now = Instant::now();
        let table = [
            (1, 1, true),
            (2, 1, false),
            (2, 2, true),
            (3, 1, false),
            (3, 2, true),
            (3, 3, true),
            (4, 1, false),
            (4, 2, true),
            (4, 3, true),
            (10, 1, false),
            (10, 4, false),
            (10, 5, true),
            (10, 10, true),
        ];
        for (were, gone, suspect) in table {
            let mut sanity = sanity();
            sanity.judge(heard(were), now);
            let doubt = sanity.judge(lost(were - gone, gone), now);
            assert_eq!(doubt.is_some(), suspect, "{gone} of {were}");
            if let Some(doubt) = doubt {
                assert_eq!(doubt, Doubt { since: now, were, are: were - gone });
            }
        }
    }

    #[test]
    fn losses_add_up_within_one_confirmation_and_not_beyond() {
        let now = Instant::now();
        for (every, suspect) in [(1, true), (7, true), (8, false), (60, false)] {
            let mut sanity = sanity();
            sanity.judge(heard(10), now);
            let mut seen = false;
            // Each that left is forgotten after its hold.
            for gone in 1..=5 {
                let at = now + Duration::from_secs(every * gone as u64);
                seen |= sanity.judge(lost(10 - gone, 1), at).is_some();
            }
            assert_eq!(seen, suspect, "one every {every} s");
        }
    }

    #[test]
    fn what_was_long_ago_still_counts_if_nothing_was_heard_since() {
        let now = Instant::now();
        let mut sanity = sanity();
        sanity.judge(heard(10), now);
        assert!(sanity.judge(lost(0, 10), now + Duration::from_secs(3600)).is_some());
    }

    #[test]
    fn who_drains_has_not_vanished_and_who_comes_makes_up_for_who_goes() {
        let now = Instant::now();
        let mut sanity = sanity();
        sanity.judge(heard(10), now);
        assert_eq!(sanity.judge(Tally { heard: 2, missing: 0, drained: 8 }, now), None);
        assert_eq!(sanity.judge(lost(1, 1), now), None, "one of a pair");

        let mut rolling = self::sanity();
        rolling.judge(heard(10), now);
        for step in 1..=40 {
            // One goes without a word, another comes a second later, again and again.
            let at = now + Duration::from_secs(2 * step);
            assert_eq!(rolling.judge(lost(9, 5), at), None);
            assert_eq!(rolling.judge(lost(10, 5), at + Duration::from_secs(1)), None);
        }
    }

    #[test]
    fn a_doubt_lasts_until_they_are_back_or_the_loss_is_accepted() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut sanity = sanity();
        sanity.judge(heard(10), now);
        sanity.judge(lost(0, 10), later(1));
        let doubt = sanity.judge(lost(3, 7), later(200)).expect("they are not back");
        assert_eq!(doubt, Doubt { since: later(1), were: 10, are: 3 });
        assert_eq!(sanity.judge(lost(6, 4), later(201)), None, "most are back");
        sanity.judge(lost(0, 10), later(300));
        sanity.accept(0, later(330));
        assert_eq!(sanity.doubt(), None);
        assert_eq!(sanity.judge(heard(0), later(331)), None, "nobody is no news");
    }

    #[test]
    fn without_a_limit_everything_is_believed() {
        let now = Instant::now();
        let mut sanity = Sanity::new(None);
        sanity.judge(heard(10), now);
        assert_eq!(sanity.judge(lost(0, 10), now), None);
    }

    proptest! {
        /// Whatever is heard: a set that never fell below half of its peak, nor to nobody, is never suspect; one that
        /// just fell to nobody from somebody always is.
        #[test]
        fn suspicion_is_for_those_who_fell_far(counts in prop::collection::vec(0_usize..20, 1..40), step in 0_u64..40) {
            let now = Instant::now();
            let mut sanity = sanity();
            let mut at = now;
            let mut before = 0;
            for count in &counts {
                let doubt = sanity.judge(lost(*count, 1), at);
                if *count == 0 && before > 0 {
                    prop_assert!(doubt.is_some());
                }
                if let Some(doubt) = doubt {
                    prop_assert!(doubt.are == 0 || 2 * (doubt.were - doubt.are) >= doubt.were);
                    prop_assert!(doubt.since <= at && doubt.were <= *counts.iter().max().unwrap());
                }
                before = *count;
                at += Duration::from_secs(step);
            }
        }
    }
}
