//! Choosing, one call after the other.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use arc_swap::ArcSwap;
use platform_core::{Context, Error, ErrorKind, Result, Tick, telemetry::Metrics};
use tokio::{
    sync::watch,
    time::{self, Instant},
};

use super::{
    Config, LeastRequest, P2c, Pick, Picked, Picker, ReadySet, RoundRobin,
    load::Scale,
    member::Rules,
    metrics::{Ejections, Picks},
    pool::{Make, Pool},
};
use crate::{
    endpoint::EndpointSet,
    target::Target,
    task::Background,
    view::{Members, Seen},
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
    /// Wakes the task that writes.
    rules: Arc<Rules>,
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
            Picker::LeastRequest => Box::new(LeastRequest),
            Picker::RoundRobin => Box::new(RoundRobin::starting_at(fastrand::u32(..))),
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
        let (ewma, penalty) = (config.load.ewma, config.load.failure_penalty);
        let rules = Arc::new(Rules::new(Scale { epoch: Tick::now(), ewma, penalty }));
        if config.eject.mode.is_on() {
            rules.consecutive.store(config.eject.consecutive, Relaxed);
        }
        let ejections = Ejections::new(metrics, watch.target.name(), config.eject.mode);
        let board = Arc::new(Board {
            ready: ArcSwap::from_pointee(ReadySet::new([])),
            pool: Mutex::new(Pool::new(make, picks, ejections, Arc::clone(&rules), config)),
            published: watch::Sender::new(0),
            rules,
        });
        watch.add_balancer(Arc::downgrade(&board) as Weak<dyn Members>);
        // What is known already is known from the first call on.
        let belief = watch.subscribe();
        let seen = board.publish(&Arc::clone(&belief.borrow().set));
        let links = board.lock().links();
        let following = Background::spawn(follow(Arc::clone(&board), belief, links, seen));
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
        let picked = Picked::new(Arc::clone(ready.members().get(index)?), context);
        picked.count();
        Some(picked)
    }

    /// Chooses an endpoint whose label is not in `asked` already, if there is one now; with `only_others` nobody
    /// rather than one of those.
    ///
    /// The picker is asked first, and believed for as long as it names somebody new. Then the cheaper of two of the
    /// others is taken.
    pub fn try_pick_other(
        &self,
        context: &Context,
        roll: u64,
        asked: &[Arc<str>],
        only_others: bool,
    ) -> Option<Picked<C>> {
        let ready = self.0.board.ready.load();
        let members = ready.members();
        let is_new = |index: usize| !asked.contains(members[index].label());
        let first = self.0.pick.pick(&ready, context, roll)?;
        let index = if is_new(first) {
            first
        } else {
            // From a random place on, so that repeats of many calls do not all go to the same neighbour.
            let start = usize::try_from(roll % members.len() as u64).unwrap_or_default();
            let mut others = (start..members.len()).chain(0..start).filter(|index| is_new(*index));
            match (others.next(), others.next()) {
                (Some(one), Some(other)) => ready.cheaper(one, other, roll),
                (Some(one), None) => one,
                (None, _) if only_others => return None,
                (None, _) => first,
            }
        };
        let member = members.get(index)?;
        let picked = Picked::new(Arc::clone(member), context);
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
        let mut pool = self.lock();
        self.ready.store(Arc::new(pool.apply(set, Instant::now())));
        drop(pool);
        self.published.send_replace(set.version());
        set.version()
    }

    /// The same set, of which others can be reached now.
    fn relink(&self) {
        let mut pool = self.lock();
        self.ready.store(Arc::new(pool.relink(Instant::now())));
    }

    /// What is due once a second while somebody calls. Is more to come, even if nobody does?
    fn sweep(&self) -> bool {
        let mut pool = self.lock();
        let swept = pool.sweep(Instant::now());
        if let Some(ready) = swept.ready {
            self.ready.store(Arc::new(ready));
        }
        swept.more
    }

    fn lock(&self) -> MutexGuard<'_, Pool<C>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Send + Sync> Members for Board<C> {
    fn each(&self, now: Instant, show: &mut dyn FnMut(&str, SocketAddr, Seen)) {
        self.lock().each(now, &mut |endpoint, seen| show(&endpoint.instance, endpoint.address, seen));
    }

    fn panic(&self) -> Option<String> {
        self.lock().panic()
    }
}

/// The one task of a balancer: it follows the watch, and does each second what no call should wait for.
async fn follow<C>(
    board: Arc<Board<C>>,
    mut belief: watch::Receiver<Belief>,
    mut links: watch::Receiver<()>,
    mut seen: u64,
) {
    let mut told = true;
    loop {
        let set = Arc::clone(&belief.borrow_and_update().set);
        // Most answers confirm the set; only another one is work.
        if set.version() != seen {
            seen = board.publish(&set);
        }
        // Asleep from here on unless there is something to do; the first report wakes it.
        let busy = board.sweep();
        board.rules.asleep.store(!busy, Relaxed);
        tokio::select! {
            // When nothing will change any more, the rest goes on all the same.
            changed = belief.changed(), if told => told = changed.is_ok(),
            // Its sender is on the board.
            _ = links.changed() => board.relink(),
            () = board.rules.wake.notified() => {}
            () = time::sleep(SWEEP), if busy => {}
        }
    }
}

/// As often as a person looks at a graph; a run of failures does not wait for it.
const SWEEP: Duration = Duration::from_secs(1);
