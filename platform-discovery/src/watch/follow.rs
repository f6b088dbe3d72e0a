//! The one task of a target: hears its source, decides what to believe, publishes it.

use std::{
    future::{Future, pending, poll_fn},
    sync::Arc,
};

use platform_core::{Error, ErrorKind, Result};
use tokio::{
    sync::watch,
    time::{self, Instant},
};

use super::{
    Belief,
    keep::{Change, Keep},
    sanity::CONFIRMATION,
    snapshot::{Recall, Recalled, Recollection, Saving},
};
use crate::{
    endpoint::{EndpointSet, State},
    metrics::Meters,
    resolve::{Resolve, Snapshot, Snapshots},
    target::Target,
};

/// Everything about one target that only its task knows.
pub(super) struct Follow {
    pub(super) target: Target,
    pub(super) source: Arc<dyn Resolve>,
    pub(super) keep: Keep,
    pub(super) meters: Meters,
    pub(super) recall: Recall,
    pub(super) saving: Saving,
    pub(super) publish: watch::Sender<Belief>,
}

impl Follow {
    pub(super) async fn run(mut self, mut snapshots: Snapshots) {
        let (mut settled, mut recollection) = (false, None);
        // When the source is asked anew, if it has told us something unbelievable and nothing since.
        let mut again = None;
        while !(settled && self.keep.next().is_none()) {
            let before = Arc::clone(self.keep.set());
            tokio::select! {
                answer = next(&mut snapshots), if !settled => match answer {
                    Some(Ok(snapshot)) => {
                        self.answered(snapshot);
                        again = self.keep.doubt().map(|_| Instant::now() + patience(fastrand::f64()));
                    }
                    Some(Err(error)) => {
                        self.failed(error);
                        again = None;
                    }
                    None => {
                        settled = true;
                        self.ended();
                    }
                },
                () = at(self.keep.next()) => {
                    self.keep.tick(Instant::now());
                }
                () = at(again), if !settled => {
                    // A source that only tells of changes has nothing to tell, or has missed what it should have told.
                    snapshots = self.source.resolve(&self.target);
                    again = Some(Instant::now() + patience(fastrand::f64()));
                    continue;
                }
                recalled = self.recall.turn(self.keep.failing().is_some()) => match recalled {
                    Ok(recalled) => recollection = Some(self.recalled(recalled)),
                    Err(why) => {
                        tracing::warn!(called = %self.target.name(), why, "the saved list is not used");
                        continue;
                    }
                },
                () = self.saving.turn() => continue,
            }
            if !self.keep.is_recalled() {
                recollection = None;
            }
            tell(&self.target, &before, self.keep.set());
            self.publish.send_replace(Belief {
                set: Arc::clone(self.keep.set()),
                answered: self.keep.answered(),
                settled: settled && self.keep.failing().is_none(),
                failing: self.keep.failing().cloned(),
                skipped: self.keep.skipped(),
                held: self.keep.held(),
                doubt: self.keep.doubt(),
                recalled: recollection,
            });
        }
    }

    fn answered(&mut self, snapshot: Snapshot) {
        let (called, now) = (self.target.name(), Instant::now());
        if self.keep.failing().is_some() {
            tracing::info!(%called, "the source answers again");
        }
        let skipped = snapshot.skipped();
        let (doubt, recalled) = (self.keep.doubt(), self.keep.is_recalled());
        let change = self.keep.answer(snapshot, now);
        match (doubt, self.keep.doubt()) {
            (None, Some(new)) => tracing::warn!(
                %called, were = new.were, are = new.are,
                "most of the target vanished at once; it is believed in until the source confirms the loss \
                 (discovery.removals.mass)"
            ),
            (Some(old), None) => {
                let endpoints = self.keep.set().count(State::Ready);
                tracing::warn!(%called, were = old.were, endpoints, "the target's loss is over, or confirmed");
            }
            _ => {}
        }
        if recalled && !self.keep.is_recalled() {
            tracing::info!(%called, "the source answers; the saved list is needed no more");
        }
        self.recall.forget();
        if self.keep.doubt().is_some() {
            self.meters.suspect.inc();
            return;
        }
        match change {
            Change::Changed if skipped > 0 => self.meters.partial.inc(),
            Change::Changed => self.meters.changed.inc(),
            Change::Unchanged => self.meters.unchanged.inc(),
        };
        self.saving.note(|| self.keep.worth_saving(), now);
    }

    fn failed(&mut self, error: Error) {
        self.meters.failed.inc();
        if self.keep.failing().is_none() {
            tracing::warn!(
                called = %self.target.name(), error = ?error, "the source fails; the last good set stays"
            );
        }
        self.keep.failed(error);
    }

    fn ended(&mut self) {
        if self.keep.answered().is_some() {
            self.keep.settle(Instant::now());
        } else if self.keep.failing().is_none() {
            self.keep.failed(Error::new(ErrorKind::Internal, "the source ended without an answer"));
        }
    }

    fn recalled(&mut self, recalled: Recalled) -> Recollection {
        let (now, endpoints) = (Instant::now(), recalled.endpoints.len());
        let recollection = Recollection::of(&recalled, now);
        tracing::warn!(
            called = %self.target.name(), endpoints, age_s = recalled.age.as_secs(),
            "the source does not answer; a saved list is used (discovery.snapshot)"
        );
        self.keep.recall(recalled.endpoints, now);
        recollection
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

/// One confirmation and up to a third: a thousand clients that doubt at once do not all ask at once.
fn patience(roll: f64) -> std::time::Duration {
    CONFIRMATION.mul_f64(1.0 + roll / 3.0)
}

fn next(snapshots: &mut Snapshots) -> impl Future<Output = Option<Result<Snapshot>>> {
    poll_fn(|cx| snapshots.as_mut().poll_next(cx))
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => time::sleep_until(time).await,
        None => pending().await,
    }
}
