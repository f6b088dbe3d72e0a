//! Decide: could a repeat help, and can it not hurt?

use std::time::Duration;

use super::{
    backoff::{self, Wait},
    config::Retry,
    reason::Reason,
    safety::Safety,
};
use crate::{
    observe::AttemptKind,
    outcome::{Hint, Mark, Outcome},
};

/// What is known when an attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it meant.
    pub outcome: Outcome,
    /// What the target said: of the verdict, not of an error.
    pub hint: Hint,
    /// Attempts of this call so far, of every kind; 1 after the first.
    pub attempts_made: u32,
    /// May the request be done twice?
    pub idempotent: bool,
    /// Is a copy of the request at hand?
    pub repeatable: bool,
    /// Is this call itself a repeat, or made while serving one?
    pub chain_stop: bool,
    /// Time left of the call; `None` is no limit.
    pub left: Option<Duration>,
    /// What an attempt recently took, if that is known.
    pub median: Option<Duration>,
    /// Was it one of our own guards that refused? Then nobody was asked, and asking again changes nothing.
    pub local_refusal: bool,
    /// A dice roll over all of `u64`.
    pub roll: u64,
}

/// Whether to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, if the budget pays for it.
    Again {
        /// Why.
        kind: AttemptKind,
        /// Not sooner than this.
        after: Duration,
    },
    /// No: the caller gets what there is.
    Stop(Reason),
}

/// Decides by all rules but the budget, which is asked last, by whoever is about to repeat.
///
/// `retry.mode` *observe* is decided like *enforce*; the caller counts it and stops.
///
/// A request that was certainly not worked on is a requeue: it has one attempt more than `max_attempts`, and the first
/// one goes at once, because another endpoint is as likely to be well as ever.
pub fn decide(facts: &Facts, retry: &Retry) -> Decision {
    match check(facts, retry) {
        Ok((kind, after)) => Decision::Again { kind, after },
        Err(reason) => Decision::Stop(reason),
    }
}

fn check(facts: &Facts, retry: &Retry) -> Result<(AttemptKind, Duration), Reason> {
    let safety = Safety::of(facts.outcome, facts.hint);
    let unprocessed = safety.is_unprocessed();
    if safety == Safety::Final || facts.local_refusal {
        let told =
            facts.hint.mark == Some(Mark::Never) && !facts.outcome.is_success() && !facts.local_refusal;
        return Err(if told { Reason::ToldNever } else { Reason::Final });
    }
    if !retry.mode.is_on() {
        return Err(Reason::Off);
    }
    if facts.chain_stop && safety != Safety::NeverSent {
        return Err(Reason::ChainStop);
    }
    if facts.attempts_made >= most_attempts(retry, unprocessed) {
        return Err(Reason::AttemptsSpent);
    }
    if !facts.repeatable {
        return Err(Reason::NoCopy);
    }
    if !facts.idempotent && !safety.is_safe() {
        return Err(Reason::NotIdempotent);
    }
    let after = wait(safety, facts, retry)?;
    if facts.left.is_some_and(|left| left <= after.saturating_add(facts.median.unwrap_or_default())) {
        return Err(Reason::TooLate);
    }
    Ok((if unprocessed { AttemptKind::Requeue } else { AttemptKind::Retry }, after))
}

pub(super) fn wait(safety: Safety, facts: &Facts, retry: &Retry) -> Result<Duration, Reason> {
    let (throttled, hint) = match safety {
        Safety::NeverSent if facts.attempts_made <= 1 => return Ok(Duration::ZERO),
        Safety::RefusedUnseen { after: None } if facts.attempts_made <= 1 => return Ok(Duration::ZERO),
        Safety::RefusedUnseen { after } | Safety::Rejected { after } => (true, after),
        Safety::NeverSent | Safety::Ambiguous | Safety::Final => (false, facts.hint.after),
    };
    match backoff::delay(retry, facts.attempts_made, throttled, hint, facts.roll) {
        Wait::After(after) => Ok(after),
        Wait::TooLong(_) => Err(Reason::HintTooLong),
    }
}

