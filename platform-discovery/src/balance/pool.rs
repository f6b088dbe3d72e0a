//! Who came, who stayed, who left?

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use super::{
    metrics::Picks,
    ready::{Member, ReadySet},
};
use crate::endpoint::{Endpoint, EndpointSet, Protocol, State};

/// Makes what is kept for a new endpoint.
pub(super) type Make<C> = Box<dyn Fn(&Endpoint) -> C + Send + Sync>;

/// The members of all states, with all that is kept for them. The only writer of ready sets.
///
/// Who left is dropped here; the calls it still has keep it alive until they end.
pub(super) struct Pool<C> {
    make: Make<C>,
    picks: Picks,
    members: HashMap<Key, Arc<Member<C>>>,
}

/// The same process: the same name at the same address, speaking the same.
type Key = (String, SocketAddr, Protocol);

impl<C> Pool<C> {
    pub(super) fn new(make: Make<C>, picks: Picks) -> Self {
        Pool { make, picks, members: HashMap::new() }
    }

    /// Follows `set`: one pass, and work only for those who changed.
    pub(super) fn apply(&mut self, set: &EndpointSet) -> ReadySet<C> {
        let mut members = HashMap::with_capacity(set.endpoints().len());
        let mut ready = Vec::with_capacity(set.endpoints().len());
        for endpoint in set.endpoints() {
            let key = (endpoint.instance.clone(), endpoint.address, endpoint.protocol);
            let member = match self.members.remove(&key) {
                Some(known) if Arc::ptr_eq(known.endpoint(), endpoint) => known,
                Some(known) => Arc::new(known.described(Arc::clone(endpoint), self.picks.of(endpoint))),
                None => {
                    let service = (self.make)(endpoint);
                    Arc::new(Member::new(Arc::clone(endpoint), service, self.picks.of(endpoint)))
                }
            };
            if endpoint.state == State::Ready {
                ready.push(Arc::clone(&member));
            }
            members.insert(key, member);
        }
        self.members = members;
        ReadySet::new(ready)
    }

    /// Everybody, whatever the state.
    pub(super) fn members(&self) -> impl Iterator<Item = &Arc<Member<C>>> {
        self.members.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::ready::Picked;
    use platform_core::{identity::Identity, telemetry::Metrics};
    use proptest::prelude::*;
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicUsize, Ordering},
    };

    fn pool() -> Pool<usize> {
        let metrics = Metrics::new(&Identity::default());
        let made = AtomicUsize::new(0);
        let make = Box::new(move |_: &Endpoint| made.fetch_add(1, Ordering::Relaxed));
        Pool::new(make, Picks::new(&metrics, &Arc::from("catalog"), &Arc::from("")))
    }

    fn endpoint(port: u16, state: State, version: u8) -> Arc<Endpoint> {
        let mut endpoint = Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)));
        endpoint.state = state;
        endpoint.version = version.to_string();
        Arc::new(endpoint)
    }

    #[test]
    fn another_process_at_the_same_address_begins_anew() {
        let mut pool = pool();
        let first = endpoint(1, State::Ready, 0);
        pool.apply(&EndpointSet::new(vec![Arc::clone(&first)], 1));
        let mut restarted = (*first).clone();
        restarted.instance = "another".into();
        let ready = pool.apply(&EndpointSet::new(vec![Arc::new(restarted.clone())], 2));
        assert_eq!(*ready.members()[0].service(), 1);
        restarted.protocol = Protocol::H2;
        let ready = pool.apply(&EndpointSet::new(vec![Arc::new(restarted)], 3));
        assert_eq!(*ready.members()[0].service(), 2);
    }

    #[test]
    fn who_left_lives_until_its_calls_end() {
        let mut pool = pool();
        let ready = pool.apply(&EndpointSet::new(vec![endpoint(1, State::Ready, 0)], 1));
        let picked = Picked::new(Arc::clone(&ready.members()[0]));
        let member = Arc::downgrade(&ready.members()[0]);
        drop(ready);
        assert!(pool.apply(&EndpointSet::new(Vec::new(), 2)).is_empty());
        assert_eq!(member.upgrade().unwrap().in_flight(), 1);
        drop(picked);
        assert!(member.upgrade().is_none());
    }

    proptest! {
        /// Whatever set follows whatever set: who stays keeps its service and its calls, who is new gets a new
        /// service, who comes back after leaving begins anew, and the ready set is who is ready.
        #[test]
        fn survivors_keep_all_that_is_theirs(
            sets in prop::collection::vec(prop::collection::btree_map(1_u16..12, (any::<bool>(), 0_u8..3), 0..10), 1..10)
        ) {
            let mut pool = pool();
            // By port: the service's number, and the calls in flight.
            let mut known: BTreeMap<u16, (usize, Vec<Picked<usize>>)> = BTreeMap::new();
            let mut made = 0;
            for (version, said) in sets.iter().enumerate() {
                let endpoints = said.iter().map(|(port, (ready, version))| {
                    endpoint(*port, if *ready { State::Ready } else { State::Draining }, *version)
                }).collect();
                let ready = pool.apply(&EndpointSet::new(endpoints, version as u64 + 1));

                known.retain(|port, _| said.contains_key(port));
                prop_assert_eq!(pool.members().count(), said.len());
                for member in pool.members() {
                    let port = member.endpoint().address.port();
                    if let Some((service, calls)) = known.get(&port) {
                        prop_assert_eq!(member.service(), service);
                        prop_assert_eq!(member.in_flight() as usize, calls.len());
                    } else {
                        prop_assert_eq!(member.in_flight(), 0);
                        prop_assert!(*member.service() >= made);
                        known.insert(port, (*member.service(), Vec::new()));
                    }
                    prop_assert_eq!(&member.endpoint().version, &said[&port].1.to_string());
                }
                made = known.values().map(|(service, _)| service + 1).max().unwrap_or(made).max(made);
                let ports: Vec<u16> = ready.members().iter().map(|m| m.endpoint().address.port()).collect();
                let wanted: Vec<u16> = said.iter().filter(|(_, (ready, _))| *ready).map(|(port, _)| *port).collect();
                prop_assert_eq!(ports, wanted);
                for member in ready.members() {
                    let (_, calls) = known.get_mut(&member.endpoint().address.port()).unwrap();
                    calls.push(Picked::new(Arc::clone(member)));
                }
            }
        }
    }
}
