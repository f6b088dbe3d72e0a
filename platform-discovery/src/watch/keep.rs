//! What do we keep believing?
//!
//! | what is heard | what is believed |
//! |---|---|
//! | a new endpoint, a changed one, `draining` | at once |
//! | an endpoint is missing that was not draining | it is there for `removals.hold` more |
//! | … and another has its name or its address | it is gone |
//! | a record whose lease has ended | it is gone |
//! | nobody, or far fewer than before ([`sanity`](super::sanity)) | all that was believed before, until it is confirmed |
//! | an error, or nothing | all that was believed before, leases too: nobody can tell who renewed |
//! | nothing yet, and a list was saved ([`snapshot`](super::snapshot)) | the list, until an answer names somebody |

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use platform_core::Error;
use tokio::time::Instant;

use super::sanity::{CONFIRMATION, Doubt, Sanity, Tally};
use crate::{
    config::Removals,
    endpoint::{Endpoint, EndpointSet, Found, State},
    resolve::Snapshot,
};

/// The belief about one target. Pure: the time is an argument.
#[derive(Debug)]
pub(super) struct Keep {
    hold: Duration,
    sanity: Sanity,
    kept: Vec<Kept>,
    set: Arc<EndpointSet>,
    last: Option<Snapshot>,
    answered: Option<Instant>,
    failing: Option<Error>,
    /// What is kept was read from disk, and no source has said anything better.
    recalled: bool,
}

#[derive(Clone, Debug)]
struct Kept {
    endpoint: Arc<Endpoint>,
    expires: Option<Instant>,
    /// Since when it is missing: not told of, or its lease has ended.
    missing: Option<Instant>,
}

/// What an answer changed, as the metric's label says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The set is another.
    Changed,
    /// The set is the same.
    Unchanged,
}

impl Keep {
    pub(super) fn new(removals: Removals) -> Self {
        Keep {
            hold: removals.hold,
            sanity: Sanity::new(removals.mass),
            kept: Vec::new(),
            set: Arc::default(),
            last: None,
            answered: None,
            failing: None,
            recalled: false,
        }
    }

    /// A list of an earlier life, for as long as nobody answers. Does nothing once somebody has.
    pub(super) fn recall(&mut self, saved: Vec<Endpoint>, now: Instant) -> Change {
        if self.last.is_some() || saved.is_empty() {
            return Change::Unchanged;
        }
        self.recalled = true;
        self.merge(&saved.into_iter().map(Found::new).collect::<Vec<_>>(), now);
        self.sanity.accept(self.tally(0).heard, now);
        self.publish()
    }