pub(super) const fn most_attempts(retry: &Retry, unprocessed: bool) -> u32 {
    // One attempt that nobody worked on is free: it cost the target nothing.
    retry.max_attempts.saturating_add(unprocessed as u32)
}

/// A timeout of an idempotent call with everything in its favour.
#[cfg(test)]
pub(super) const FACTS: Facts = Facts {
    outcome: Outcome::Timeout,
    hint: Hint::NONE,
    attempts_made: 1,
    idempotent: true,
    repeatable: true,
    chain_stop: false,
    left: None,
    median: None,
    local_refusal: false,
    roll: u64::MAX,
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Mode;

    const MS: Duration = Duration::from_millis(1);

    fn again(kind: AttemptKind, after: u32) -> Decision {
        Decision::Again { kind, after: after * MS }
    }

    fn hint(after: Option<u32>, mark: Option<Mark>) -> Hint {
        Hint { after: after.map(|ms| ms * MS), mark }
    }

    #[test]
    fn the_rules_in_their_order() {
        use AttemptKind::{Requeue, Retry as Again};
        use Decision::Stop;
        use Outcome::{CallerFault, Local, Overload, ServerFault, Success, Timeout, Unreachable};
        let retry = Retry::default();
        let bare = Facts { idempotent: false, ..FACTS };
        let safe = hint(None, Some(Mark::Safe));
        let never = hint(None, Some(Mark::Never));
        let last = |facts: Facts| Facts { attempts_made: 3, ..facts };
        let table = [
            ("a success", Facts { outcome: Success, ..FACTS }, Stop(Reason::Final)),
            ("a success, told", Facts { outcome: Success, hint: never, ..FACTS }, Stop(Reason::Final)),
            ("a caller's fault", Facts { outcome: CallerFault, ..FACTS }, Stop(Reason::Final)),
            ("our own refusal", Facts { outcome: Local, ..FACTS }, Stop(Reason::Final)),
            ("a guard's refusal", Facts { local_refusal: true, ..FACTS }, Stop(Reason::Final)),
            ("told never", Facts { hint: never, ..FACTS }, Stop(Reason::ToldNever)),
            ("a timeout", FACTS, again(Again, 50)),
            ("a second timeout", Facts { attempts_made: 2, ..FACTS }, again(Again, 100)),
            ("a third", last(FACTS), Stop(Reason::AttemptsSpent)),
            ("a POST's timeout", bare, Stop(Reason::NotIdempotent)),
            ("a POST's 500", Facts { outcome: ServerFault, ..bare }, Stop(Reason::NotIdempotent)),
            ("a GET's 500", Facts { outcome: ServerFault, ..FACTS }, again(Again, 50)),
            ("a 500 with a delay", Facts { hint: hint(Some(200), None), ..FACTS }, again(Again, 300)),
            ("a POST never sent", Facts { outcome: Unreachable, ..bare }, again(Requeue, 0)),
            ("twice", Facts { outcome: Unreachable, attempts_made: 2, ..bare }, again(Requeue, 100)),
            ("one is free", last(Facts { outcome: Unreachable, ..bare }), again(Requeue, 200)),
            (
                "and no more",
                Facts { outcome: Unreachable, attempts_made: 4, ..bare },
                Stop(Reason::AttemptsSpent),
            ),
            ("a POST refused unseen", Facts { outcome: Overload, hint: safe, ..bare }, again(Requeue, 0)),
            (
                "twice",
                Facts { outcome: Overload, hint: safe, attempts_made: 2, ..bare },
                again(Requeue, 2000),
            ),
            (
                "with a delay",
                Facts { outcome: Overload, hint: hint(Some(2000), Some(Mark::Safe)), ..bare },
                again(Requeue, 3000),
            ),
            ("a bare 429 of a POST", Facts { outcome: Overload, ..bare }, again(Again, 1000)),
            (
                "a 503 with a delay",
                Facts { outcome: Overload, hint: hint(Some(2000), None), ..bare },
                again(Again, 3000),
            ),
            (
                "too long a delay",
                Facts { outcome: Overload, hint: hint(Some(400_000), None), ..bare },
                Stop(Reason::HintTooLong),
            ),
            ("no copy", Facts { repeatable: false, ..FACTS }, Stop(Reason::NoCopy)),
            ("no copy of a POST", Facts { repeatable: false, ..bare }, Stop(Reason::NoCopy)),
            ("a repeat's child", Facts { chain_stop: true, ..FACTS }, Stop(Reason::ChainStop)),
            (
                "a repeat's child, unseen",
                Facts { chain_stop: true, outcome: Overload, hint: safe, ..FACTS },
                Stop(Reason::ChainStop),
            ),
            (
                "a repeat's child, never sent",
                Facts { chain_stop: true, outcome: Unreachable, ..bare },
                again(Requeue, 0),
            ),
            ("time enough", Facts { left: Some(51 * MS), ..FACTS }, again(Again, 50)),
            ("no time to wait", Facts { left: Some(50 * MS), ..FACTS }, Stop(Reason::TooLate)),
            (
                "time for an attempt",
                Facts { left: Some(151 * MS), median: Some(100 * MS), ..FACTS },
                again(Again, 50),
            ),
            (
                "no time for one",
                Facts { left: Some(150 * MS), median: Some(100 * MS), ..FACTS },
                Stop(Reason::TooLate),
            ),
            (
                "no time at all",
                Facts { left: Some(Duration::ZERO), outcome: Unreachable, ..FACTS },
                Stop(Reason::TooLate),
            ),
        ];
        for (what, facts, expected) in table {
            assert_eq!(decide(&facts, &retry), expected, "{what}");
        }
        let of = |mode| decide(&FACTS, &Retry { mode, ..retry });
        assert_eq!(of(Mode::Off), Stop(Reason::Off));
        assert_eq!(of(Mode::Observe), of(Mode::Enforce));
        let success = Facts { outcome: Timeout, hint: never, ..FACTS };
        assert_eq!(decide(&success, &Retry { mode: Mode::Off, ..retry }), Stop(Reason::ToldNever));
    }

    fn facts() -> impl Strategy<Value = Facts> {
        let ms = || prop::option::of((0u32..400_000).prop_map(|ms| ms * MS));
        let mark = prop::option::of(prop::sample::select(vec![Mark::Never, Mark::Safe]));
        let flags = any::<(bool, bool, bool, bool, u64)>();
        (prop::sample::select(Outcome::ALL.to_vec()), ms(), mark, 1u32..8, flags, ms(), ms()).prop_map(
            |(outcome, after, mark, attempts_made, flags, left, median)| {
                let (idempotent, repeatable, chain_stop, local_refusal, roll) = flags;
                let hint = Hint { after, mark };
                Facts {
                    outcome,
                    hint,
                    attempts_made,
                    idempotent,
                    repeatable,
                    chain_stop,
                    left,
                    median,
                    local_refusal,
                    roll,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn no_repeat_breaks_a_rule(facts in facts(), max_attempts in 1u32..=5) {
            let retry = Retry { max_attempts, ..Retry::default() };
            let safety = Safety::of(facts.outcome, facts.hint);
            let Decision::Again { kind, after } = decide(&facts, &retry) else { return Ok(()) };
            prop_assert!(facts.repeatable && !facts.local_refusal && safety != Safety::Final);
            prop_assert!(facts.idempotent || safety.is_safe());
            prop_assert!(!facts.chain_stop || facts.outcome == Outcome::Unreachable);
            prop_assert!(facts.attempts_made <= max_attempts);
            prop_assert_eq!(kind == AttemptKind::Requeue, safety.is_unprocessed());
            prop_assert!(facts.left.is_none_or(|left| left > after));
            if let Safety::RefusedUnseen { after: Some(told) } | Safety::Rejected { after: Some(told) } = safety {
                prop_assert!(after >= told);
            }
        }

        #[test]
        fn more_in_its_favour_never_stops_a_repeat(facts in facts()) {
            let retry = Retry::default();
            let Decision::Again { .. } = decide(&facts, &retry) else { return Ok(()) };
            let better = Facts {
                attempts_made: 1, idempotent: true, chain_stop: false, left: None, median: None, ..facts
            };
            let again = matches!(decide(&better, &retry), Decision::Again { .. });
            prop_assert!(again);
        }
    }
}
