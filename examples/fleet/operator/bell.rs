//! Bell: who wants the fleet to end?
//!
//! The first Ctrl-C, SIGTERM or closed terminal asks for an end in order; the next one means now.

use std::sync::Arc;

use platform_core::{Error, ErrorKind, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use super::folder::Folder;

/// Rings when the fleet should end.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: watch::Receiver<bool>,
    /// Ends with the bell.
    _listener: JoinSet<()>,
}

impl Bell {
    /// Listens from now on. The second ring ends every process of the fleet and this one.
    ///
    /// # Errors
    /// If the system lets nobody listen.
    pub(crate) fn listen(folder: &Arc<Folder>) -> Result<Self> {
        let refused = |error| Error::new(ErrorKind::Start, "cannot listen for signals").with_source(error);
        let listen = |kind| signal(kind).map_err(refused);
        let mut signals = Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        };
        let (ring, rung) = watch::channel(false);
        let folder = Arc::clone(folder);
        let mut listener = JoinSet::new();
        listener.spawn(async move {
            signals.next().await;
            ring.send_replace(true);
            let number = signals.next().await;
            folder.end_at_once(128 + number)
        });
        Ok(Bell { rung, _listener: listener })
    }

    /// Waits until it has rung.
    pub(crate) async fn rung(&mut self) {
        // The listener lives as long as the bell.
        let _ = self.rung.wait_for(|rung| *rung).await;
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// The number of the next one.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.hangup.recv() => SignalKind::hangup().as_raw_value(),
        }
    }
}
