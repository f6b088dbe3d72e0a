//! Drain: ask everyone to finish, wait until they have.
//!
//! A token that tells and a guard that is held: waiting for the drain is waiting for the guards (the idea is
//! hyper-util's). Whoever takes a guard promises to look at the token.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

/// Asks for the drain, once.
#[derive(Debug)]
pub struct Trigger {
    ask: watch::Sender<Asked>,
}

/// What has been said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    No,
    Soon(Notice),
    Now,
}

/// The drain comes when the world has been told: from `began` on for `length` whoever comes is served as always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Since when it is told.
    pub began: Instant,
    /// How long until the drain.
    pub length: Duration,
}

/// Knows whether the drain has been asked for; cheap to clone. Every clone also holds the drain open, so it is
/// dropped when its work is done.
#[derive(Clone, Debug)]
pub struct Drain {
    asked: watch::Receiver<Asked>,
}

impl Drain {
    /// A drain that nobody has asked for yet.
    pub fn new() -> (Trigger, Drain) {
        let (ask, asked) = watch::channel(Asked::No);
        (Trigger { ask }, Drain { asked })
    }

    /// Waits until the drain is asked for.
    pub async fn asked(&self) {
        let mut asked = self.asked.clone();
        // A trigger that vanished without a word was dropped with its process's App: the same as asking.
        let _ = asked.wait_for(|asked| *asked == Asked::Now).await;
    }

    /// Waits until it is announced; `None` if it is asked for without that.
    pub async fn announced(&self) -> Option<Notice> {
        let mut asked = self.asked.clone();
        match asked.wait_for(|asked| *asked != Asked::No).await.as_deref() {
            Ok(Asked::Soon(notice)) => Some(*notice),
            _ => None,
        }
    }

    /// Has it been asked for?
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow() == Asked::Now || self.asked.has_changed().is_err()
    }
}

impl Trigger {
    /// Tells everyone that they will be asked after `length`, once.
    pub fn announce(&self, length: Duration) {
        let notice = Notice { began: Instant::now(), length };
        self.ask.send_if_modified(|asked| {
            let is_news = *asked == Asked::No;
            if is_news {
                *asked = Asked::Soon(notice);
            }
            is_news
        });
    }

    /// Tells everyone. Further calls change nothing.
    pub fn ask(&self) {
        self.ask.send_replace(Asked::Now);
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
    async fn it_is_announced_once_and_asked_for_later() {
        let (trigger, drain) = Drain::new();
        let later = drain.clone();
        let heard = tokio::join!(drain.announced(), async {
            trigger.announce(Duration::from_secs(5));
            trigger.announce(Duration::from_secs(9));
        });
        let notice = heard.0.expect("it was announced");
        assert_eq!((notice.began, notice.length), (Instant::now(), Duration::from_secs(5)));
        assert!(!drain.is_asked());
        trigger.ask();
        trigger.announce(Duration::from_secs(5));
        assert!(drain.is_asked());
        assert_eq!(later.announced().await, None, "it is too late for that");
    }

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
