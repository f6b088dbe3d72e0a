//! Wire: what a client's page calls with, and what it asks to be sent.

use std::{future::Future, sync::Arc};

use super::{Asked, Row};
use crate::{
    call::{Call, Reply},
    context::Context,
    deadline::Limit,
    error::Result,
};

/// Everything below the attempt's clock: the choice of an endpoint, the headers, the connection, the judge.
///
/// One per protocol. It judges each reply once ([`Reply::judge`]); everything above reads that verdict.
pub trait Wire: Send + Sync {
    /// What it sends.
    type Call: Call;
    /// What comes back.
    type Reply: Reply;

    /// Sends one attempt, which it takes out of `call`, and tells `asked` whom it asks as soon as it knows.
    fn send(
        &self,
        call: &mut Sending<Self::Call>,
        asked: &Asked,
    ) -> impl Future<Output = Result<Self::Reply>> + Send;

    /// Is there anybody to ask but those in `asked`? A hedge that nobody could serve is not begun, nor paid for.
    fn has_other(&self, asked: &[Arc<str>]) -> bool {
        let _ = asked;
        true
    }

    /// Its part of the order, for [`ClientStack::describe`](super::ClientStack::describe). What it says of the storey call is the slot of that name.
    fn describe(&self) -> Vec<Row>;
}

/// A reply, and how it was come by.
#[derive(Debug)]
pub struct Answered<R> {
    /// The reply.
    pub reply: R,
    /// Who gave it.
    pub endpoint: Option<Arc<str>>,
    /// In which attempt, 0 for the first.
    pub attempt: u16,
    /// The whole call's limit. It has ended with the head of the reply; who reads the rest arms it anew.
    pub limit: Option<Limit>,
}

/// The call on its way down. It stays where it is and the storeys pass a pointer: every move of an HTTP request
/// costs as much as a guard.
pub struct Sending<Q>(Option<Q>);

impl<Q: Call> Sending<Q> {
    /// A call in its place.
    pub fn new(call: Q) -> Self {
        Sending(Some(call))
    }

    /// The call, where it stands.
    ///
    /// # Panics
    /// If it was taken.
    #[inline]
    pub fn call_mut(&mut self) -> &mut Q {
        self.0.as_mut().expect("only the wire takes the call")
    }

    /// The call itself, which its wire sends once.
    ///
    /// # Panics
    /// If it was taken before.
    #[inline]
    pub fn take(&mut self) -> Q {
        self.0.take().expect("one call for each attempt")
    }

    #[inline]
    pub(super) fn context_mut(&mut self) -> &mut Context {
        self.call_mut().context_mut()
    }
}
