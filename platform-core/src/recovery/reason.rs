//! Reason: why was it not repeated?

use std::borrow::Cow;

use super::{
    backoff::LONGEST_HINT,
    config::Retry,
    decide::{Facts, most_attempts, wait},
    safety::Safety,
};
use crate::config::size;

/// Why an attempt is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The target's answer, or our own refusal, stands.
    Final,
    /// It may have been done, and must not be done twice.
    NotIdempotent,
    /// There is no copy to send.
    NoCopy,
    /// Somebody further up repeats already.
    ChainStop,
    /// As many attempts as are allowed have been made.
    AttemptsSpent,
    /// Too much of the recent traffic was repeats.
    BudgetSpent,
    /// The caller would have left before an answer.
    TooLate,
    /// The target said not to.
    ToldNever,
    /// The target said to come back when nobody waits any more.
    HintTooLong,
    /// Switched off.
    Off,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 10] = [
        Reason::Final,
        Reason::NotIdempotent,
        Reason::NoCopy,
        Reason::ChainStop,
        Reason::AttemptsSpent,
        Reason::BudgetSpent,
        Reason::TooLate,
        Reason::ToldNever,
        Reason::HintTooLong,
        Reason::Off,
    ];

    /// The word in logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Final => "final",
            Reason::NotIdempotent => "not-idempotent",
            Reason::NoCopy => "no-copy",
            Reason::ChainStop => "chain-stop",
            Reason::AttemptsSpent => "attempts-spent",
            Reason::BudgetSpent => "budget-spent",
            Reason::TooLate => "too-late",
            Reason::ToldNever => "told-never",
            Reason::HintTooLong => "hint-too-long",
            Reason::Off => "off",
        }
    }

    /// The rule and its numbers, for a person on call; of a spent budget, [`Spent`](super::Spent) says more.
    pub fn explain(self, facts: &Facts, retry: &Retry) -> Cow<'static, str> {
        match self {
            Reason::Final if facts.local_refusal => {
                "not repeated: our own guard refused it, and would again".into()
            }
            Reason::Final => format!("not repeated: the outcome `{}` is final", facts.outcome.label()).into(),
            Reason::NotIdempotent => "not repeated: it may have been done, and nobody says that it may be done twice; \
                                      declare the method idempotent or send an idempotency-key"
                .into(),
            Reason::NoCopy => format!(
                "not repeated: there is no copy to send again, because the body is a stream or larger than {} \
                 (retry.body)",
                size::format(retry.body)
            )
            .into(),
            Reason::ChainStop => "not repeated: this call is a repeat itself or serves one, and somebody further up \
                                  repeats (platform-retry: never)"
                .into(),
            Reason::AttemptsSpent => format!(
                "not repeated: {} of {} attempts are made (retry.max_attempts = {})",
                facts.attempts_made,
                most_attempts(retry, Safety::of(facts.outcome, facts.hint).is_unprocessed()),
                retry.max_attempts
            )
            .into(),
            Reason::BudgetSpent => "not repeated: the budget for repeats is spent (budget.ratio)".into(),
            Reason::TooLate => too_late(facts, retry).into(),
            Reason::ToldNever => "not repeated: the target said not to (platform-retry: never), because a layer below \
                                  it has given up"
                .into(),
            Reason::HintTooLong => format!(
                "not repeated: the target said to come back in {:?}, and nobody waits longer than {LONGEST_HINT:?}",
                facts.hint.after.unwrap_or_default()
            )
            .into(),
            Reason::Off => "not repeated: retry.mode is off".into(),
        }
    }
}

fn too_late(facts: &Facts, retry: &Retry) -> String {
    let left = facts.left.unwrap_or_default();
    let after = wait(Safety::of(facts.outcome, facts.hint), facts, retry).unwrap_or_default();
    let usual =
        facts.median.map(|median| format!(" and for an attempt, which takes {median:?} at the median"));
    format!(
        "not repeated: {left:?} are left of the call, too little to wait {after:?}{}",
        usual.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        outcome::{Hint, Outcome},
        recovery::decide::FACTS,
    };

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn every_reason_is_explained_with_its_numbers() {
        let retry = Retry::default();
        let late = Facts { left: Some(120 * MS), median: Some(100 * MS), ..FACTS };
        let told = Facts { hint: Hint { after: Some(400_000 * MS), mark: None }, ..FACTS };
        let made = Facts { attempts_made: 3, ..FACTS };
        let table = [
            (Reason::Final, Facts { outcome: Outcome::CallerFault, ..FACTS }, "`caller` is final"),
            (Reason::Final, Facts { local_refusal: true, ..FACTS }, "our own guard"),
            (Reason::NotIdempotent, FACTS, "idempotency-key"),
            (Reason::NoCopy, FACTS, "larger than 64KiB (retry.body)"),
            (Reason::ChainStop, FACTS, "platform-retry: never"),
            (Reason::AttemptsSpent, made, "3 of 3 attempts are made (retry.max_attempts = 3)"),
            (Reason::BudgetSpent, FACTS, "budget.ratio"),
            (
                Reason::TooLate,
                late,
                "120ms are left of the call, too little to wait 50ms and for an attempt, which takes 100ms",
            ),
            (Reason::ToldNever, FACTS, "a layer below"),
            (Reason::HintTooLong, told, "come back in 400s, and nobody waits longer than 300s"),
            (Reason::Off, FACTS, "retry.mode is off"),
        ];
        for (reason, facts, words) in table {
            let text = reason.explain(&facts, &retry);
            assert!(text.starts_with("not repeated: ") && text.contains(words), "{text}");
        }
        let words: std::collections::BTreeSet<_> = Reason::ALL.map(Reason::as_str).into_iter().collect();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
