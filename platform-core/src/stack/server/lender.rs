//! What does a request do with its place while it waits for its caller?
//!
//! A body that comes a byte at a time needs no capacity of this server, and a few dozen of them would fill every place
//! there is. So whoever reads one lends the place while nothing comes, and gets the next free one, before all who wait
//! outside, when something does: it was let in, and is refused nothing any more.

use std::{
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
    time::Duration,
};

use tokio::sync::oneshot;

use super::ServerGuards;
use crate::{admission::concurrency::Ticket, context::Notes, tick::Tick};

/// The body's end of its request's [`Slot`](super::Slot), if that [lends](super::Slot::lends) its place.
pub struct Lender {
    guards: Arc<ServerGuards>,
    class: u16,
    notes: Arc<Notes>,
    /// In line for a place, since when.
    back: Option<(oneshot::Receiver<Ticket>, Tick)>,
}

impl Lender {
    /// Of a request of this class, with these notes.
    pub fn new(guards: &Arc<ServerGuards>, class: u16, notes: &Arc<Notes>) -> Self {
        Lender { guards: Arc::clone(guards), class, notes: Arc::clone(notes), back: None }
    }

    /// What is remembered of the request.
    pub fn notes(&self) -> &Arc<Notes> {
        &self.notes
    }

    /// Nothing comes: others may have the place.
    pub fn lend(&mut self) {
        if self.notes.loan().lend() {
            self.guards.of(self.class).line.release();
        }
    }

    /// Something has come after so long. No limit learns from what a caller took.
    pub fn waited(&self, length: Duration) {
        self.notes.loan().add_wait(length);
    }

    /// Ready when the request has its place again, or needs none.
    pub fn poll_back(&mut self, cx: &mut Task<'_>) -> Poll<()> {
        let of = self.guards.of(self.class);
        if self.back.is_none() {
            if !self.notes.loan().is_lent() {
                return Poll::Ready(());
            }
            let now = Tick::now();
            match of.line.come_back(now, of.limits().enforces()) {
                Some(called) => self.back = Some((called, now)),
                None => {
                    self.has_it();
                    return Poll::Ready(());
                }
            }
        }
        if let Some((called, since)) = &mut self.back {
            let ticket = ready!(Pin::new(called).poll(cx)).ok();
            of.meters.queue_wait.observe(Tick::now().since(*since), None);
            self.back = None;
            of.line.is_back(ticket);
            self.has_it();
        }
        Poll::Ready(())
    }

    /// A place was taken for it.
    fn has_it(&self) {
        if !self.notes.loan().take_back() {
            // Its reply is out meanwhile, and nobody else would free the place.
            self.guards.of(self.class).line.release();
        }
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        let line = &self.guards.of(self.class).line;
        if let Some((called, _)) = self.back.take() {
            line.leave_way_back(called);
        }
        // A handler that reads no further works on, or its page is about to free the place.
        if self.notes.loan().take_back() {
            line.retake();
        }
    }
}
