//! Who cannot be called when a process starts?

use std::{sync::Arc, time::Duration};

use tokio::time::{self, Instant};

use crate::{endpoint::State, watch::Watch};

/// A target that cannot be called yet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// What logs and metrics call it.
    pub target: Arc<str>,
    /// What its source said.
    pub why: String,
}

/// Waits until every target has had its first answer, at most `wait`; then says which of them cannot be called yet.
pub(crate) async fn missing(watches: &[Arc<Watch>], wait: Duration) -> Vec<NotReady> {
    let end = Instant::now() + wait;
    for watch in watches {
        // All share one end, so that the wait is the longest and not the sum; who is late shows below.
        let _ = time::timeout_at(end, watch.answered()).await;
    }
    let now = Instant::now();
    let mut missing = Vec::new();
    for watch in watches {
        let belief = watch.belief();
        if belief.set.count(State::Ready) == 0 {
            let why = belief.explain(&watch.source, now);
            let target = Arc::clone(watch.target.name());
            tracing::warn!(called = %target, why, "a target cannot be called yet");
            missing.push(NotReady { target, why });
        }
    }
    missing
}
