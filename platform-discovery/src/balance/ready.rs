//! Who may be chosen?

use std::{fmt, sync::Arc};

use platform_core::{
    call::{Guard, Release},
    telemetry::Counter,
};

use super::load::Load;
use crate::endpoint::Endpoint;

/// The endpoints that take calls now: an immutable set, swapped whole.
///
/// `C` is what a caller keeps for each endpoint: its connections, most likely.
pub struct ReadySet<C> {
    members: Box<[Arc<Member<C>>]>,
}

/// One endpoint of a set, and what is kept for it.
pub struct Member<C> {
    endpoint: Arc<Endpoint>,
    label: Arc<str>,
    /// Outlives this member when the endpoint describes itself anew.
    kept: Arc<Kept<C>>,
    picks: Counter,
}

/// What stays while the process behind it stays.
struct Kept<C> {
    load: Load,
    service: C,
}

impl<C> ReadySet<C> {
    pub(super) fn new(members: impl IntoIterator<Item = Arc<Member<C>>>) -> Self {
        ReadySet { members: members.into_iter().collect() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members, in order of instance and address.
    pub fn members(&self) -> &[Arc<Member<C>>] {
        &self.members
    }

    /// How many calls of this process the member at `index` has not finished.
    ///
    /// # Panics
    ///
    /// If there is no such member.
    pub fn in_flight(&self, index: usize) -> u32 {
        self.members[index].in_flight()
    }
}

// By hand here and below: what is kept for an endpoint need not be printable.
impl<C> fmt::Debug for ReadySet<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.members).finish()
    }
}

impl<C> Member<C> {
    pub(super) fn new(endpoint: Arc<Endpoint>, service: C, picks: Counter) -> Self {
        let label = Arc::from(endpoint.address.to_string());
        Member { endpoint, label, kept: Arc::new(Kept { load: Load::default(), service }), picks }
    }

    /// The same process under a new description: connections and load stay.
    pub(super) fn described(&self, endpoint: Arc<Endpoint>, picks: Counter) -> Self {
        Member { endpoint, label: Arc::clone(&self.label), kept: Arc::clone(&self.kept), picks }
    }

    /// What it is.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Its address, as errors and log lines name it.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// What is kept for it.
    pub fn service(&self) -> &C {
        &self.kept.service
    }

    /// How many calls of this process it has not finished.
    pub fn in_flight(&self) -> u32 {
        self.kept.load.in_flight()
    }
}

impl<C> fmt::Debug for Member<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("endpoint", &self.endpoint)
            .field("in_flight", &self.in_flight())
            .finish()
    }
}

/// The chosen endpoint. It counts as in flight until this is dropped.
pub struct Picked<C> {
    member: Arc<Member<C>>,
}

impl<C> Picked<C> {
    pub(super) fn new(member: Arc<Member<C>>) -> Self {
        member.kept.load.begin();
        Picked { member }
    }

    pub(super) fn count(&self) {
        self.member.picks.inc();
    }

    /// What it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.member.endpoint
    }

    /// Its address, for errors and log lines.
    pub fn label(&self) -> &Arc<str> {
        &self.member.label
    }

    /// What is kept for it.
    pub fn service(&self) -> &C {
        &self.member.kept.service
    }
}

impl<C: Send + Sync + 'static> Picked<C> {
    /// Counts as in flight until the guard is dropped: for a reply that is read later.
    pub fn into_guard(self) -> Guard {
        // The guard's end takes one away, as this one's does now.
        self.member.kept.load.begin();
        Guard::new(Arc::clone(&self.member) as Arc<dyn Release>, 0)
    }
}

impl<C> fmt::Debug for Picked<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Picked").field(&self.member).finish()
    }
}

impl<C> Drop for Picked<C> {
    fn drop(&mut self) {
        self.member.kept.load.end();
    }
}

impl<C: Send + Sync + 'static> Release for Member<C> {
    fn release(&self, _ticket: u64) {
        self.kept.load.end();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::balance::metrics::Picks;
    use platform_core::{identity::Identity, telemetry::Metrics};

    /// A set of endpoints with so many calls in flight.
    pub(in crate::balance) fn set(loads: &[u32]) -> ReadySet<()> {
        let metrics = Metrics::new(&Identity::default());
        let mut picks = Picks::new(&metrics, &Arc::from("catalog"), &Arc::from(""));
        ReadySet::new((1_u16..).zip(loads).map(|(port, load)| {
            let endpoint = Endpoint::at(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
            let picks = picks.of(&endpoint);
            let member = Member::new(Arc::new(endpoint), (), picks);
            (0..*load).for_each(|_| member.kept.load.begin());
            Arc::new(member)
        }))
    }

    #[test]
    fn a_call_is_in_flight_until_its_guard_is_dropped_whichever_that_is() {
        let ready = set(&[0]);
        let picked = Picked::new(Arc::clone(&ready.members()[0]));
        assert_eq!(ready.in_flight(0), 1);
        let other = Picked::new(Arc::clone(&ready.members()[0]));
        let guard = picked.into_guard();
        assert_eq!(ready.in_flight(0), 2);
        drop(other);
        assert_eq!(ready.in_flight(0), 1);
        drop(guard);
        assert_eq!(ready.in_flight(0), 0);
    }
}
