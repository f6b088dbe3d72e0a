//! Choosing, one call after the other.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use platform_core::{Context, Error, ErrorKind, Result, telemetry::Metrics};
use tokio::{
    sync::watch,
    time::{self, Instant},
};

use super::{
    Config, Member, P2c, Pick, Picked, Picker, ReadySet, RoundRobin,
    metrics::Picks,
    pool::{Make, Pool},
};
use crate::{
    endpoint::EndpointSet,
    target::Target,
    task::Background,
    view::Members,
    watch::{Belief, Watch},
};

/// Chooses endpoints of one target. Clones choose from the same set and count into the same load.
///
/// It keeps the target watched; when the last clone is gone the watch ends.
pub struct Balance<C>(Arc<Inner<C>>);

struct Inner<C> {
    empty_wait: Duration,
    pick: Box<dyn Pick<C>>,
    board: Arc<Board<C>>,
    watch: Arc<Watch>,
    _following: Background,
}

/// Where the pool publishes. Written by the task that follows the watch, read by every call.
struct Board<C> {
    ready: ArcSwap<ReadySet<C>>,
    /// Taken by the one writer, and by who looks from outside; never by a call.
    pool: Mutex<Pool<C>>,
    /// Wakes those who wait for an endpoint.
    published: watch::Sender<u64>,
}

/// What a balancer is made from.
pub(crate) struct Origin<'a> {
    pub(crate) watch: Arc<Watch>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) zone: &'a Arc<str>,
}

impl<C: Send + Sync + 'static> Balance<C> {
    pub(crate) fn new(origin: Origin<'_>, config: &Config, make: Make<C>) -> Self {
        let pick: Box<dyn Pick<C>> = match config.pick {
            Picker::P2c => Box::new(P2c),
            Picker::RoundRobin => Box::new(RoundRobin::starting_at(fastrand::usize(..1 << 16))),
        };
        Balance::with_pick(origin, config, pick, make)
    }

    pub(crate) fn with_pick(
        origin: Origin<'_>,
        config: &Config,
        pick: Box<dyn Pick<C>>,
        make: Make<C>,
    ) -> Self {
        let Origin { watch, metrics, zone } = origin;
        let picks = Picks::new(metrics, watch.target.name(), zone);
        let board = Arc::new(Board {
            ready: ArcSwap::from_pointee(ReadySet::new([])),
            pool: Mutex::new(Pool::new(make, picks)),
            published: watch::Sender::new(0),
        });
        watch.add_balancer(Arc::downgrade(&board) as Weak<dyn Members>);
        // What is known already is known from the first call on.
        let belief = watch.subscribe();
        let seen = board.publish(&Arc::clone(&belief.borrow().set));
        let following = Background::spawn(follow(Arc::clone(&board), belief, seen));
        Balance(Arc::new(Inner {
            empty_wait: config.set.empty_wait,
            pick,
            board,
            watch,
            _following: following,
        }))
    }

    /// Chooses an endpoint; `roll` is 64 random bits.
    ///
    /// While there is an endpoint this neither waits nor locks nor allocates. When there is none it waits for
    /// one, `set.empty_wait` or until the deadline.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoEndpoints`] after the wait, saying what the source answered and when.
    pub async fn pick(&self, context: &Context, roll: u64) -> Result<Picked<C>> {
        match self.try_pick(context, roll) {
            Some(picked) => Ok(picked),
            // Rare and long: its state should not be part of every call's.
            None => Box::pin(self.wait(context, roll)).await,
        }
    }

    /// Chooses an endpoint if there is one now.
    pub fn try_pick(&self, context: &Context, roll: u64) -> Option<Picked<C>> {
        let ready = self.0.board.ready.load();
        let index = self.0.pick.pick(&ready, context, roll)?;
        let picked = Picked::new(Arc::clone(ready.members().get(index)?));
        picked.count();
        Some(picked)
    }

    /// Chooses an endpoint whose label is not in `asked` already, if there is one now; with `only_others` nobody
    /// rather than one of those.
    ///
    /// The picker is asked first, and believed for as long as it names somebody new; it may look at load alone,
    /// and who has just failed is often the idlest. Then the less loaded of two of the others is taken.
    pub fn try_pick_other(
        &self,
        context: &Context,
        roll: u64,
        asked: &[Arc<str>],
        only_others: bool,
    ) -> Option<Picked<C>> {
        let ready = self.0.board.ready.load();
        let members = ready.members();
        let is_new = |member: &Arc<Member<C>>| !asked.contains(member.label());
        let first = members.get(self.0.pick.pick(&ready, context, roll)?)?;
        let member = if is_new(first) {
            first
        } else {
            // From a random place on, so that repeats of many calls do not all go to the same neighbour.
            let start = usize::try_from(roll % members.len() as u64).unwrap_or_default();
            let mut others = members[start..].iter().chain(&members[..start]).filter(|one| is_new(one));
            match (others.next(), others.next()) {
                (Some(one), Some(other)) if other.in_flight() < one.in_flight() => other,
                (Some(one), _) => one,
                (None, _) if only_others => return None,
                (None, _) => first,
            }
        };
        let picked = Picked::new(Arc::clone(member));
        picked.count();
        Some(picked)
    }

    async fn wait(&self, context: &Context, roll: u64) -> Result<Picked<C>> {
        let mut published = self.0.board.published.subscribe();
        let begun = Instant::now();
        let end = begun + self.0.empty_wait;
        let end = context.deadline().map_or(end, |deadline| end.min(deadline.instant()));
        loop {
            if let Some(picked) = self.try_pick(context, roll) {
                return Ok(picked);
            }
            // The sender is on the board, which is here.
            if time::timeout_at(end, published.changed()).await.is_err() {
                return Err(self.nobody(begun));
            }
        }
    }

    fn nobody(&self, begun: Instant) -> Error {
        let now = Instant::now();
        let watch = &self.0.watch;
        let heard = watch.belief().explain(&watch.source, now);
        Error::new(ErrorKind::NoEndpoints, format!("nobody to ask after {:.1?}: {heard}", now - begun))
            .at_target(watch.target.name())
            .at_layer("balance")
    }
}

