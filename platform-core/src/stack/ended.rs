//! Ended: what an attempt came to, and what follows from it for the call.

use super::duty::Slot;
use crate::{
    call::Reply,
    error::{Error, Result},
    outcome::{Again, Hint, Outcome, Verdict},
    tick::Tick,
};

/// How an attempt ended that was answered; its reply lies where the call wants it.
pub(super) struct Ended<'a> {
    /// 0 for the first.
    pub(super) attempt: u16,
    pub(super) outcome: Outcome,
    pub(super) at: Tick,
    /// One of the target's slots, until its reply has been read.
    pub(super) slot: Option<Slot<'a>>,
}

/// Is it what the call ends with, whatever may still be tried?
#[inline]
pub(super) fn is_final(result: &Result<Ended<'_>>) -> bool {
    outcome(result).readings().again == Again::Never
}

pub(super) fn is_success(result: &Result<Ended<'_>>) -> bool {
    outcome(result).is_success()
}

/// What an attempt meant, for all who need no more.
#[inline]
fn outcome(result: &Result<Ended<'_>>) -> Outcome {
    match result {
        Ok(ended) => ended.outcome,
        Err(error) => error.outcome(),
    }
}

/// The same with all that was said. The hint of an error is for our own callers and not the target's word, so it stays
/// with the error.
pub(super) fn read<R: Reply>(result: &Result<Ended<'_>>, reply: &Option<R>) -> Verdict {
    match result {
        Ok(Ended { outcome, at, .. }) => {
            let said = reply.as_ref().and_then(Reply::verdict);
            Verdict::new(*outcome, *at).with_hint(said.map_or(Hint::NONE, |verdict| verdict.hint))
        }
        Err(error) => Verdict::new(error.outcome(), Tick::now()),
    }
}

/// Of two that ended: the success; else the reply before the error; else the first. Is it the second?
pub(super) fn better<'a>(first: Result<Ended<'a>>, second: Result<Ended<'a>>) -> (Result<Ended<'a>>, bool) {
    if is_success(&first) || (first.is_ok() && !is_success(&second)) {
        return (first, false);
    }
    match second {
        Ok(second) => (Ok(second), true),
        Err(_) => (first, false),
    }
}

pub(super) fn attach<'a>(result: Result<Ended<'a>>, why: &str) -> Result<Ended<'a>> {
    result.map_err(|error: Error| error.noting(why))
}