    /// The source answered.
    pub(super) fn answer(&mut self, snapshot: Snapshot, now: Instant) -> Change {
        self.failing = None;
        let same = self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last.found(), snapshot.found()));
        let drained = if same { 0 } else { self.merge(snapshot.found(), now) };
        self.last = Some(snapshot);
        // Only an answer proves that a lease was not renewed.
        for kept in self.kept.iter_mut().filter(|kept| kept.has_ended(now)) {
            kept.missing.get_or_insert(now);
        }
        if self.recalled && self.tally(0).heard > 0 {
            // What the source says is better than what was saved, also where it says less.
            self.recalled = false;
            self.kept.retain(|kept| kept.missing.is_none());
            self.sanity.accept(self.tally(0).heard, now);
        }
        self.confirm(now);
        if self.sanity.judge(self.tally(drained), now).is_none() {
            self.answered = Some(now);
            self.recalled = false;
            self.kept.retain(|kept| !kept.has_ended(now));
            self.end_holds(now);
        }
        self.publish()
    }

    /// The source failed: nothing changes, and no lease and no hold runs out.
    pub(super) fn failed(&mut self, error: Error) {
        self.failing = Some(error);
    }

    /// The source said that its last answer is true for ever; that confirms it.
    pub(super) fn settle(&mut self, now: Instant) -> Change {
        self.sanity.accept(self.tally(0).heard, now);
        self.kept.retain(|kept| !kept.has_ended(now));
        self.end_holds(now);
        self.publish()
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Instant) -> Change {
        if self.failing.is_none() && self.doubt().is_none() {
            self.end_holds(now);
        }
        self.publish()
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.failing.is_some() || self.doubt().is_some() {
            return None;
        }
        self.kept.iter().filter_map(|kept| kept.missing).min().map(|since| since + self.hold)
    }

    pub(super) fn set(&self) -> &Arc<EndpointSet> {
        &self.set
    }

    /// When the source last said something that was believed.
    pub(super) fn answered(&self) -> Option<Instant> {
        self.answered
    }

    pub(super) fn failing(&self) -> Option<&Error> {
        self.failing.as_ref()
    }

    pub(super) fn doubt(&self) -> Option<Doubt> {
        self.sanity.doubt()
    }

    /// Whether the set was read from disk, and nobody has confirmed it.
    pub(super) fn is_recalled(&self) -> bool {
        self.recalled
    }

    /// How many are missing and still believed in.
    pub(super) fn held(&self) -> usize {
        self.kept.iter().filter(|kept| kept.missing.is_some()).count()
    }

    /// How many records of the last answer made no sense.
    pub(super) fn skipped(&self) -> usize {
        self.last.as_ref().map_or(0, Snapshot::skipped)
    }

    /// Those that would serve who starts while the source is silent.
    pub(super) fn worth_saving(&self) -> Vec<Arc<Endpoint>> {
        let good = |kept: &&Kept| kept.missing.is_none() && kept.endpoint.state == State::Ready;
        self.kept.iter().filter(good).map(|kept| Arc::clone(&kept.endpoint)).collect()
    }

    fn tally(&self, drained: usize) -> Tally {
        let ready = |kept: &&Kept| kept.endpoint.state == State::Ready;
        let missing = self.kept.iter().filter(ready).filter(|kept| kept.missing.is_some()).count();
        Tally { heard: self.kept.iter().filter(ready).count() - missing, missing, drained }
    }

    /// Lets go of those whom this answer lacks as the one a confirmation ago did.
    fn confirm(&mut self, now: Instant) {
        if self.doubt().is_none() {
            return;
        }
        let (before, wait) = (self.kept.len(), CONFIRMATION.max(self.hold));
        self.kept.retain(|kept| kept.missing.is_none_or(|since| now.saturating_duration_since(since) < wait));
        if self.kept.len() < before {
            let Tally { heard, missing, .. } = self.tally(0);
            self.sanity.accept(heard + missing, now);
        }
    }

    /// Takes over a new answer; says how many that were ready drain now.
    fn merge(&mut self, found: &[Found], now: Instant) -> usize {
        let mut new: Vec<Kept> = Vec::with_capacity(found.len());
        for found in found {
            new.push(Kept { endpoint: Arc::clone(&found.endpoint), expires: found.expires, missing: None });
        }
        // In one order always; of two at one address the one that was heard of last is the living.
        new.sort_by(|a, b| order(&a.endpoint).cmp(&order(&b.endpoint)).then(lasts(b.expires, a.expires)));
        new.dedup_by(|b, a| order(&a.endpoint) == order(&b.endpoint));
        let mut newest: Vec<(SocketAddr, Option<Instant>, usize)> = new
            .iter()
            .enumerate()
            .map(|(index, kept)| (kept.endpoint.address, kept.expires, index))
            .collect();
        newest.sort_by(|a, b| a.0.cmp(&b.0).then(lasts(b.1, a.1)));
        newest.dedup_by_key(|(address, ..)| *address);
        if newest.len() < new.len() {
            let living: HashSet<usize> = newest.iter().map(|(.., index)| *index).collect();
            let mut index = 0;
            new.retain(|_| {
                index += 1;
                living.contains(&(index - 1))
            });
        }

        let addresses: HashSet<SocketAddr> = new.iter().map(|kept| kept.endpoint.address).collect();
        let instances: HashSet<&str> = found.iter().map(|found| found.endpoint.instance.as_str()).collect();
        let old = std::mem::take(&mut self.kept);
        let (mut held, mut drained) = (Vec::new(), 0);
        for old in old {
            match new.binary_search_by(|kept| order(&kept.endpoint).cmp(&order(&old.endpoint))) {
                Ok(index) => {
                    let new = &mut new[index];
                    if new.has_ended(now) {
                        new.missing = old.missing;
                    }
                    let states = (old.endpoint.state, new.endpoint.state);
                    drained += usize::from(states == (State::Ready, State::Draining));
                    // What did not change stays the same allocation, so that readers see at a glance.
                    if new.endpoint == old.endpoint {
                        new.endpoint = old.endpoint;
                    }
                }
                Err(_) => {
                    let endpoint = &old.endpoint;
                    let replaced = addresses.contains(&endpoint.address)
                        || instances.contains(endpoint.instance.as_str());
                    if endpoint.state != State::Draining && !replaced {
                        held.push(Kept { missing: old.missing.or(Some(now)), ..old });
                    }
                }
            }
        }
        if !held.is_empty() {
            new.append(&mut held);
            new.sort_by(|a, b| order(&a.endpoint).cmp(&order(&b.endpoint)));
        }
        self.kept = new;
        drained
    }

    fn end_holds(&mut self, now: Instant) {
        self.kept.retain(|kept| kept.missing.is_none_or(|since| since + self.hold > now));
    }

    fn publish(&mut self) -> Change {
        let same = self.set.endpoints().len() == self.kept.len()
            && self.set.endpoints().iter().zip(&self.kept).all(|(old, new)| Arc::ptr_eq(old, &new.endpoint));
        // The first answer counts as a change even if it is empty: somebody may be waiting for it.
        if same && self.set.version() > 0 {
            return Change::Unchanged;
        }
        let endpoints = self.kept.iter().map(|kept| Arc::clone(&kept.endpoint)).collect();
        self.set = Arc::new(EndpointSet::new(endpoints, self.set.version() + 1));
        Change::Changed
    }
}

