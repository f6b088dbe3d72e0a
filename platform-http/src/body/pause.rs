//! How long does a reader wait for its caller, and who has its place meanwhile?

use std::{
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use platform_core::{admission::line::QUEUE_WAIT, context::Notes, stack::Lender};
use tokio::time::{Instant, Sleep};

/// The waits of one reader. While it is busy with what it has, nobody waits for the peer, who may not even be able to
/// send.
pub(super) struct Pauses {
    lender: Lender,
    /// The longest wait.
    idle: Option<Duration>,
    /// How much longer it keeps its place while it waits.
    patience: Duration,
    /// It has asked and not got anything yet.
    since: Option<Instant>,
    lent: bool,
    /// Armed by the first wait, and moved on by each that follows.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pauses {
    pub(super) fn new(lender: Lender, idle: Option<Duration>) -> Self {
        Pauses { lender, idle, patience: PATIENCE, since: None, lent: false, timer: None }
    }

    pub(super) fn notes(&self) -> &Arc<Notes> {
        self.lender.notes()
    }

    /// Nothing is there: ready, with how long that was, when it has waited for too long.
    pub(super) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if !self.lent {
            if self.patience > Duration::ZERO {
                let kept = self.idle.map_or(self.patience, |idle| idle.min(self.patience));
                ready!(self.poll_until(since + kept, cx));
            }
            self.lender.lend();
            self.lent = true;
        }
        let Some(idle) = self.idle else { return Poll::Pending };
        self.poll_until(since + idle, cx).map(|()| idle)
    }

    /// Something has come.
    #[inline]
    pub(super) fn end(&mut self) {
        if let Some(since) = self.since.take() {
            let waited = since.elapsed();
            self.lender.waited(waited);
            self.patience = self.patience.saturating_sub(waited);
        }
    }

    /// Ready when the request has its place again.
    #[inline]
    pub(super) fn poll_back(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.lent {
            ready!(self.lender.poll_back(cx));
            self.lent = false;
        }
        Poll::Ready(())
    }

    fn poll_until(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(cx)
    }
}

/// In all waits of a request together: a body that comes in a few packets keeps its place, and who waits outside for one
/// that only waits has it before his own time is over.
const PATIENCE: Duration = QUEUE_WAIT.checked_div(2).expect("two is not zero");
