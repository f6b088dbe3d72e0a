//! Announced: others hear of this process when it is ready, and while it is.

use std::{convert::Infallible, future::pending, time::Duration};

use tokio::time::sleep;

use super::{Announce, App, ChangeKind, PLATFORM};

impl App {
    /// While the process serves already: a registry that hangs holds up nobody. Whoever stops the process drops this.
    pub(super) async fn tell_the_world(&self, announce: &[Box<dyn Announce>]) -> Infallible {
        if announce.is_empty() {
            return pending().await;
        }
        self.announce_when_ready(announce).await;
        let (mut told, mut misses) = (true, 0);
        loop {
            // Who was told that it is unwell is soon told that it is well again.
            sleep(if told { LOOK } else { SOON }).await;
            let report = self.health().ready().await;
            misses = if report.ok { 0 } else { misses + 1 };
            let ready = report.ok || (told && misses < MISSES);
            if ready == told {
                continue;
            }
            told = ready;
            let what =
                if ready { "ready again" } else { "not ready, so others are told to ask somebody else" };
            let why = report.failing();
            if ready {
                tracing::info!("ready again");
            } else {
                tracing::warn!(why, "not ready: others are told to ask somebody else");
            }
            self.changes().record(ChangeKind::Ready, PLATFORM, what, why);
            for announcement in announce {
                if let Err(error) = announcement.readiness(ready).await {
                    tracing::warn!(error = ?error, ready, "the world could not be told whether this instance is ready");
                }
            }
        }
    }

    async fn announce_when_ready(&self, announce: &[Box<dyn Announce>]) {
        let mut silent = true;
        loop {
            let report = self.health().ready().await;
            if report.ok {
                break;
            }
            if std::mem::take(&mut silent) {
                tracing::warn!(why = report.failing(), "not announced before it is ready");
            }
            sleep(SOON).await;
        }
        let bound = self.bound();
        for announcement in announce {
            if let Err(error) = announcement.announce(&bound).await {
                // A registry that is down must not keep a service from those who know its address.
                tracing::error!(error = ?error, "not announced");
            }
        }
    }
}

/// As often as a probe asks on a quick day; a check costs something too.
const LOOK: Duration = Duration::from_secs(5);
/// While somebody waits for it to be ready.
const SOON: Duration = Duration::from_secs(1);
/// One miss is a hiccup, and every change wakes all who call this service.
const MISSES: u32 = 2;
