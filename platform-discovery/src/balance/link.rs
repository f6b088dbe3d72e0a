//! Is an endpoint connected?

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
};

use tokio::sync::watch;

/// What the keeper of an endpoint's connections tells the balancer: whether there is a way to it, and what it says of
/// itself.
///
/// One that is not connected is asked only where no other is. Clones are the same link; one by itself
/// ([`Link::default`]) is connected and tells nobody.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

/// What an endpoint says of itself, where somebody listens ([`Link::says`]). What is made of it is
/// [`Config::health`](super::Config::health).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Nothing, or nobody listens: it is taken to be well.
    #[default]
    Unknown,
    /// Nothing yet, but its first word is about to come: others are asked until then.
    Awaited,
    /// It takes calls.
    Serving,
    /// It takes none: others are asked. Where all say so, all are asked.
    NotServing,
}

struct Inner {
    connected: AtomicBool,
    /// A [`Health`], by its number in [`Health::ALL`].
    health: AtomicU8,
    /// Wakes the balancer's task; a thousand changes at once wake it once.
    changed: watch::Sender<()>,
}

impl Link {
    pub(super) fn new(connected: bool, changed: &watch::Sender<()>) -> Self {
        let (connected, health) = (AtomicBool::new(connected), AtomicU8::new(0));
        Link(Arc::new(Inner { connected, health, changed: changed.clone() }))
    }

    /// There is a way now, or there is none.
    pub fn set(&self, connected: bool) {
        if self.0.connected.swap(connected, Relaxed) != connected {
            self.0.changed.send_replace(());
        }
    }

    /// The endpoint says this of itself now.
    pub fn says(&self, health: Health) {
        if self.0.health.swap(health.number(), Relaxed) != health.number() {
            self.0.changed.send_replace(());
        }
    }

    /// What the endpoint says of itself.
    pub fn health(&self) -> Health {
        Health::ALL[usize::from(self.0.health.load(Relaxed)) % Health::ALL.len()]
    }

    /// Waits until there is a way.
    pub async fn connected(&self) {
        let mut changed = self.0.changed.subscribe();
        while !self.is_connected() {
            // Its sender is in this link.
            let _ = changed.changed().await;
        }
    }

    /// Whether there is a way.
    pub fn is_connected(&self) -> bool {
        self.0.connected.load(Relaxed)
    }
}

impl Health {
    const ALL: [Health; 4] = [Health::Unknown, Health::Awaited, Health::Serving, Health::NotServing];

    fn number(self) -> u8 {
        // In the order of `ALL`.
        self as u8
    }

    /// As operators see it; nothing where nobody listens.
    pub(super) const fn label(self) -> Option<&'static str> {
        match self {
            Health::Unknown => None,
            Health::Awaited => Some("awaited"),
            Health::Serving => Some("serving"),
            Health::NotServing => Some("not_serving"),
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Link::new(true, &watch::Sender::new(()))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.is_connected()).field(&self.health()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_it_says_is_kept_and_told_when_it_changes() {
        let changed = watch::Sender::new(());
        let (link, mut heard) = (Link::new(false, &changed), changed.subscribe());
        assert_eq!((link.health(), link.health().label()), (Health::Unknown, None));
        for health in Health::ALL {
            assert_eq!(Health::ALL[usize::from(health.number())], health);
            link.says(health);
            let news = heard.has_changed().unwrap();
            assert_eq!(news, health != Health::Unknown, "it was unknown before");
            heard.mark_unchanged();
            link.says(health);
            assert!(!heard.has_changed().unwrap());
            assert_eq!(link.health(), health);
        }
        let waits = link.connected();
        let connects = async {
            tokio::task::yield_now().await;
            link.set(true);
        };
        tokio::join!(waits, connects);
        link.connected().await;
    }
}
