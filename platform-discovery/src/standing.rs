//! Where does this process stand, among its equals and between the zones?

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use platform_core::identity::Identity;

use crate::{
    balance::Seat,
    endpoint::{EndpointSet, State},
};

/// What all balancers of one process have to know about it.
#[derive(Debug)]
pub(crate) struct Standing {
    zone: Arc<str>,
    instance: String,
    now: Mutex<Now>,
}

/// The part that changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Now {
    /// Which of the clients of its targets it is.
    pub(crate) seat: Seat,
    /// How many of its kind run in which zone; empty if nobody knows.
    pub(crate) equals: BTreeMap<String, u32>,
    /// The zones that an operator wants to be empty.
    pub(crate) evacuated: BTreeSet<String>,
}

impl Standing {
    pub(crate) fn of(identity: &Identity) -> Self {
        let now = Now { seat: Seat::Alone, equals: BTreeMap::new(), evacuated: BTreeSet::new() };
        Standing {
            zone: Arc::from(identity.zone.as_str()),
            instance: identity.instance.clone(),
            now: Mutex::new(now),
        }
    }

    /// Its own zone; empty where nobody says.
    pub(crate) fn zone(&self) -> &Arc<str> {
        &self.zone
    }

    pub(crate) fn now(&self) -> Now {
        self.with(|now| now.clone())
    }

    /// These are all of its kind. Returns whether that changes anything.
    pub(crate) fn set_equals(&self, set: &EndpointSet) -> bool {
        let ready: Vec<_> = set.endpoints().iter().filter(|equal| equal.state == State::Ready).collect();
        let mut equals = BTreeMap::new();
        for equal in &ready {
            *equals.entry(equal.zone.clone()).or_default() += 1;
        }
        // Who is not counted yet, or drains, is there all the same.
        if !ready.is_empty() && !ready.iter().any(|equal| equal.instance == self.instance) {
            *equals.entry(self.zone.to_string()).or_default() += 1;
        }
        let seat = Seat::among(&self.instance, ready.iter().map(|equal| equal.instance.as_str()));
        self.changed(|now| (now.equals, now.seat) = (equals, seat))
    }

    /// Returns whether it was not evacuated before.
    pub(crate) fn evacuate(&self, zone: &str) -> bool {
        self.with(|now| now.evacuated.insert(zone.to_owned()))
    }

    /// Returns whether it was evacuated before.
    pub(crate) fn readmit(&self, zone: &str) -> bool {
        self.with(|now| now.evacuated.remove(zone))
    }

    fn changed(&self, change: impl FnOnce(&mut Now)) -> bool {
        self.with(|now| {
            let before = now.clone();
            change(now);
            *now != before
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut Now) -> T) -> T {
        f(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    #[test]
    fn equals_are_counted_by_zone_and_this_one_is_among_them() {
        let identity = Identity { instance: "orders-0".into(), zone: "a".into(), ..Identity::default() };
        let standing = Standing::of(&identity);
        let set = |of: &[(&str, &str, State)]| {
            let endpoints = of.iter().map(|(instance, zone, state)| {
                let endpoint = Endpoint::at("127.0.0.1:1".parse().unwrap());
                let (instance, zone) = ((*instance).to_owned(), (*zone).to_owned());
                Arc::new(Endpoint { instance, zone, state: *state, ..endpoint })
            });
            EndpointSet::new(endpoints.collect(), 1)
        };
        let known = |standing: &Standing| standing.now().equals.into_iter().collect::<Vec<_>>();
        assert!(!standing.set_equals(&set(&[])), "nobody knows");
        let all = set(&[("orders-1", "b", State::Ready), ("orders-2", "b", State::Draining)]);
        assert!(standing.set_equals(&all) && !standing.set_equals(&all));
        assert_eq!(known(&standing), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
        assert_eq!(standing.now().seat, Seat::among("orders-0", ["orders-1"].into_iter()));
        standing.set_equals(&set(&[("orders-0", "a", State::Ready), ("orders-1", "a", State::Ready)]));
        assert_eq!(known(&standing), [("a".to_owned(), 2)]);
        assert!(standing.evacuate("b") && !standing.evacuate("b") && standing.readmit("b"));
    }
}
