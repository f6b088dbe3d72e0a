//! What happened?
//!
//! Once per call what its caller felt, waiting and refusals included; once per attempt what came of it. The stack
//! reports both exactly once (`stack/duty.rs`), also when the future is dropped: as abandoned, or as timed out if
//! its deadline had passed by then.
//!
//! # Signals
//! `platform_client_call_duration_seconds` is what users of a dependency notice;
//! `platform_client_attempts_total` over its count is the extra load that repeats make.
//!
//! # Traps
//! Counting only what returns: the calls that matter most are those whose callers gave up.

mod attempt;
mod call;
mod labels;
mod metrics;

pub use attempt::Attempts;
pub use call::Calls;
pub use labels::{AttemptKind, AttemptLabels, CallLabels};
pub(crate) use metrics::signals;
pub use metrics::{ATTEMPTS, CALL_DURATION};

use crate::{
    call::Reply,
    context::Deadline,
    error::Error,
    outcome::{Outcome, Verdict},
    tick::Tick,
};

/// What a result meant: a reply carries its verdict, an error its outcome. The hint of an error is for our own
/// callers and not the target's word, so it stays with the error.
///
/// The verdict's instant is the second clock reading of an attempt; where nobody took it, it is taken here.
#[inline(always)]
pub fn verdict<R: Reply>(result: Result<&R, &Error>) -> Verdict {
    match result {
        Ok(reply) => reply.verdict().unwrap_or_else(|| Verdict::new(Outcome::Success, Tick::now())),
        Err(error) => verdict_of(error),
    }
}

/// What an error meant, now.
#[inline]
pub(crate) fn verdict_of(error: &Error) -> Verdict {
    Verdict::new(error.outcome(), Tick::now())
}

/// What it means that nobody waited for the end.
pub(crate) fn dropped(deadline: Option<Deadline>, now: Tick) -> Outcome {
    if deadline.is_some_and(|deadline| deadline.has_passed(now)) {
        Outcome::Timeout
    } else {
        Outcome::Abandoned
    }
}
