//! What is published for calls to choose from, and by whom?

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use arc_swap::ArcSwap;
use platform_core::config::Mode;
use tokio::{
    sync::watch,
    time::{self, Instant},
};

use super::{ReadySet, groups::Groups, layout::Layout, member::Shared, pool::Pool};
use crate::{
    endpoint::EndpointSet,
    task::Background,
    view::{Members, Seen},
    watch::{Belief, Watch},
};

/// Where the pool publishes. Written by the task that follows the watch, read by every call.
pub(super) struct Board<C> {
    pub(super) groups: ArcSwap<Groups<C>>,
    layout: Layout,
    /// Taken by the one writer, and by who looks from outside; never by a call.
    pool: Mutex<Pool<C>>,
    /// Wakes those who wait for an endpoint. Is there anybody of whom an answer may be expected?
    pub(super) published: watch::Sender<bool>,
    /// Wakes the task that writes.
    shared: Arc<Shared>,
}

impl<C: Send + Sync + 'static> Board<C> {
    /// A board that `watch` fills for as long as the task lives that comes with it.
    pub(super) fn of(
        watch: &Watch,
        layout: Layout,
        pool: Pool<C>,
        shared: Arc<Shared>,
    ) -> (Arc<Self>, Background) {
        let board = Arc::new(Board {
            groups: ArcSwap::from_pointee(layout.groups(&Arc::new(ReadySet::new([])), &[])),
            layout,
            pool: Mutex::new(pool),
            published: watch::Sender::new(false),
            shared,
        });
        watch.add_balancer(Arc::downgrade(&board) as Weak<dyn Members>);
        // What is known already is known from the first call on.
        let belief = watch.subscribe();
        // Before the first set is made of links, so that none of them changes unheard.
        let links = board.lock().links();
        let seen = board.publish(&Arc::clone(&belief.borrow().set));
        let following = Background::spawn(follow(Arc::clone(&board), belief, links, seen));
        (board, following)
    }
}

impl<C> Board<C> {
    fn publish(&self, set: &EndpointSet) -> u64 {
        let mut pool = self.lock();
        let healthy = pool.apply(set, Instant::now());
        self.divide(&pool, &Arc::new(healthy));
        set.version()
    }

    /// Decides anew who is considered for what.
    fn divide(&self, pool: &Pool<C>, healthy: &Arc<ReadySet<C>>) {
        let sick = pool.sick(healthy);
        self.groups.store(Arc::new(self.layout.groups(healthy, &sick)));
        self.published.send_replace(pool.is_reachable());
    }

    /// The same set, of which others can be reached now.
    fn relink(&self) {
        let mut pool = self.lock();
        let healthy = pool.relink(Instant::now());
        self.divide(&pool, &Arc::new(healthy));
    }

    /// What is due once a second while somebody calls, and when failures come in a row. Is more to come, even if nobody
    /// does?
    fn sweep(&self) -> bool {
        // Before the look: a report that it misses wakes the task once more.
        self.shared.asleep.store(true, Relaxed);
        let mut pool = self.lock();
        let swept = pool.sweep(Instant::now());
        if let Some(healthy) = swept.ready {
            self.divide(&pool, &Arc::new(healthy));
        }
        if swept.more {
            self.shared.asleep.store(false, Relaxed);
        }
        swept.more
    }

    /// The same; when is the next one due?
    fn look(&self) -> Option<Instant> {
        self.sweep().then(|| Instant::now() + SWEEP)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Pool<C>> {
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

    fn refresh(&self) {
        let pool = self.lock();
        let healthy = pool.ready();
        self.divide(&pool, &Arc::new(healthy));
    }

    fn eject_as(&self, laid: Option<Mode>) -> Mode {
        let mut pool = self.lock();
        if pool.eject_as(laid) {
            let healthy = pool.ready();
            self.divide(&pool, &Arc::new(healthy));
        }
        pool.eject_mode()
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
    // When the next look is due; asleep while there is nothing to look at, and then the first report wakes it.
    let mut due = Some(Instant::now() + SWEEP);
    loop {
        tokio::select! {
            // When nothing will change any more, the rest goes on all the same.
            changed = belief.changed(), if told => {
                told = changed.is_ok();
                let set = Arc::clone(&belief.borrow_and_update().set);
                // Most answers confirm the set; only another one is work.
                if set.version() != seen {
                    seen = board.publish(&set);
                    // Who is new may warm up, which nobody wakes it for.
                    due.get_or_insert_with(|| Instant::now() + SWEEP);
                }
            }
            // Its sender is on the board.
            _ = links.changed() => board.relink(),
            () = board.shared.wake.notified() => due = board.look(),
            () = time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => due = board.look(),
        }
    }
}

/// As often as a person looks at a graph; a run of failures does not wait for it.
const SWEEP: Duration = Duration::from_secs(1);
