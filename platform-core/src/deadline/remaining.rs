//! Limit: the earlier of what is left and what is allowed.

use std::time::Duration;

use crate::{
    context::Deadline,
    error::{Error, ErrorKind},
    outcome::Outcome,
    tick::{Tick, nanos},
};

/// When something ends, after how long, and who wanted it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    deadline: Deadline,
    /// In nanoseconds.
    length: u64,
    whose: Whose,
}

/// Who set a limit.
// As large as the numbers beside it: what would lie between them is copied too, and in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Whose {
    /// The policy, for one attempt: another may follow.
    Attempt,
    /// The policy, for the whole call.
    Call,
    /// The request brought it along.
    Caller,
}

impl Limit {
    /// The limit of a call begun at `now`: what its caller left it or what its policy allows, whichever is
    /// less. `None` if neither says anything.
    pub fn of_call(
        known: Option<Deadline>,
        timeout: Option<Duration>,
        now: impl Into<Tick>,
    ) -> Option<Limit> {
        Limit::of_call_within(known, timeout.map_or(NEVER, nanos), now.into())
    }

    /// [`of_call`](Self::of_call) in nanoseconds, of which the stack's are.
    #[inline]
    pub(crate) fn of_call_within(known: Option<Deadline>, timeout: u64, now: Tick) -> Option<Limit> {
        let callers = known.map(|deadline| Limit {
            deadline,
            length: deadline.tick().nanos_since(now),
            whose: Whose::Caller,
        });
        nearest(callers, Limit::new(timeout, Whose::Call, now))
    }

    /// The limit of an attempt begun at `now` within a call that ends at `call`.
    #[inline]
    pub(crate) fn of_attempt_within(call: Option<Limit>, timeout: u64, now: Tick) -> Option<Limit> {
        nearest(call, Limit::new(timeout, Whose::Attempt, now))
    }

    /// When it ends.
    pub fn deadline(self) -> Deadline {
        self.deadline
    }

    /// How long it was when it was set.
    pub fn length(self) -> Duration {
        Duration::from_nanos(self.length)
    }

    /// Who set it.
    pub fn whose(self) -> Whose {
        self.whose
    }

    /// Refuses what could not be answered in time even if it were sent: `None` while there is time left.
    ///
    /// Nobody was asked, so it is evidence of nothing.
    pub fn spent(self, now: impl Into<Tick>) -> Option<Error> {
        self.deadline.has_passed(now).then(|| {
            Error::new(ErrorKind::Timeout, "the deadline had passed before anything was sent")
                .at_layer(LAYER_CALL)
                .with_outcome(Outcome::Local)
        })
    }

    /// What is told when there was no answer in time.
    pub fn exceeded(self) -> Error {
        self.exceeded_by("no answer")
    }

    /// The same of something else that was not there in time.
    pub fn exceeded_by(self, what: &str) -> Error {
        let (length, whose) = (self.length(), self.whose);
        let (layer, why) = match whose {
            Whose::Attempt => (LAYER_ATTEMPT, "one attempt's limit (policy.attempt_timeout)"),
            Whose::Call => (LAYER_CALL, "the whole call's limit (policy.timeout)"),
            Whose::Caller => (LAYER_CALL, "all that was left of the request's own deadline"),
        };
        Error::new(ErrorKind::Timeout, format!("{what} within {length:?}, {why}")).at_layer(layer)
    }

    /// `None` for a length that the clock cannot say, which is no limit.
    #[inline]
    fn new(length: u64, whose: Whose, now: Tick) -> Option<Limit> {
        now.after_nanos(length).map(|end| Limit { deadline: Deadline::at(end), length, whose })
    }
}

/// A length that is no limit: beyond what the clock can say.
pub(crate) const NEVER: u64 = u64::MAX;

/// The earlier; the outer of two that end together, because after it there is nothing left to try.
#[inline]
fn nearest(outer: Option<Limit>, inner: Option<Limit>) -> Option<Limit> {
    match (outer, inner) {
        (Some(outer), Some(inner)) if inner.deadline < outer.deadline => Some(inner),
        (Some(outer), _) => Some(outer),
        (None, inner) => inner,
    }
}

/// The layer in errors that end a call.
const LAYER_CALL: &str = "deadline";
/// The layer in errors that end an attempt.
const LAYER_ATTEMPT: &str = "attempt-deadline";

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[tokio::test(start_paused = true)]
    async fn the_nearest_limit_counts_and_says_whose_it_is() {
        let now = Instant::now();
        // caller, call, attempt → length, whose
        let table = [
            (None, None, None, None),
            (None, Some(800), None, Some((800, Whose::Call))),
            (None, None, Some(250), Some((250, Whose::Attempt))),
            (None, Some(800), Some(250), Some((250, Whose::Attempt))),
            (None, Some(250), Some(250), Some((250, Whose::Call))),
            (Some(100), Some(800), Some(250), Some((100, Whose::Caller))),
            (Some(800), Some(800), None, Some((800, Whose::Caller))),
            (Some(900), Some(800), Some(1000), Some((800, Whose::Call))),
            (Some(500), None, Some(250), Some((250, Whose::Attempt))),
            (Some(0), Some(800), Some(250), Some((0, Whose::Caller))),
        ];
        for (caller, call, attempt, expected) in table {
            let known = caller.map(|left| Deadline::at(now + ms(left)));
            let whole = Limit::of_call(known, call.map(ms), now);
            let limit = Limit::of_attempt_within(
                whole,
                attempt.map_or(NEVER, |length| nanos(ms(length))),
                now.into(),
            );
            let seen = limit.map(|limit| (limit.deadline().remaining(now), limit.length(), limit.whose()));
            let expected = expected.map(|(length, whose)| (ms(length), ms(length), whose));
            assert_eq!(seen, expected, "{caller:?} {call:?} {attempt:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_length_beyond_the_clock_is_no_limit() {
        assert_eq!(Limit::of_call(None, Some(Duration::MAX), Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_attempt_has_what_the_call_left_it() {
        let now = Instant::now();
        let call = Limit::of_call(None, Some(ms(800)), now);
        let second = Limit::of_attempt_within(call, nanos(ms(500)), (now + ms(510)).into()).unwrap();
        assert_eq!((second.deadline().remaining(now), second.whose()), (ms(800), Whose::Call));
        assert_eq!(second.length(), ms(800), "the whole call's length is what people know it by");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_spent_is_told_apart_from_what_was_silent() {
        let now = Instant::now();
        let limit = Limit::of_call(Some(Deadline::at(now)), None, now).unwrap();
        let refused = limit.spent(now).unwrap();
        assert_eq!((refused.kind(), refused.outcome()), (ErrorKind::Timeout, Outcome::Local));
        assert_eq!(refused.layer(), "deadline");

        let limit = Limit::of_call(None, Some(ms(250)), now).unwrap();
        assert!(limit.spent(now + ms(249)).is_none());
        assert_eq!((limit.exceeded().outcome(), limit.exceeded().layer()), (Outcome::Timeout, "deadline"));
        let limit = Limit::of_attempt_within(None, nanos(ms(250)), now.into()).unwrap();
        assert_eq!(limit.exceeded().layer(), "attempt-deadline");
        assert_eq!(
            limit.exceeded().detail(),
            "no answer within 250ms, one attempt's limit (policy.attempt_timeout)"
        );
    }
}
