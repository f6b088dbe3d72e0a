//! What do we believe right now?
//!
//! One task per target follows its source and publishes the latest belief; everybody else reads. An error is
//! not an empty set: the last good set stays, and its age is a metric.

mod keep;

use std::{
    future::{Future, pending, poll_fn},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use platform_core::{Error, ErrorKind};
use tokio::{
    sync::watch,
    time::{self, Instant},
};

use self::keep::{Change, Keep};
use crate::{
    endpoint::{EndpointSet, State},
    metrics::Meters,
    resolve::{Resolve, Snapshots},
    target::Target,
    task::Background,
    view::Members,
};

/// What is believed about one target, and why. Written by its watch alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Belief {
    pub(crate) set: Arc<EndpointSet>,
    /// When the source last answered.
    pub(crate) answered: Option<Instant>,
    /// Whether the source said that its last answer is true for ever.
    pub(crate) settled: bool,
    /// Why the source cannot answer now.
    pub(crate) failing: Option<Error>,
    /// How many records made no sense.
    pub(crate) skipped: usize,
    /// How many are missing and still believed in.
    pub(crate) held: usize,
}

impl Belief {
    /// How long ago the set was known to be true; `None` before the first answer.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        let answered = self.answered?;
        Some(if self.settled { Duration::ZERO } else { now.saturating_duration_since(answered) })
    }

    /// What was heard, in words; for an error that has to explain an empty set.
    pub(crate) fn explain(&self, source: &str, now: Instant) -> String {
        let mut text = match self.age(now) {
            None => format!("{source} has not answered yet"),
            Some(age) => {
                let ready = self.set.count(State::Ready);
                let draining = self.set.count(State::Draining);
                format!("{source} answered {age:.1?} ago with {ready} ready and {draining} draining")
            }
        };
        if self.skipped > 0 {
            text += &format!(", {} records make no sense", self.skipped);
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
    pub(crate) fn start(target: Target, source: &dyn Resolve, hold: Duration, meters: Meters) -> Self {
        let snapshots = source.resolve(&target);
        let (publish, belief) = watch::channel(Belief::default());
        let task = Background::spawn(follow(target.clone(), snapshots, Keep::new(hold), publish, meters));
        Watch {
            source: source.describe(&target),
            target,
            begun: Instant::now(),
            belief,
            balancers: Mutex::new(Vec::new()),
            _task: task,
        }
    }

    /// Reads along from here; the sender is gone when nothing will change any more.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Belief> {
        self.belief.clone()
    }

    pub(crate) fn belief(&self) -> Belief {
        self.belief.borrow().clone()
    }

    /// Waits for the first answer; an error is none.
    pub(crate) async fn answered(&self) {
        let mut belief = self.belief.clone();
        let answered = belief.wait_for(|belief| belief.answered.is_some()).await.is_ok();
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

async fn follow(
    target: Target,
    mut snapshots: Snapshots,
    mut keep: Keep,
    publish: watch::Sender<Belief>,
    meters: Meters,
) {
    let mut settled = false;
    while !(settled && keep.next().is_none()) {
        let before = Arc::clone(keep.set());
        tokio::select! {
            answer = next(&mut snapshots), if !settled => match answer {
                Some(Ok(snapshot)) => {
                    if keep.failing().is_some() {
                        tracing::info!(called = %target.name(), "the source answers again");
                    }
                    let skipped = snapshot.skipped();
                    let change = keep.answer(snapshot, Instant::now());
                    match change {
                        Change::Changed if skipped > 0 => meters.partial.inc(),
                        Change::Changed => meters.changed.inc(),
                        Change::Unchanged => meters.unchanged.inc(),
                    };
                }
                Some(Err(error)) => {
                    meters.failed.inc();
                    if keep.failing().is_none() {
                        tracing::warn!(called = %target.name(), error = ?error, "the source fails; the last good set stays");
                    }
                    keep.failed(error);
                }
                None => {
                    settled = true;
                    if keep.answered().is_none() && keep.failing().is_none() {
                        keep.failed(Error::new(ErrorKind::Internal, "the source ended without an answer"));
                    }
                }
            },
            () = at(keep.next()) => {
                keep.tick(Instant::now());
            }
        }
        tell(&target, &before, keep.set());
        publish.send_replace(Belief {
            set: Arc::clone(keep.set()),
            answered: keep.answered(),
            settled: settled && keep.failing().is_none(),
            failing: keep.failing().cloned(),
            skipped: keep.skipped(),
            held: keep.held(),
        });
    }
}

/// A line for whoever wonders afterwards why calls failed; changes in between are on the graph.
fn tell(target: &Target, before: &EndpointSet, after: &EndpointSet) {
    let (were, are) = (before.count(State::Ready), after.count(State::Ready));
    match (were, are) {
        (0, 0) => {}
        (_, 0) => tracing::warn!(called = %target.name(), were, "the target has no endpoint any more"),
        (0, _) => tracing::info!(called = %target.name(), endpoints = are, "the target has endpoints"),
        _ if were != are => {
            tracing::debug!(called = %target.name(), were, endpoints = are, "the target's endpoints changed");
        }
        _ => {}
    }
}

fn next(snapshots: &mut Snapshots) -> impl Future<Output = Option<platform_core::Result<crate::Snapshot>>> {
    poll_fn(|cx| snapshots.as_mut().poll_next(cx))
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => time::sleep_until(time).await,
        None => pending().await,
    }
}
