//! What do we believe right now?
//!
//! One task per target follows its source and publishes the latest belief; everybody else reads. An error is
//! not an empty set: the last good set stays, and its age is a metric.
//!
//! # Why
//! A registry lies (it restarts empty), sleeps (it hangs, or thaws after its leases' lives) and goes. Calls that work
//! go on working meanwhile: `keep` decides what is believed, `sanity` which losses are not, `snapshot` what a process
//! starts with that nobody answers.
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `removals.hold` | 10 s | longer than a registry's hiccup, shorter than a person's patience |
//! | `removals.mass` | 0.5 | deaths come one by one |
//! | `snapshot` | beside the registry | a start should not need a registry that works |
//!
//! # Signals
//! `platform_discovery_age_seconds` grows while nothing that is believed is heard; `result="suspect"` of
//! `platform_discovery_updates_total` counts what was not believed.
//!
//! # Traps
//! A target that really lost half of its instances without a word is asked for [`CONFIRMATION`](sanity::CONFIRMATION)
//! more: who stops many at once lets them drain. A saved list may name addresses that belong to others by now; it is
//! used only while nobody answers, and never when it is older than six hours.

mod follow;
mod keep;
mod sanity;
mod snapshot;

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use platform_core::Error;
use tokio::{sync::watch, time::Instant};

pub(crate) use self::{
    sanity::Doubt,
    snapshot::{Recollection, Store},
};

use self::{
    follow::Follow,
    keep::Keep,
    snapshot::{Recall, Saving},
};
use crate::{
    config::Removals,
    endpoint::{EndpointSet, State},
    metrics::Meters,
    resolve::Resolve,
    target::Target,
    task::Background,
    view::Members,
};

/// What is believed about one target, and why. Written by its watch alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Belief {
    pub(crate) set: Arc<EndpointSet>,
    /// When the source last said what is believed.
    pub(crate) answered: Option<Instant>,
    /// Whether the source said that its last answer is true for ever.
    pub(crate) settled: bool,
    /// Why the source cannot answer now.
    pub(crate) failing: Option<Error>,
    /// How many records made no sense.
    pub(crate) skipped: usize,
    /// How many are missing and still believed in.
    pub(crate) held: usize,
    /// Why the source's last answer is not believed.
    pub(crate) doubt: Option<Doubt>,
    /// The set was read from disk, and nobody has confirmed it.
    pub(crate) recalled: Option<Recollection>,
}

impl Belief {
    /// How long ago the set was known to be true; `None` before the first answer.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        if let Some(recalled) = &self.recalled {
            return Some(recalled.age(now));
        }
        let answered = self.answered?;
        Some(if self.settled { Duration::ZERO } else { now.saturating_duration_since(answered) })
    }

    /// What was heard, in words; for an error that has to explain an empty set.
    pub(crate) fn explain(&self, source: &str, now: Instant) -> String {
        let mut text = match self.age(now) {
            None => format!("{source} has not answered yet"),
            Some(age) if self.recalled.is_some() => {
                format!("{source} has not answered yet, and a list is used that was true {age:.1?} ago")
            }
            Some(age) => {
                let ready = self.set.count(State::Ready);
                let draining = self.set.count(State::Draining);
                format!("{source} answered {age:.1?} ago with {ready} ready and {draining} draining")
            }
        };
        if self.skipped > 0 {
            text += &format!(", {} records make no sense", self.skipped);
        }
        if let Some(doubt) = &self.doubt {
            text += &format!("; {}", doubt.explain(now));
        }
        if let Some(error) = &self.failing {
            text += &format!("; it fails now: {error:?}");
        }
        text
    }
}

/// One watched target. Dropping it ends the watch.
pub(crate) struct Watch {
    pub(crate) target: Target,
    pub(crate) source: String,
    pub(crate) begun: Instant,
    belief: watch::Receiver<Belief>,
    /// The balancers that choose from this set; they know what is in flight.
    balancers: Mutex<Vec<Weak<dyn Members>>>,
    _task: Background,
}

impl Watch {
    pub(crate) fn start(
        target: Target,
        source: Arc<dyn Resolve>,
        removals: Removals,
        meters: Meters,
        store: Option<Store>,
    ) -> Self {
        let (snapshots, described) = (source.resolve(&target), source.describe(&target));
        let (publish, belief) = watch::channel(Belief::default());
        let store = store.map(Arc::new);
        let follow = Follow {
            target: target.clone(),
            source,
            keep: Keep::new(removals),
            meters,
            recall: Recall::begin(store.clone()),
            saving: Saving::to(store),
            publish,
        };
        Watch {
            source: described,
            target,
            begun: Instant::now(),
            belief,
            balancers: Mutex::new(Vec::new()),
            _task: Background::spawn(follow.run(snapshots)),
        }
    }

    /// Reads along from here; the sender is gone when nothing will change any more.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Belief> {
        self.belief.clone()
    }

    pub(crate) fn belief(&self) -> Belief {
        self.belief.borrow().clone()
    }

    /// Waits for the first answer, or for a saved list in its place; an error is none.
    pub(crate) async fn answered(&self) {
        let mut belief = self.belief.clone();
        let answered =
            belief.wait_for(|belief| belief.answered.is_some() || belief.recalled.is_some()).await.is_ok();
        if !answered {
            pending::<()>().await;
        }
    }

    pub(crate) fn add_balancer(&self, balancer: Weak<dyn Members>) {
        let mut balancers = self.balancers.lock().unwrap_or_else(PoisonError::into_inner);
        balancers.retain(|balancer| balancer.strong_count() > 0);
        balancers.push(balancer);
    }

    pub(crate) fn balancers(&self) -> Vec<Arc<dyn Members>> {
        let balancers = self.balancers.lock().unwrap_or_else(PoisonError::into_inner);
        balancers.iter().filter_map(Weak::upgrade).collect()
    }
}
