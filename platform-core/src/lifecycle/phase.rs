//! Phase: where a process is on its way from start to stop.

use tokio::sync::watch;

/// Where a process is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not yet fit to be asked.
    Starting,
    /// Serving.
    Ready,
    /// Finishing what is begun; nothing new should come.
    Draining,
    /// Done.
    Stopped,
}

impl Phase {
    /// The word in logs and on the admin page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
        }
    }
}

/// The phase of one process: the App moves it, everyone else reads.
#[derive(Clone, Debug)]
pub struct Phases {
    current: watch::Sender<Phase>,
}

impl Phases {
    pub(crate) fn new() -> Self {
        Phases { current: watch::Sender::new(Phase::Starting) }
    }

    /// The phase now.
    pub fn current(&self) -> Phase {
        *self.current.borrow()
    }

    /// Waits until `phase` has been reached or passed.
    pub async fn reached(&self, phase: Phase) {
        // The sender lives in `self`, so the channel cannot close while somebody waits on it.
        let _ = self.current.subscribe().wait_for(|current| *current >= phase).await;
    }

    /// Time runs one way: a move back is ignored. True if the phase changed.
    pub(crate) fn advance(&self, phase: Phase) -> bool {
        self.current.send_if_modified(|current| {
            let forward = phase > *current;
            if forward {
                *current = phase;
            }
            forward
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_runs_one_way() {
        let phases = Phases::new();
        assert!(phases.advance(Phase::Draining), "a process may be told to stop while it starts");
        assert!(!phases.advance(Phase::Ready));
        assert_eq!(phases.current(), Phase::Draining);
        phases.reached(Phase::Ready).await;
    }
}
