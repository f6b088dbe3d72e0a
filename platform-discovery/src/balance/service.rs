//! Choosing, one call after the other.

use std::{sync::Arc, time::Duration};

use platform_core::{Context, Error, ErrorKind, Result, config::Mode, stack::Asked, telemetry::Metrics};
use tokio::time::{self, Instant};

use super::{
    Config, LeastRequest, P2c, Pick, Picked, Picker, ReadySet, RoundRobin,
    board::Board,
    groups::{Others, Wish},
    layout::Layout,
    load::Scale,
    member::Shared,
    metrics::{Ejections, Picks},
    pool::{Make, Pool},
    ring_hash::{self, RingHash},
    variants::Division,
};
use crate::{endpoint::EndpointSet, standing::Standing, target::Target, task::Background, watch::Watch};

/// Chooses endpoints of one target. Clones choose from the same set and count into the same load.
///
/// It keeps the target watched; when the last clone is gone the watch ends.
pub struct Balance<C>(Arc<Inner<C>>);

struct Inner<C> {
    empty_wait: Duration,
    by_key: bool,
    pick: Box<dyn Pick<C>>,
    board: Arc<Board<C>>,
    watch: Arc<Watch>,
    _following: Background,
}

/// What a balancer is made from.
pub(crate) struct Origin<'a> {
    pub(crate) watch: Arc<Watch>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) standing: &'a Arc<Standing>,
}

impl<C: Send + Sync + 'static> Balance<C> {
    pub(crate) fn new(origin: Origin<'_>, config: &Config, make: Make<C>) -> Self {
        let pick: Box<dyn Pick<C>> = match config.pick {
            Picker::P2c => Box::new(P2c),
            Picker::LeastRequest => Box::new(LeastRequest),
            Picker::RoundRobin => Box::new(RoundRobin::starting_at(fastrand::u32(..))),
            Picker::RingHash => Box::new(RingHash),
        };
        Balance::made(origin, config, config.pick == Picker::RingHash, pick, make)
    }

    pub(crate) fn with_pick(
        origin: Origin<'_>,
        config: &Config,
        pick: Box<dyn Pick<C>>,
        make: Make<C>,
    ) -> Self {
        Balance::made(origin, config, false, pick, make)
    }

    fn made(
        origin: Origin<'_>,
        config: &Config,
        by_key: bool,
        pick: Box<dyn Pick<C>>,
        make: Make<C>,
    ) -> Self {
        let Origin { watch, metrics, standing } = origin;
        let picks = Picks::new(metrics, watch.target.name(), standing.zone());
        let layout = Layout {
            division: Division::new(&config.variants, &config.versions),
            subset: config.set.subset.map(|subset| usize::try_from(subset).unwrap_or(usize::MAX)),
            by_key,
            standing: Arc::clone(standing),
        };
        let (ewma, penalty) = (config.load.ewma, config.load.failure_penalty);
        let shared = Shared::new(Scale::new(ewma, penalty), config.eject.consecutive);
        let shared = Arc::new(if by_key { shared.counting_all() } else { shared });
        let ejections = Ejections::new(metrics, watch.target.name());
        let pool = Pool::new(make, picks, ejections, Arc::clone(&shared), config);
        let (board, following) = Board::of(&watch, layout, pool, shared);
        Balance(Arc::new(Inner {
            empty_wait: config.set.empty_wait,
            by_key,
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
        let groups = self.0.board.groups.load();
        let (member, route) = groups.pick(&*self.0.pick, self.wish(context, roll))?;
        let picked = Picked::new(Arc::clone(member), context).by(route);
        picked.count();
        Some(picked)
    }

    /// Chooses an endpoint whose label is not in `asked` already, if there is one now; with `only_others` nobody
    /// rather than one of those.
    ///
    /// What failed in our own zone goes to another one, and what failed at a variant with a share to `stable`; there
    /// the picker is asked first, and believed if it names somebody new, and then the cheaper of two of the others is
    /// taken. A call that asked for a variant by name stays with it while there is somebody new.
    pub fn try_pick_other(
        &self,
        context: &Context,
        roll: u64,
        asked: &[Arc<str>],
        only_others: bool,
    ) -> Option<Picked<C>> {
        let groups = self.0.board.groups.load();
        let others = Others { asked, only: only_others };
        let (member, route) = groups.pick_other(&*self.0.pick, self.wish(context, roll), others)?;
        let picked = Picked::new(Arc::clone(member), context).by(route);
        picked.count();
        Some(picked)
    }

    /// Chooses for an attempt of the client's page: somebody whom this call has not asked yet, and where there is nobody
    /// else, one of those again, unless it asks only others. Where it had to wait the context's clock is read again.
    ///
    /// # Errors
    ///
    /// As [`pick`](Self::pick), and [`ErrorKind::NoEndpoints`] where it asks only others and there are none.
    pub async fn pick_for(&self, context: &mut Context, asked: &Asked, roll: u64) -> Result<Picked<C>> {
        let (avoid, only) = (asked.avoid(), asked.asks_only_others());
        let picked = if avoid.is_empty() { None } else { self.try_pick_other(context, roll, avoid, only) };
        if let Some(picked) = picked {
            return Ok(picked);
        }
        if only && !avoid.is_empty() {
            let why = "there is no other endpoint, and the same one would only be slower for it";
            return Err(Error::new(ErrorKind::NoEndpoints, why).at_layer("balance"));
        }
        if let Some(picked) = self.try_pick(context, roll) {
            return Ok(picked);
        }
        // Rare and long: its state should not be part of every call's.
        let picked = Box::pin(self.pick(context, roll)).await?;
        // The wait was real.
        context.set_now(Instant::now());
        Ok(picked)
    }

    /// Waits until an answer may be expected of somebody: one to whom there is a way, and who does not say that it serves
    /// nobody. While there is one this waits for nothing.
    pub async fn reachable(&self) {
        // The sender is on the board, which is here.
        let _ = self.0.board.published.subscribe().wait_for(|reachable| *reachable).await;
    }

    /// Is there somebody whose label is not in `asked`, for a call that asks for nobody by name?
    pub fn has_other(&self, asked: &[Arc<str>]) -> bool {
        self.0.board.groups.load().has_other(asked)
    }

    /// The roll for a call: 64 random bits; where `pick = "ring_hash"` those of its key, which is what is `given`, else
    /// its tenant.
    pub fn roll(&self, context: &Context, given: Option<&[u8]>) -> u64 {
        let tenant = || context.tenant().map(|tenant| tenant.as_str().as_bytes());
        let key = if self.0.by_key { given.or_else(tenant) } else { None };
        key.map_or_else(|| fastrand::u64(..), ring_hash::key)
    }

    fn wish<'a>(&'a self, context: &'a Context, roll: u64) -> Wish<'a> {
        Wish { context, wanted: self.wanted(context), roll }
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

    /// The variant or the version that a call asks for by name: `platform-route` may name the target as this process
    /// calls it, or as the registry does.
    pub fn wanted<'a>(&self, context: &'a Context) -> Option<&'a str> {
        if !context.asks_for_a_route() {
            return None;
        }
        let target = &self.0.watch.target;
        let by_service = || context.route_override(target.service()?);
        context.route_override(target.name()).or_else(by_service)
    }

    /// The mode in which endpoints are left out now: as configured, or as an operator said.
    pub fn eject_mode(&self) -> Mode {
        self.0.board.lock().eject_mode()
    }

    /// Who may be chosen now, by any call: never cached, it changes. Of very many only this client's subset.
    pub fn ready(&self) -> Arc<ReadySet<C>> {
        Arc::clone(&self.0.board.groups.load().whole)
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
