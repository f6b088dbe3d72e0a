//! Safety: could a repeat do something twice?

use std::time::Duration;

use crate::outcome::{Again, Hint, Mark, Outcome};

/// What is known of an attempt that brought no answer worth having. One type, so that no rule asks for a status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Nothing left this process, or the peer says that it looked at nothing: any request may go again.
    NeverSent,
    /// Refused before any work, and marked so: any request may go elsewhere, or here after the time named.
    RefusedUnseen {
        /// Not sooner than this.
        after: Option<Duration>,
    },
    /// It may have been done: the answer is lost, late, or a failure half-way. Only what may be done twice goes again.
    Ambiguous,
    /// A clear refusal, such as 429: any request may go again, later.
    Rejected {
        /// Not sooner than this.
        after: Option<Duration>,
    },
    /// An answer, or a word not to repeat.
    Final,
}

impl Safety {
    /// What `outcome` means for a repeat, with what the target said (the hint of the verdict, not that of an error,
    /// which is for our own callers).
    pub const fn of(outcome: Outcome, hint: Hint) -> Self {
        match (outcome.readings().again, hint.mark) {
            (_, Some(Mark::Never)) | (Again::Never, _) => Safety::Final,
            (Again::Elsewhere, _) => Safety::NeverSent,
            (Again::IfRepeatable, _) => Safety::Ambiguous,
            (Again::AsTold, Some(Mark::Safe)) => Safety::RefusedUnseen { after: hint.after },
            (Again::AsTold, None) => Safety::Rejected { after: hint.after },
        }
    }

    /// May a request go again that must not be done twice?
    pub const fn is_safe(self) -> bool {
        match self {
            Safety::NeverSent | Safety::RefusedUnseen { .. } | Safety::Rejected { .. } => true,
            Safety::Ambiguous | Safety::Final => false,
        }
    }

    /// Is it certain that nobody began to work on it?
    pub const fn is_unprocessed(self) -> bool {
        matches!(self, Safety::NeverSent | Safety::RefusedUnseen { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_with_every_word_of_the_target() {
        use Safety::{Ambiguous, Final, NeverSent, RefusedUnseen, Rejected};
        let after = Some(Duration::from_secs(2));
        let table = [
            // outcome, nothing said, a delay, safe, safe with a delay
            (Outcome::Success, [Final; 4]),
            (Outcome::CallerFault, [Final; 4]),
            (Outcome::Local, [Final; 4]),
            (Outcome::Abandoned, [Final; 4]),
            (Outcome::ServerFault, [Ambiguous; 4]),
            (Outcome::Timeout, [Ambiguous; 4]),
            (Outcome::Unreachable, [NeverSent; 4]),
            (
                Outcome::Overload,
                [
                    Rejected { after: None },
                    Rejected { after },
                    RefusedUnseen { after: None },
                    RefusedUnseen { after },
                ],
            ),
        ];
        assert_eq!(table.len(), Outcome::ALL.len());
        for (outcome, expected) in table {
            let safe = Some(Mark::Safe);
            let words = [(None, None), (after, None), (None, safe), (after, safe)];
            for ((after, mark), expected) in words.into_iter().zip(expected) {
                assert_eq!(Safety::of(outcome, Hint { after, mark }), expected, "{outcome:?}");
                let never = Hint { after, mark: Some(Mark::Never) };
                assert_eq!(Safety::of(outcome, never), Final, "{outcome:?}");
            }
        }
    }

    #[test]
    fn nothing_that_may_have_been_done_is_safe() {
        for outcome in [Outcome::ServerFault, Outcome::Timeout] {
            assert!(!Safety::of(outcome, Hint::NONE).is_safe());
            assert!(!Safety::of(outcome, Hint { after: None, mark: Some(Mark::Safe) }).is_unprocessed());
        }
    }
}
