//! What do we ask of a request, and of a reply?
//!
//! Guards know no protocol. Of a request they ask its [`Context`] and whether it may be sent again; of a
//! reply, its [`Verdict`] and to keep a guard until it has been read.

mod body;
mod http;

use std::{fmt, sync::Arc};

pub use body::{CarryCall, CarryReply};

use crate::{context::Context, outcome::Verdict};

/// A request, as the guards see it.
pub trait Call: Send + 'static {
    /// What travels with it.
    fn context(&self) -> &Context;

    /// The same, to narrow it.
    fn context_mut(&mut self) -> &mut Context;

    /// A copy, if one can be made of a body of at most `body` bytes. Whether it *may* be sent again is another question: a request that was
    /// never sent may go again whatever it is, an ambiguous failure only if it is [`idempotent`](Self::idempotent).
    fn repeat(&self, body: u64) -> Option<Self>
    where
        Self: Sized;

    /// May it be done twice?
    fn idempotent(&self) -> bool;
}

/// A reply, as the guards see it.
pub trait Reply: Send + 'static {
    /// What it meant; given once, at the bottom of the stack.
    fn verdict(&self) -> Option<Verdict>;

    /// Gives the verdict.
    fn judge(&mut self, verdict: Verdict);

    /// Is there nothing left to read? Then nothing need be [held](Self::hold).
    fn is_read(&self) -> bool {
        false
    }

    /// Keeps `guard` until the reply has been read, or drops it now if there is nothing left to read.
    fn hold(&mut self, guard: Guard);
}

/// A capacity that outlives the head of a reply: who to tell, and one word.
///
/// Two words instead of a box, so that holding one costs no allocation.
pub struct Guard {
    owner: Arc<dyn Release>,
    ticket: u64,
}

/// Takes a capacity back.
pub trait Release: Send + Sync + 'static {
    /// The holder of `ticket` is done. Called exactly once per [`Guard`].
    fn release(&self, ticket: u64);
}

impl Guard {
    /// A guard that tells `owner` when it is dropped.
    pub fn new(owner: Arc<dyn Release>, ticket: u64) -> Self {
        Guard { owner, ticket }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.owner.release(self.ticket);
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}
