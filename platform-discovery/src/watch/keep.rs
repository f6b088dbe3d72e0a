//! What do we keep believing?
//!
//! | what is heard | what is believed |
//! |---|---|
//! | a new endpoint, a changed one, `draining` | at once |
//! | an endpoint is missing that was not draining | it is there for `removals.hold` more |
//! | … and another has its name or its address | it is gone |
//! | a record whose lease has ended | it is gone |
//! | an error, or nothing | all that was believed before, leases too: nobody can tell who renewed |

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use platform_core::Error;
use tokio::time::Instant;

use crate::{
    endpoint::{Endpoint, EndpointSet, Found, State},
    resolve::Snapshot,
};

/// The belief about one target. Pure: the time is an argument.
#[derive(Debug)]
pub(super) struct Keep {
    hold: Duration,
    kept: Vec<Kept>,
    set: Arc<EndpointSet>,
    last: Option<Snapshot>,
    answered: Option<Instant>,
    failing: Option<Error>,
}

#[derive(Clone, Debug)]
struct Kept {
    endpoint: Arc<Endpoint>,
    expires: Option<Instant>,
    /// When it stops being believed in, if it is missing.
    leaves: Option<Instant>,
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
    pub(super) fn new(hold: Duration) -> Self {
        Keep { hold, kept: Vec::new(), set: Arc::default(), last: None, answered: None, failing: None }
    }

    /// The source answered.
    pub(super) fn answer(&mut self, snapshot: Snapshot, now: Instant) -> Change {
        self.answered = Some(now);
        self.failing = None;
        let same = self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last.found(), snapshot.found()));
        if !same {
            self.merge(snapshot.found(), now);
        }
        self.last = Some(snapshot);
        // Only an answer proves that a lease was not renewed.
        self.kept.retain(|kept| kept.expires.is_none_or(|expires| expires > now));
        self.end_holds(now);
        self.publish()
    }

    /// The source failed: nothing changes, and no lease and no hold runs out.
    pub(super) fn failed(&mut self, error: Error) {
        self.failing = Some(error);
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Instant) -> Change {
        if self.failing.is_none() {
            self.end_holds(now);
        }
        self.publish()
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.failing.is_some() {
            return None;
        }
        self.kept.iter().filter_map(|kept| kept.leaves).min()
    }

    pub(super) fn set(&self) -> &Arc<EndpointSet> {
        &self.set
    }

    pub(super) fn answered(&self) -> Option<Instant> {
        self.answered
    }

    pub(super) fn failing(&self) -> Option<&Error> {
        self.failing.as_ref()
    }

    /// How many are missing and still believed in.
    pub(super) fn held(&self) -> usize {
        self.kept.iter().filter(|kept| kept.leaves.is_some()).count()
    }

    /// How many records of the last answer made no sense.
    pub(super) fn skipped(&self) -> usize {
        self.last.as_ref().map_or(0, Snapshot::skipped)
    }

    fn merge(&mut self, found: &[Found], now: Instant) {
        let mut new: Vec<Kept> = Vec::with_capacity(found.len());
        for found in found {
            new.push(Kept { endpoint: Arc::clone(&found.endpoint), expires: found.expires, leaves: None });
        }
        // In one order always; of two at one address the one that was heard of last is the living.
        new.sort_by(|a, b| order(&a.endpoint).cmp(&order(&b.endpoint)).then(b.expires.cmp(&a.expires)));
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
        let mut held = Vec::new();
        for old in old {
            match new.binary_search_by(|kept| order(&kept.endpoint).cmp(&order(&old.endpoint))) {
                // What did not change stays the same allocation, so that readers see at a glance.
                Ok(index) if new[index].endpoint == old.endpoint => new[index].endpoint = old.endpoint,
                Ok(_) => {}
                Err(_) => {
                    let endpoint = &old.endpoint;
                    let replaced = addresses.contains(&endpoint.address)
                        || instances.contains(endpoint.instance.as_str());
                    if endpoint.state != State::Draining && !replaced {
                        held.push(Kept { leaves: old.leaves.or(Some(now + self.hold)), ..old });
                    }
                }
            }
        }
        if !held.is_empty() {
            new.append(&mut held);
            new.sort_by(|a, b| order(&a.endpoint).cmp(&order(&b.endpoint)));
        }
        self.kept = new;
    }

    fn end_holds(&mut self, now: Instant) {
        self.kept.retain(|kept| kept.leaves.is_none_or(|leaves| leaves > now));
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

    #[test]
    fn an_error_keeps_the_set_its_leases_and_its_holds() {
        let now = Instant::now();
        let mut keep = Keep::new(HOLD);
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
        // The next answer judges again.
        keep.answer(leased(&[("a", 1, soon)]), now + Duration::from_secs(3600));
        assert!(names(&keep).is_empty());
        assert!(keep.failing().is_none());
    }

    #[test]
    fn who_vanishes_is_held_for_ten_seconds_and_may_come_back() {
        let now = Instant::now();
        let mut keep = Keep::new(HOLD);
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
        let mut keep = Keep::new(HOLD);
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
        let mut keep = Keep::new(HOLD);
        keep.answer(answer(&[endpoint("a", 1), endpoint("b", 2)]), now);
        keep.answer(answer(&[endpoint("a", 3), endpoint("c", 2)]), now);
        assert_eq!(names(&keep), ["a:3", "c:2"]);
    }

    #[test]
    fn of_two_at_one_address_the_one_heard_of_last_is_the_living() {
        let now = Instant::now();
        let mut keep = Keep::new(HOLD);
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
        let mut keep = Keep::new(HOLD);
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
        let mut keep = Keep::new(HOLD);
        assert_eq!(keep.set().version(), 0);
        assert_eq!(keep.answer(answer(&[]), Instant::now()), Change::Changed);
        assert_eq!(keep.set().version(), 1);
    }

    proptest! {
        /// Whatever comes in whatever order: ready ones are believed at once, nobody is believed twice, and who
        /// is not in the last answer is gone when the hold is over.
        #[test]
        fn the_belief_follows_the_last_answer(
            answers in prop::collection::vec(prop::collection::btree_map(0_u16..12, any::<bool>(), 0..10), 1..12)
        ) {
            let now = Instant::now();
            let mut keep = Keep::new(HOLD);
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
    }
}
