//! Seats: the clients of one target, what each was set to, and what lies over it now.

use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::{ClientPolicy, Guards, Overlay, knobs::Knobs};
use crate::{
    admission::breaker::Forced,
    config::{Live, Together},
    error::{Error, ErrorKind, Result},
    telemetry::Metrics,
};

/// What one client runs with.
pub(super) struct Seat {
    /// What is in force.
    pub(super) policy: Live<ClientPolicy>,
    /// The part of it that every call reads.
    pub(super) knobs: Together<4>,
    pub(super) guards: Arc<Guards>,
}

#[derive(Default)]
pub(super) struct Seats {
    list: Vec<Entry>,
    /// In the order in which it was laid: what came later lies above.
    laid: Vec<(String, Overlay)>,
    hand: Option<Forced>,
    /// How many processes of this kind are known; 0 as long as nobody counted.
    clients: u32,
}

struct Entry {
    /// What the files and the code want.
    base: ClientPolicy,
    seat: Weak<Seat>,
    /// Replies that are still read keep them alive, and count in them.
    guards: Weak<Guards>,
}

impl Seats {
    /// A client that wants `base`.
    pub(super) fn seat(&mut self, base: ClientPolicy, target: &Arc<str>, metrics: &Metrics) -> Arc<Seat> {
        self.list.retain(|entry| entry.guards.strong_count() > 0);
        let policy = self.in_force(base);
        let alike = self.list.iter().filter(|entry| entry.base.guards_alike(&base));
        let guards = alike.filter_map(|entry| entry.guards.upgrade()).next().unwrap_or_else(|| {
            let guards = Guards::new(target, &policy, Instant::now(), metrics);
            guards.breaker.engine().force(self.hand);
            guards.set_clients(self.clients);
            Arc::new(guards)
        });
        // Guards that outlived their last client have missed what was laid since.
        guards.configure(&policy, Instant::now());
        let weak = Arc::downgrade(&guards);
        let seat =
            Arc::new(Seat { knobs: Together::new(Knobs::words(&policy)), policy: Live::new(policy), guards });
        self.list.push(Entry { base, seat: Arc::downgrade(&seat), guards: weak });
        seat
    }

    pub(super) fn live(&self) -> impl Iterator<Item = Arc<Seat>> {
        self.list.iter().filter_map(|entry| entry.seat.upgrade())
    }

    /// Guards that clients share are there more than once.
    pub(super) fn guards(&self) -> impl Iterator<Item = Arc<Guards>> {
        self.list.iter().filter_map(|entry| entry.guards.upgrade())
    }

    pub(super) fn edit(
        &mut self,
        seat: &Arc<Seat>,
        edit: impl FnOnce(&mut ClientPolicy),
        now: Instant,
    ) -> Result<Arc<ClientPolicy>> {
        let own = |entry: &Entry| entry.seat.as_ptr() == Arc::as_ptr(seat);
        let Some(before) = self.list.iter().find(|entry| own(entry)).map(|entry| entry.base) else {
            return Err(Error::new(ErrorKind::Internal, "a client that its target does not know"));
        };
        let mut base = before;
        edit(&mut base);
        base.check()?;
        for entry in &mut self.list {
            if own(entry) {
                entry.base = base;
            } else if entry.guards.as_ptr() == Arc::as_ptr(&seat.guards) {
                // One guard has one set of numbers; else the next change would bring the old ones back.
                entry.base = base.with_rest_of(&entry.base);
            }
        }
        self.apply(now);
        Ok(Arc::new(before))
    }

    pub(super) fn lay(&mut self, name: &str, overlay: Overlay, now: Instant) {
        // What would never be seen again is not kept, so that saying the same a thousand times is one layer.
        self.laid.retain(|(known, below)| known != name || !overlay.covers(below));
        self.laid.push((name.to_owned(), overlay));
        self.apply(now);
    }

    pub(super) fn lift(&mut self, name: &str, now: Instant) {
        self.laid.retain(|(known, _)| known != name);
        self.apply(now);
    }

    pub(super) fn force(&mut self, hand: Option<Forced>) -> Option<Forced> {
        // A second time for the same guards changes nothing.
        self.guards().for_each(|guards| guards.breaker.engine().force(hand));
        std::mem::replace(&mut self.hand, hand)
    }

    pub(super) fn set_clients(&mut self, known: u32) {
        self.clients = known;
        self.guards().for_each(|guards| guards.set_clients(known));
    }

