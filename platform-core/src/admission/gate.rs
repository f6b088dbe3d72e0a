//! Gate: an engine with its place in the stack, its mode, and the count of its refusals.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

use super::{Admission, Answer, Permit, Refusal, metrics::Refusals};
use crate::{
    config::Mode,
    context::Context,
    error::{Error, ErrorKind, Result},
    tick::Tick,
};

/// An engine at its place. The mode may change while calls are under way.
///
/// In mode observe it decides, counts what it would have refused, and changes nothing: a call that it would have
/// refused, or made wait, goes on without a permit, so what it learns is what it would have learnt.
#[derive(Debug)]
pub struct Gate<A> {
    engine: A,
    place: Place,
    mode: AtomicU8,
    refusals: Refusals,
}

/// Who refuses, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The layer in errors: `breaker`.
    pub layer: &'static str,
    /// The kind of its refusals.
    pub kind: ErrorKind,
}

impl<A: Admission> Gate<A> {
    /// `engine` at `place`.
    pub fn new(engine: A, place: Place, mode: Mode, refusals: Refusals) -> Self {
        Gate { engine, place, mode: AtomicU8::new(mode as u8), refusals }
    }

    /// The engine.
    #[inline]
    pub fn engine(&self) -> &A {
        &self.engine
    }

    /// How much it may do now.
    #[inline]
    pub fn mode(&self) -> Mode {
        Mode::of_number(self.mode.load(Relaxed))
    }

    /// How much it may do from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Relaxed);
    }

    /// The layer in its errors.
    pub fn layer(&self) -> &'static str {
        self.place.layer
    }

    /// May a request with this context go on now? Never waits: a turn that has to be waited for is a refusal.
    ///
    /// # Errors
    /// The refusal, in mode enforce.
    #[inline]
    pub fn ask(&self, context: &Context) -> Result<Permit<&Self, A>> {
        self.admit(context).map(|ticket| Permit::new(self, ticket, context.deadline()))
    }

    /// The same, waiting for a turn where the engine has turns. After a real wait the context's clock reading is new.
    ///
    /// # Errors
    /// The refusal, in mode enforce.
    #[inline]
    pub async fn enter(&self, context: &mut Context) -> Result<Permit<&Self, A>> {
        let ticket = match self.turn(context) {
            Turn::Now(done) => done?,
            Turn::Wait => self.wait(context).await?,
        };
        Ok(Permit::new(self, ticket, context.deadline()))
    }

    /// [`ask`](Self::ask) for who sees to the report himself: the engine's ticket, or none if it gave none.
    #[inline(always)]
    pub(crate) fn admit(&self, context: &Context) -> Result<Option<A::Ticket>> {
        match self.turn(context) {
            Turn::Now(done) => done,
            Turn::Wait => Err(self.refuse(Refusal::new("there is no room now, and nobody waits here"))),
        }
    }

    /// A ticket, none, a refusal, or a turn to [wait](Self::wait) for.
    #[inline(always)]
    pub(crate) fn turn(&self, context: &Context) -> Turn<A::Ticket> {
        let mode = self.mode.load(Relaxed);
        if mode == OFF {
            return Turn::Now(Ok(None));
        }
        match self.engine.ask(context) {
            Answer::Go(ticket) => Turn::Now(Ok(Some(ticket))),
            Answer::Wait if mode == ENFORCE => Turn::Wait,
            Answer::Wait => Turn::Now(self.object(Refusal::new(NO_TURN)).map(|()| None)),
            Answer::No(refusal) => Turn::Now(self.object(refusal).map(|()| None)),
        }
    }

    /// Waits for a turn. Boxed: it is rare and long, and its state should not be part of every call's.
    pub(crate) fn wait<'a, 'c>(
        &'a self,
        context: &'c mut Context,
    ) -> Pin<Box<impl Future<Output = Result<Option<A::Ticket>>> + use<'a, 'c, A>>> {
        Box::pin(async move {
            let answer = self.engine.wait(context).await;
            context.set_now(Tick::now());
            self.settle(answer)
        })
    }

    /// Makes of an engine's last word what its mode allows.
    fn settle(&self, answer: Answer<A::Ticket>) -> Result<Option<A::Ticket>> {
        match answer {
            Answer::Go(ticket) => Ok(Some(ticket)),
            Answer::No(refusal) => self.object(refusal).map(|()| None),
            Answer::Wait => self.object(Refusal::new(NO_TURN)).map(|()| None),
        }
    }

    /// Makes of a refusal what its mode allows: an error, or only a count.
    #[cold]
    fn object(&self, refusal: Refusal) -> Result<()> {
        if self.mode().enforces() {
            return Err(self.refuse(refusal));
        }
        self.refusals.would_have.inc();
        Ok(())
    }

    #[cold]
    fn refuse(&self, refusal: Refusal) -> Error {
        self.refusals.refused.inc();
        let error = Error::new(self.place.kind, refusal.why).at_layer(self.place.layer);
        match refusal.after {
            Some(after) => error.retry_after(after),
            None => error,
        }
    }
}

const NO_TURN: &str = "there was no turn in time";
const OFF: u8 = Mode::Off as u8;
const ENFORCE: u8 = Mode::Enforce as u8;

/// What a gate says when it may wait.
pub(crate) enum Turn<T> {
    Now(Result<Option<T>>),
    Wait,
}

/// A pointer to a gate: borrowed by a stack, shared by a tower layer.
pub trait AsGate<A>: Send {
    /// The gate.
    fn gate(&self) -> &Gate<A>;
}

impl<A: Admission> AsGate<A> for &Gate<A> {
    fn gate(&self) -> &Gate<A> {
        self
    }
}

impl<A: Admission> AsGate<A> for std::sync::Arc<Gate<A>> {
    fn gate(&self) -> &Gate<A> {
        self
    }
}
