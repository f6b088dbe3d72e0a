//! Votes that nobody could count yet, until somebody can.
//!
//! In memory, and tried again every second and once more when the edge drains: a real shop would write them down
//! first. A vote that was counted although its answer was lost is counted twice, which this company can bear.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use platform_core::{App, lifecycle::OnDeath};
use platform_grpc::Channel;
use tokio::time::sleep;

use super::film::{Vote, ratings_client::RatingsClient};

/// A short queue; cheap to clone.
#[derive(Clone)]
pub(super) struct Outbox(Arc<Mutex<VecDeque<Vote>>>);

impl Outbox {
    /// An empty one, and the task that empties it.
    pub(super) fn start(app: &App, ratings: RatingsClient<Channel>) -> Self {
        let outbox = Outbox(Arc::default());
        let sent = outbox.clone();
        app.spawn("outbox", OnDeath::Restart, move |drain| {
            let (outbox, ratings) = (sent.clone(), ratings.clone());
            async move {
                let mut draining = false;
                while !draining {
                    tokio::select! {
                        () = sleep(EVERY) => {}
                        () = drain.asked() => draining = true,
                    }
                    outbox.deliver(ratings.clone()).await;
                }
                let left = outbox.queue().len();
                if left > 0 {
                    tracing::warn!(left, "votes are lost with this process");
                }
                Ok(())
            }
        });
        outbox
    }

    /// Keeps a vote; the oldest makes room for the newest.
    pub(super) fn put(&self, vote: Vote) {
        let mut queue = self.queue();
        if queue.len() == MOST {
            tracing::warn!("the outbox is full, the oldest vote is lost");
            queue.pop_front();
        }
        queue.push_back(vote);
    }

    /// Sends what there is, in order, until one cannot be sent.
    async fn deliver(&self, mut ratings: RatingsClient<Channel>) {
        loop {
            let Some(vote) = self.queue().pop_front() else { return };
            if ratings.rate(vote.clone()).await.is_err() {
                self.queue().push_front(vote);
                return;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Vote>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ratings that are away are asked once a second, and not by every vote.
const EVERY: Duration = Duration::from_secs(1);
/// A minute of a busy evening's votes.
const MOST: usize = 10_000;