    /// What was laid fitted when it was laid; one that does not fit what has changed since is left out, because a
    /// change that goes back must not fail.
    fn in_force(&self, base: ClientPolicy) -> ClientPolicy {
        self.laid.iter().fold(base, |policy, (_, overlay)| overlay.over(policy).unwrap_or(policy))
    }

    fn apply(&self, now: Instant) {
        for entry in &self.list {
            let Some(seat) = entry.seat.upgrade() else { continue };
            let policy = self.in_force(entry.base);
            if *seat.policy.load() != policy {
                seat.guards.configure(&policy, now);
                seat.knobs.swap(Knobs::words(&policy));
                seat.policy.set(policy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{
        config::Mode,
        identity::Identity,
        stack::{ClientStack, Parts},
    };

    fn parts() -> Arc<Parts> {
        Arc::new(Parts::new(&Arc::from("catalog"), &Metrics::new(&Identity::default())))
    }

    fn client(parts: &Arc<Parts>) -> ClientStack {
        ClientStack::new(ClientPolicy::default(), Arc::clone(parts)).unwrap()
    }

    fn mode(guard: &str, mode: Mode) -> Overlay {
        Overlay::mode(guard, mode).unwrap()
    }

    #[tokio::test]
    async fn what_goes_back_leaves_what_was_changed_since() {
        let parts = parts();
        let one = client(&parts);
        parts.lay("a", mode("breaker", Mode::Off));
        parts.lay("b", Overlay::partial(json!({ "timeout": "1s" })));
        one.edit(|policy| policy.retry.max_attempts = 2).unwrap();
        let late = client(&parts);
        assert!(late.policy().breaker.mode == Mode::Off && late.guards().breaker.mode() == Mode::Off);
        parts.lift("a");
        for stack in [&one, &late] {
            assert_eq!(stack.policy().breaker.mode, Mode::Enforce);
            assert_eq!(stack.guards().breaker.mode(), Mode::Enforce);
            assert_eq!(stack.policy().timeout, Some(Duration::from_secs(1)));
        }
        assert_eq!(one.policy().retry.max_attempts, 2);
        parts.lift("b");
        assert_eq!(late.policy(), ClientPolicy::default());
        assert_eq!(one.policy().timeout, ClientPolicy::default().timeout);
    }

    #[tokio::test]
    async fn what_no_longer_fits_is_left_out_until_it_does() {
        let parts = parts();
        let one = client(&parts);
        parts.lay("long", Overlay::partial(json!({ "timeout": "30s" })));
        let slow = Overlay::partial(json!({ "attempt_timeout": "20s" }));
        parts.fits(&slow).unwrap();
        parts.lay("slow", slow.clone());
        parts.lift("long");
        assert_eq!(one.policy(), ClientPolicy::default());
        parts.fits(&slow).unwrap_err();
        one.edit(|policy| policy.timeout = None).unwrap();
        assert_eq!(one.policy().attempt_timeout, Some(Duration::from_secs(20)));
    }

    #[tokio::test]
    async fn clients_that_share_guards_get_the_same_numbers_and_keep_them() {
        let parts = parts();
        let (one, other) = (client(&parts), client(&parts));
        one.edit(|policy| policy.bulkhead.max_in_flight = 7).unwrap();
        parts.lay("a", mode("retry", Mode::Off));
        parts.lift("a");
        assert_eq!(one.policy().bulkhead.max_in_flight, 7);
        assert_eq!(other.policy().bulkhead.max_in_flight, 7);
    }

    #[tokio::test]
    async fn a_hand_holds_the_breakers_of_clients_to_come() {
        use crate::admission::breaker::State;
        let parts = parts();
        assert_eq!(parts.force(Some(Forced::Open)), None);
        let one = client(&parts);
        let state = || one.guards().breaker.engine().state(Instant::now());
        assert_eq!(state(), State::Forced(Forced::Open));
        assert_eq!(parts.force(None), Some(Forced::Open));
        assert_eq!(state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn the_floor_is_shared_by_all_that_are_known_also_for_clients_to_come() {
        let parts = parts();
        let early = client(&parts);
        let bought = |stack: &ClientStack| {
            let now = Instant::now();
            std::iter::from_fn(|| stack.guards().budget.withdraw(now).ok()).take(1_000).count()
        };
        parts.set_clients(10);
        // A floor of 10 a second over a window of 10 s, for one in ten.
        assert_eq!(bought(&early), 10);
        let other = ClientPolicy {
            budget: crate::recovery::BudgetConfig { floor_per_second: 20, ..Default::default() },
            ..ClientPolicy::default()
        };
        let late = ClientStack::new(other, Arc::clone(&parts)).unwrap();
        assert_eq!(bought(&late), 20);
    }
}