impl Kept {
    fn has_ended(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

fn order(endpoint: &Endpoint) -> (&str, SocketAddr) {
    (&endpoint.instance, endpoint.address)
}

/// Which lease ends later; one without an end outlasts all.
fn lasts(a: Option<Instant>, b: Option<Instant>) -> std::cmp::Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::ErrorKind;
    use proptest::prelude::*;

    const HOLD: Duration = Duration::from_secs(10);

    fn keep() -> Keep {
        Keep::new(Removals::default())
    }

    /// One that believes every loss.
    fn credulous() -> Keep {
        Keep::new(Removals { mass: None, ..Removals::default() })
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn some(names: std::ops::Range<u16>) -> Vec<Endpoint> {
        names.map(|port| endpoint(&format!("i{port}"), port)).collect()
    }

    fn endpoint(instance: &str, port: u16) -> Endpoint {
        let mut endpoint = Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)));
        instance.clone_into(&mut endpoint.instance);
        endpoint
    }

    fn draining(instance: &str, port: u16) -> Endpoint {
        Endpoint { state: State::Draining, ..endpoint(instance, port) }
    }

    fn answer(endpoints: &[Endpoint]) -> Snapshot {
        Snapshot::new(endpoints.iter().cloned().map(Found::new))
    }

    fn leased(leases: &[(&str, u16, Instant)]) -> Snapshot {
        Snapshot::new(leases.iter().map(|(instance, port, expires)| Found {
            expires: Some(*expires),
            ..Found::new(endpoint(instance, *port))
        }))
    }

    fn names(keep: &Keep) -> Vec<String> {
        keep.set().endpoints().iter().map(|e| format!("{}:{}", e.instance, e.address.port())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn of_one_instance_told_of_twice_the_one_without_an_end_is_believed() {
        let now = Instant::now();
        let told = |expires: Option<Instant>| Found { expires, ..Found::new(endpoint("a", 1)) };
        for twice in [[None, Some(now + HOLD)], [Some(now + HOLD), None]] {
            let mut keep = keep();
            keep.answer(Snapshot::new(twice.map(told)), now);
            let later = now + HOLD + seconds(1);
            keep.answer(Snapshot::new(twice.map(told)), later);
            keep.tick(later + HOLD);
            assert_eq!(keep.set().endpoints().len(), 1);
            assert_eq!(keep.held(), 0, "it has no end");
        }
    }

    #[test]
    fn an_error_keeps_the_set_its_leases_and_its_holds() {
        let now = Instant::now();
        let mut keep = keep();
        let soon = now + Duration::from_secs(5);
        keep.answer(leased(&[("a", 1, soon), ("b", 2, now + Duration::from_secs(60))]), now);
        keep.answer(leased(&[("a", 1, soon)]), now);
        assert_eq!((names(&keep), keep.held()), (vec!["a:1".into(), "b:2".into()], 1));
        keep.failed(Error::new(ErrorKind::Unreachable, "the registry is down"));
        assert_eq!(keep.next(), None);
        assert_eq!(keep.tick(now + Duration::from_secs(3600)), Change::Unchanged);
        assert_eq!(names(&keep), ["a:1", "b:2"]);
        assert!(keep.failing().is_some());
        assert_eq!(keep.answered(), Some(now), "the age is that of the last answer");
        // The next answer judges again, and nobody is a loss that has to be confirmed.
        keep.answer(leased(&[("a", 1, soon)]), now + seconds(3600));
        assert!(keep.failing().is_none() && keep.doubt().is_some());
        assert_eq!(names(&keep), ["a:1", "b:2"]);
        keep.answer(leased(&[("a", 1, soon)]), now + seconds(3630));
        assert!(names(&keep).is_empty());
    }

    #[test]
    fn who_vanishes_is_held_for_ten_seconds_and_may_come_back() {
        let now = Instant::now();
        let mut keep = keep();
        keep.answer(answer(&[endpoint("a", 1), endpoint("b", 2)]), now);
        assert_eq!(keep.answer(answer(&[endpoint("a", 1)]), now), Change::Unchanged);
        assert_eq!(keep.next(), Some(now + HOLD));
        // Further answers without it do not begin the wait anew.
        keep.answer(answer(&[endpoint("a", 1)]), now + HOLD / 2);
        assert_eq!(keep.next(), Some(now + HOLD));
        assert_eq!(keep.tick(now + HOLD - Duration::from_millis(1)), Change::Unchanged);
        assert_eq!(keep.tick(now + HOLD), Change::Changed);
        assert_eq!(names(&keep), ["a:1"]);

        keep.answer(answer(&[]), now + HOLD);
        keep.answer(answer(&[endpoint("a", 1)]), now + HOLD);
        assert_eq!((keep.held(), keep.next()), (0, None));
    }

    #[test]
    fn draining_is_obeyed_at_once_and_its_end_is_not_held() {
        let now = Instant::now();
        let mut keep = keep();
        keep.answer(answer(&[endpoint("a", 1)]), now);
        assert_eq!(keep.answer(answer(&[draining("a", 1)]), now), Change::Changed);
        assert_eq!(keep.set().count(State::Ready), 0);
        assert_eq!(keep.set().count(State::Draining), 1);
        keep.answer(answer(&[]), now);
        assert!(names(&keep).is_empty());
    }

    #[test]
    fn whose_name_or_address_was_taken_over_is_gone_at_once() {
        let now = Instant::now();
        let mut keep = keep();
        keep.answer(answer(&[endpoint("a", 1), endpoint("b", 2)]), now);
        keep.answer(answer(&[endpoint("a", 3), endpoint("c", 2)]), now);
        assert_eq!(names(&keep), ["a:3", "c:2"]);
    }

    #[test]
    fn of_two_at_one_address_the_one_heard_of_last_is_the_living() {
        let now = Instant::now();
        let mut keep = keep();
        let later = now + Duration::from_secs(20);
        keep.answer(
            leased(&[("old", 1, now + Duration::from_secs(1)), ("new", 1, later), ("x", 2, later)]),
            now,
        );
        assert_eq!(names(&keep), ["new:1", "x:2"]);
    }

    #[test]
    fn a_lease_that_ended_is_gone_with_the_next_answer_and_is_not_held() {
        let now = Instant::now();
        let mut keep = keep();
        let said =
            leased(&[("a", 1, now + Duration::from_secs(30)), ("b", 2, now + Duration::from_secs(40))]);
        keep.answer(said.clone(), now);
        assert_eq!(keep.answer(said.clone(), now + Duration::from_secs(29)), Change::Unchanged);
        assert_eq!(keep.answer(said, now + Duration::from_secs(30)), Change::Changed);
        assert_eq!(names(&keep), ["b:2"]);
        assert_eq!(keep.held(), 0);
    }

    #[test]
    fn an_empty_first_answer_is_an_answer() {
        let mut keep = keep();
        assert_eq!(keep.set().version(), 0);
        assert_eq!(keep.answer(answer(&[]), Instant::now()), Change::Changed);
        assert_eq!(keep.set().version(), 1);
    }

    #[test]
    fn nobody_after_some_is_believed_one_confirmation_later() {
        let now = Instant::now();
        for empty in [answer(&[]), answer(&[draining("other", 9)])] {
            let mut keep = keep();
            keep.answer(answer(&some(1..4)), now);
            keep.answer(empty.clone(), now + seconds(5));
            assert_eq!(keep.next(), None, "time alone confirms nothing");
            assert_eq!(keep.tick(now + seconds(3600)), Change::Unchanged);
            for later in [6, 20, 34] {
                keep.answer(empty.clone(), now + seconds(later));
                assert_eq!((keep.held(), keep.set().count(State::Ready)), (3, 3));
                assert_eq!(
                    keep.answered(),
                    Some(now),
                    "an answer that is not believed makes nothing younger"
                );
            }
            let (doubt, at) = (keep.doubt().unwrap(), now + seconds(35));
            assert_eq!((doubt.since, doubt.were, doubt.are), (now + seconds(5), 3, 0));
            assert_eq!(keep.answer(empty, at), Change::Changed);
            assert_eq!((keep.set().count(State::Ready), keep.doubt(), keep.answered()), (0, None, Some(at)));
        }
    }

    #[test]
    fn who_comes_back_ends_the_doubt_and_who_vanished_later_is_doubted_anew() {
        let now = Instant::now();
        let mut keep = keep();
        keep.answer(answer(&some(0..10)), now);
        keep.answer(answer(&some(0..5)), now);
        assert!(keep.doubt().is_some());
        keep.answer(answer(&some(0..9)), now + seconds(3));
        assert_eq!((keep.doubt(), keep.held()), (None, 1));
        assert_eq!(keep.next(), Some(now + HOLD), "the tenth is held as ever");
        keep.tick(now + HOLD);
        assert_eq!(names(&keep).len(), 9);

        keep.answer(answer(&some(0..4)), now + seconds(60));
        keep.answer(answer(&[]), now + seconds(80));
        assert_eq!(names(&keep).len(), 9);
        keep.answer(answer(&[]), now + seconds(90));
        assert_eq!(names(&keep).len(), 4, "those who vanished first are confirmed");
        assert_eq!(keep.doubt().unwrap().since, now + seconds(90));
        keep.answer(answer(&[]), now + seconds(109));
        assert_eq!(names(&keep).len(), 4);
        keep.answer(answer(&[]), now + seconds(110));
        assert!(names(&keep).is_empty());
    }

    #[test]
    fn leases_that_all_ended_are_a_loss_too_and_renewed_ones_end_the_doubt() {
        let now = Instant::now();
        let said = |expires| leased(&[("a", 1, expires), ("b", 2, expires), ("c", 3, expires)]);
        let mut keep = keep();
        let first = said(now + seconds(30));
        keep.answer(first.clone(), now);
        // The registry slept, so that nobody could renew, and answers again.
        keep.answer(first.clone(), now + seconds(70));
        keep.answer(said(now + seconds(31)), now + seconds(75));
        assert_eq!((names(&keep).len(), keep.held()), (3, 3));
        keep.answer(said(now + seconds(106)), now + seconds(76));
        assert_eq!((names(&keep).len(), keep.held(), keep.doubt()), (3, 0, None));
        // Or it never comes back.
        keep.answer(first.clone(), now + seconds(200));
        keep.answer(first, now + seconds(230));
        assert!(names(&keep).is_empty());
    }

    #[test]
    fn a_source_that_ends_confirms_what_it_said_last() {
        let now = Instant::now();
        let mut keep = keep();
        keep.answer(answer(&some(0..4)), now);
        keep.answer(answer(&some(0..1)), now);
        keep.settle(now + seconds(1));
        assert_eq!((keep.doubt(), keep.next()), (None, Some(now + HOLD)));
        keep.tick(now + HOLD);
        assert_eq!(names(&keep), ["i0:0"]);
    }

    #[test]
    fn a_saved_list_serves_until_an_answer_names_somebody() {
        let now = Instant::now();
        let mut keep = keep();
        assert_eq!(keep.recall(some(0..4), now), Change::Changed);
        assert!(keep.is_recalled() && keep.answered().is_none());
        keep.failed(Error::new(ErrorKind::Unreachable, "the registry is down"));
        assert_eq!(names(&keep).len(), 4);
        // A registry that restarted empty answers first.
        keep.answer(answer(&[]), now + seconds(60));
        assert!(keep.is_recalled() && keep.answered().is_none() && keep.doubt().is_some());
        assert_eq!(names(&keep).len(), 4);
        // One of them is back, and another is new; what the list says beyond that is worth nothing now.
        keep.answer(answer(&[endpoint("i2", 2), endpoint("new", 9)]), now + seconds(65));
        assert_eq!(names(&keep), ["i2:2", "new:9"]);
        assert_eq!((keep.is_recalled(), keep.doubt(), keep.held()), (false, None, 0));
        assert_eq!(keep.recall(some(0..4), now + seconds(66)), Change::Unchanged, "too late");

        let mut empty = self::keep();
        empty.recall(some(0..4), now);
        empty.answer(answer(&[]), now);
        empty.answer(answer(&[]), now + CONFIRMATION);
        assert!(names(&empty).is_empty() && !empty.is_recalled());
    }

    #[test]
    fn what_is_saved_is_ready_and_was_just_heard_of() {
        let now = Instant::now();
        let mut keep = keep();
        keep.answer(answer(&[endpoint("a", 1), draining("b", 2), endpoint("c", 3)]), now);
        keep.answer(answer(&[endpoint("a", 1), draining("b", 2)]), now);
        let names: Vec<_> = keep.worth_saving().iter().map(|endpoint| endpoint.instance.clone()).collect();
        assert_eq!((names, keep.held()), (vec!["a".to_owned()], 1));
    }

    proptest! {
        /// Whatever comes in whatever order: ready ones are believed at once, nobody is believed twice, and who
        /// is not in the last answer is gone when the hold is over.
        #[test]
        fn the_belief_follows_the_last_answer(
            answers in prop::collection::vec(prop::collection::btree_map(0_u16..12, any::<bool>(), 0..10), 1..12)
        ) {
            let now = Instant::now();
            let mut keep = credulous();
            for (step, said) in answers.iter().enumerate() {
                let endpoints: Vec<_> = said.iter().map(|(port, ready)| {
                    let name = format!("i{port}");
                    if *ready { endpoint(&name, port + 1) } else { draining(&name, port + 1) }
                }).collect();
                keep.answer(answer(&endpoints), now + Duration::from_secs(step as u64));
                for endpoint in &endpoints {
                    prop_assert!(keep.set().endpoints().iter().any(|known| **known == *endpoint));
                }
                let mut seen = HashSet::new();
                prop_assert!(keep.set().endpoints().iter().all(|known| seen.insert(known.address)));
            }
            let last = answers.last().unwrap();
            keep.tick(now + Duration::from_secs(answers.len() as u64) + HOLD);
            prop_assert_eq!(keep.set().endpoints().len(), last.len());
        }

        /// … and with doubt it is the same set, one confirmation later.
        #[test]
        fn doubt_delays_and_never_changes_what_is_believed_in_the_end(
            answers in prop::collection::vec(prop::collection::btree_map(0_u16..12, any::<bool>(), 0..10), 1..12)
        ) {
            let now = Instant::now();
            let mut keep = keep();
            let said: Vec<Snapshot> = answers.iter().map(|said| {
                let endpoints: Vec<_> = said.iter().map(|(port, ready)| {
                    let name = format!("i{port}");
                    if *ready { endpoint(&name, port + 1) } else { draining(&name, port + 1) }
                }).collect();
                answer(&endpoints)
            }).collect();
            for (step, said) in said.iter().enumerate() {
                let before = keep.set().count(State::Ready);
                keep.answer(said.clone(), now + seconds(step as u64));
                let drains = said.found().iter().any(|found| found.endpoint.state == State::Draining);
                prop_assert!(before == 0 || drains || keep.set().count(State::Ready) > 0, "nobody all of a sudden");
            }
            let (last, mut at) = (said.last().unwrap(), now + seconds(said.len() as u64));
            for _ in 0..3 {
                at += CONFIRMATION;
                keep.answer(last.clone(), at);
                keep.tick(at);
            }
            prop_assert_eq!(keep.doubt(), None);
            prop_assert_eq!(keep.set().endpoints().len(), last.found().len());
        }
    }
}
