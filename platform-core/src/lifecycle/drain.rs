//! Drain: ask everyone to finish, wait until they have.
//!
//! A token that tells and a guard that is held: waiting for the drain is waiting for the guards (the idea is
//! hyper-util's). Whoever takes a guard promises to look at the token.

use tokio::sync::watch;

/// Asks for the drain, once.
#[derive(Debug)]
pub struct Trigger {
    ask: watch::Sender<bool>,
}

/// Knows whether the drain has been asked for; cheap to clone. Every clone also holds the drain open, so it is
/// dropped when its work is done.
#[derive(Clone, Debug)]
pub struct Drain {
    asked: watch::Receiver<bool>,
}

impl Drain {
    /// A drain that nobody has asked for yet.
    pub fn new() -> (Trigger, Drain) {
        let (ask, asked) = watch::channel(false);
        (Trigger { ask }, Drain { asked })
    }

    /// Waits until the drain is asked for.
    pub async fn asked(&self) {
        let mut asked = self.asked.clone();
        // A trigger that vanished without a word was dropped with its process's App: the same as asking.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    /// Has it been asked for?
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow() || self.asked.has_changed().is_err()
    }
}

impl Trigger {
    /// Tells everyone. Further calls change nothing.
    pub fn ask(&self) {
        self.ask.send_replace(true);
    }

    /// Waits until every [`Drain`] has been dropped.
    pub async fn finished(&self) {
        self.ask.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_drain_is_over_when_the_last_guard_is_dropped() {
        let (trigger, drain) = Drain::new();
        let second = drain.clone();
        assert!(!drain.is_asked());

        trigger.ask();
        drain.asked().await;
        assert!(drain.is_asked() && second.is_asked());

        drop(drain);
        assert!(
            tokio::time::timeout(Duration::from_secs(60), trigger.finished()).await.is_err(),
            "one still works"
        );
        drop(second);
        trigger.finished().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_vanished_trigger_asks() {
        let (trigger, drain) = Drain::new();
        drop(trigger);
        drain.asked().await;
        assert!(drain.is_asked());
    }
}