impl<C> Balance<C> {
    /// What is called.
    pub fn target(&self) -> &Target {
        &self.0.watch.target
    }

    /// Who may be chosen now; never cached, it changes.
    pub fn ready(&self) -> Arc<ReadySet<C>> {
        self.0.board.ready.load_full()
    }

    /// All that is believed in, the draining ones too.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.0.watch.belief().set
    }
}

impl<C> Clone for Balance<C> {
    fn clone(&self) -> Self {
        Balance(Arc::clone(&self.0))
    }
}

impl<C> std::fmt::Debug for Balance<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Balance").field("target", &self.0.watch.target).finish_non_exhaustive()
    }
}

impl<C> Board<C> {
    fn publish(&self, set: &EndpointSet) -> u64 {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        self.ready.store(Arc::new(pool.apply(set)));
        drop(pool);
        self.published.send_replace(set.version());
        set.version()
    }
}

impl<C: Send + Sync> Members for Board<C> {
    fn in_flight(&self, add: &mut dyn FnMut(&str, SocketAddr, u32)) {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        for member in pool.members() {
            let endpoint = member.endpoint();
            add(&endpoint.instance, endpoint.address, member.in_flight());
        }
    }
}

async fn follow<C>(board: Arc<Board<C>>, mut belief: watch::Receiver<Belief>, mut seen: u64) {
    loop {
        let set = Arc::clone(&belief.borrow_and_update().set);
        // Most answers confirm the set; only another one is work.
        if set.version() != seen {
            seen = board.publish(&set);
        }
        if belief.changed().await.is_err() {
            // Nothing will change any more, and the board is kept by whoever chooses.
            drop(board);
            return pending().await;
        }
    }
}
