//! What a request holds while it is served.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::ServerGuards;
use crate::{
    admission::{Admission as _, concurrency::Ticket},
    call::{Guard, Release},
    context::Notes,
    outcome::{Outcome, Verdict},
    tick::Tick,
};

/// A place among the requests that are served. It is free when this is dropped: when the reply has been sent.
#[must_use = "dropping it frees the place"]
pub struct Slot {
    /// `None` once the place is somebody else's to free.
    guards: Option<Arc<ServerGuards>>,
    class: u16,
    held: Held,
    /// Of a request whose body lends the place.
    notes: Option<Arc<Notes>>,
}

/// What a request has in hand.
#[derive(Clone, Copy)]
pub(super) enum Held {
    /// A place in its class's limit.
    Slot(Ticket),
    /// Nothing but its number among those that are sent for as long as somebody listens.
    Stream,
    /// Nothing: its place is lent, and whoever has it frees it.
    Nothing,
}

impl Slot {
    pub(super) fn new(guards: &Arc<ServerGuards>, class: u16, ticket: Ticket) -> Self {
        Slot { guards: Some(Arc::clone(guards)), class, held: Held::Slot(ticket), notes: None }
    }

    /// Its place is lent while its body waits for the caller, by a [`Lender`](super::Lender) with the same notes.
    pub fn lends(&mut self, notes: &Arc<Notes>) {
        if matches!(self.held, Held::Slot(_)) {
            notes.loan().open();
            self.notes = Some(Arc::clone(notes));
        }
    }

    /// Which class the request belongs to.
    pub fn class(&self) -> u16 {
        self.class
    }

    /// The request came to this; told once, when its reply is ready.
    #[inline]
    pub fn report(&self, outcome: Outcome, at: Tick) {
        if let (Held::Slot(ticket), Some(guards)) = (self.held, &self.guards) {
            // How long its caller took says nothing of what can be borne here.
            let waited = self.notes.as_ref().map_or(Duration::ZERO, |notes| notes.loan().waited());
            guards.of(self.class).line.limit().report(ticket.later(waited), &Verdict::new(outcome, at));
        }
    }

    /// Its reply is made while it is sent, for as long as somebody listens: it is one of those, and its place is free.
    pub fn stream(&mut self) {
        self.settle();
        let Some(guards) = &self.guards else { return };
        match self.held {
            Held::Slot(_) => guards.of(self.class).line.release(),
            Held::Nothing => {}
            Held::Stream => return,
        }
        guards.streams.fetch_add(1, Relaxed);
        self.held = Held::Stream;
    }

    /// What it holds now is what it holds to the end: nothing is lent any more.
    fn settle(&mut self) {
        if let Some(notes) = self.notes.take()
            && notes.loan().close()
        {
            self.held = Held::Nothing;
        }
    }

    /// The same for the body of a reply, which keeps it until it has been sent.
    pub fn into_guard(mut self) -> Option<Guard> {
        self.settle();
        let word = match self.held {
            Held::Slot(_) => u64::from(self.class),
            Held::Stream => STREAM,
            Held::Nothing => return None,
        };
        self.guards.take().map(|guards| Guard::new(guards, word))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.settle();
        if let Some(guards) = &self.guards {
            guards.free(self.class, self.held);
        }
    }
}

impl Release for ServerGuards {
    fn release(&self, word: u64) {
        match u16::try_from(word) {
            Ok(class) => self.of(class).line.release(),
            Err(_) => self.free(0, Held::Stream),
        }
    }
}

/// In place of a class.
const STREAM: u64 = u64::MAX;
