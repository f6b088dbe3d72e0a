//! May this request go on?
//!
//! Breaker, bulkhead, concurrency limit, rate limit and throttle differ in what they count and agree on
//! everything else: *ask, run, report*. So each is an engine behind one trait, [`Admission`], without a future
//! of its own; and what they share is settled once, for all of them:
//!
//! * a [`Permit`] ends in exactly one report, also when the future that holds it is dropped: before its deadline
//!   as abandoned, which is evidence of nothing, after it as timed out, which is evidence of overload;
//! * a capacity comes back when the *reply has been read*, not when its head arrived ([`Kept`]);
//! * a [`Gate`] gives an engine its [`Mode`] and counts what it refused, or would have.
//!
//! # Taking one
//! Without tower: [`Gate::ask`] and [`Permit::report`]. With tower: [`AdmissionLayer`].
//!
//! # Traps
//! Deciding while polling for readiness: a permit that is taken there is lost when the service is cloned. All
//! decisions are made in `call`.

pub mod breaker;
pub mod bulkhead;
pub mod concurrency;
mod gate;
pub mod line;
pub mod metrics;
mod permit;
pub mod rate_limit;
mod refusal;
mod service;
pub mod shed;
pub mod throttle;

use std::future::{Future, ready};

pub(crate) use gate::Turn;
pub use gate::{AsGate, Gate, Place};
pub use permit::{Kept, Permit};
pub use refusal::Refusal;
pub use service::{AdmissionLayer, Admit, AdmitFuture};

use crate::{context::Context, outcome::Verdict};

#[cfg(doc)]
use crate::config::Mode;

/// Decides whether a request may go on.
///
/// An engine: it reads no clock ([`Context::now`] and [`Verdict::at`] are its clock), spawns nothing and takes no
/// lock on the way of a request that may go.
pub trait Admission: Send + Sync + 'static {
    /// What an admitted request is known by: a few words, handed back with its report.
    type Ticket: Copy + Send + 'static;

    /// May a request with this context go on?
    fn ask(&self, context: &Context) -> Answer<Self::Ticket>;

    /// The request of `ticket` ended so. Called exactly once for each ticket.
    fn report(&self, ticket: Self::Ticket, verdict: &Verdict);

    /// Does it hold a capacity until the reply has been read?
    const HOLDS: bool = false;

    /// One reply has been read: its capacity is free. Called exactly once for each ticket, after its report, if
    /// [`HOLDS`](Self::HOLDS).
    fn release(&self) {}

    /// Waits for a turn after [`Answer::Wait`]. It ends at the context's deadline at the latest, and dropping it
    /// gives back what it may have got.
    fn wait(&self, context: &Context) -> impl Future<Output = Answer<Self::Ticket>> + Send {
        ready(self.ask(context))
    }
}

/// What an engine answers.
#[derive(Debug)]
pub enum Answer<T> {
    /// Go on.
    Go(T),
    /// Not now, but soon: [`Admission::wait`], for a bounded time.
    Wait,
    /// No.
    No(Refusal),
}
