//! Is an endpoint connected?

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::sync::watch;

/// What the keeper of an endpoint's connections tells the balancer: whether there is a way to it.
///
/// One that is not connected is asked only where no other is. Clones are the same link; one by itself
/// ([`Link::default`]) is connected and tells nobody.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    connected: AtomicBool,
    /// Wakes the balancer's task; a thousand changes at once wake it once.
    changed: watch::Sender<()>,
}

impl Link {
    pub(super) fn new(connected: bool, changed: &watch::Sender<()>) -> Self {
        Link(Arc::new(Inner { connected: AtomicBool::new(connected), changed: changed.clone() }))
    }

    /// There is a way now, or there is none.
    pub fn set(&self, connected: bool) {
        if self.0.connected.swap(connected, Relaxed) != connected {
            self.0.changed.send_replace(());
        }
    }

    /// Whether there is a way.
    pub fn is_connected(&self) -> bool {
        self.0.connected.load(Relaxed)
    }
}

impl Default for Link {
    fn default() -> Self {
        Link::new(true, &watch::Sender::new(()))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.is_connected()).finish()
    }
}
