//! The same questions, of a body.
//!
//! A foreign trait cannot be implemented for `http::Request` outside the trait's crate. So core implements
//! [`Call`](super::Call) and [`Reply`](super::Reply) for it, over these two traits that a transport
//! implements for its own body.

use http::{HeaderMap, Method};

use super::Guard;
use crate::{context::Context, outcome::Verdict};

/// What core asks of a request's body.
pub trait CarryCall: Send + Sized + 'static {
    /// What travels with the request.
    fn context(&self) -> &Context;

    /// The same, to narrow it.
    fn context_mut(&mut self) -> &mut Context;

    /// A copy, if the bytes are at hand and no more than `body`.
    fn repeat(&self, body: u64) -> Option<Self>;

    /// May a request with this method and these headers be done twice?
    fn idempotent(&self, method: &Method, headers: &HeaderMap) -> bool;
}

/// What core asks of a reply's body.
pub trait CarryReply: Send + Sized + 'static {
    /// What the reply meant.
    fn verdict(&self) -> Option<Verdict>;

    /// Gives the verdict.
    fn judge(&mut self, verdict: Verdict);

    /// Is there nothing left to read?
    fn is_read(&self) -> bool {
        false
    }

    /// Keeps `guard` until the body has been read.
    fn hold(&mut self, guard: Guard);
}
