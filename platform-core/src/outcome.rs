//! What did one attempt mean?
//!
//! A protocol judges each attempt once, at the bottom of the stack ([`Classify`](crate::Classify)); every
//! guard above reads the same [`Verdict`]. The table in [`Outcome::readings`] is the contract between them.

use std::time::Duration;

use crate::tick::Tick;

/// The meaning of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The caller left, or a hedge lost its race: evidence of nothing.
    Abandoned,
    /// The request was wrong (400, 404, `INVALID_ARGUMENT`): the target did its work.
    CallerFault,
    /// Our own refusal: the target was not asked.
    Local,
    /// The target said that it has too much to do, with a mark or a delay.
    Overload,
    /// The target failed, or the connection was lost after the request had been sent.
    ServerFault,
    /// The target answered as asked.
    Success,
    /// No answer in time.
    Timeout,
    /// Nothing was sent: refused, or reset before the first byte.
    Unreachable,
}

/// How each guard reads one outcome; a row of the table in [`Outcome::readings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readings {
    /// May the call be tried again?
    pub again: Again,
    /// What the breaker counts.
    pub breaker: Evidence,
    /// What outlier ejection counts.
    pub ejection: Evidence,
    /// What the concurrency limit learns.
    pub limit: Lesson,
    /// What happens to the retry budget: a deposit for a call that needed no second try.
    pub deposit: bool,
}

/// May the call be tried again?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Yes, at another endpoint.
    Elsewhere,
    /// Only an operation that may be done twice.
    IfRepeatable,
    /// Elsewhere or later, as the target said.
    AsTold,
    /// No.
    Never,
}

/// What a guard that judges a target makes of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It counts against the target.
    Failure,
    /// It says nothing about the target.
    Ignore,
    /// It counts for the target.
    Success,
}

/// What a concurrency limit learns from an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// The target is beyond its limit.
    Drop,
    /// Nothing: errors are often fast.
    Ignore,
    /// A latency sample.
    Sample,
}

impl Outcome {
    /// Every outcome, in the order of the table.
    pub const ALL: [Outcome; 8] = [
        Outcome::Success,
        Outcome::CallerFault,
        Outcome::ServerFault,
        Outcome::Overload,
        Outcome::Timeout,
        Outcome::Unreachable,
        Outcome::Local,
        Outcome::Abandoned,
    ];

    /// The label in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Outcome::Abandoned => "abandoned",
            Outcome::CallerFault => "caller",
            Outcome::Local => "local",
            Outcome::Overload => "overload",
            Outcome::ServerFault => "server",
            Outcome::Success => "ok",
            Outcome::Timeout => "timeout",
            Outcome::Unreachable => "unreachable",
        }
    }

    /// Who reads this outcome, and how.
    pub const fn readings(self) -> Readings {
        use Evidence::{Failure, Ignore, Success};
        let (again, breaker, ejection, limit, deposit) = match self {
            Outcome::Success => (Again::Never, Success, Success, Lesson::Sample, true),
            Outcome::CallerFault => (Again::Never, Success, Success, Lesson::Sample, true),
            Outcome::ServerFault => (Again::IfRepeatable, Failure, Failure, Lesson::Ignore, false),
            // An overloaded target is there, and is throttled by limit, budget and push-back; cutting it off for the calls that
            // were too late as well would turn a slow minute into an outage.
            Outcome::Overload => (Again::AsTold, Success, Failure, Lesson::Drop, false),
            Outcome::Timeout => (Again::IfRepeatable, Failure, Failure, Lesson::Drop, false),
            Outcome::Unreachable => (Again::Elsewhere, Failure, Failure, Lesson::Ignore, false),
            Outcome::Local | Outcome::Abandoned => (Again::Never, Ignore, Ignore, Lesson::Ignore, false),
        };
        Readings { again, breaker, ejection, limit, deposit }
    }

    /// Did the target do what it was asked, so that nobody need be woken?
    pub const fn is_success(self) -> bool {
        matches!(self, Outcome::Success | Outcome::CallerFault)
    }
}

/// What an attempt meant, when that was known, and what the target said about coming back.
///
/// `at` is the second and last clock reading of an attempt; everything above uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The meaning.
    pub outcome: Outcome,
    /// When it was known.
    pub at: Tick,
    /// What the target said about coming back.
    pub hint: Hint,
}

impl Verdict {
    /// A verdict without a hint.
    pub fn new(outcome: Outcome, at: impl Into<Tick>) -> Self {
        Verdict { outcome, at: at.into(), hint: Hint::NONE }
    }

    /// The same with what the target said.
    #[must_use]
    pub const fn with_hint(self, hint: Hint) -> Self {
        Verdict { hint, ..self }
    }
}

/// What a target said about coming back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// Not sooner than this.
    pub after: Option<Duration>,
    /// A word about repeating.
    pub mark: Option<Mark>,
}

impl Hint {
    /// Nothing was said.
    pub const NONE: Hint = Hint { after: None, mark: None };
}

/// A target's word about repeating a request (`platform-retry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A layer below has given up; trying again only adds load.
    Never,
    /// Refused before any work: any method may go elsewhere.
    Safe,
}

impl Mark {
    /// The value on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mark::Never => "never",
            Mark::Safe => "safe",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract of ARCHITECTURE.md, cell by cell.
    #[test]
    fn the_table_of_who_reads_which_verdict() {
        use Evidence::{Failure, Ignore, Success};
        let table = [
            ("ok", Again::Never, Success, Success, Lesson::Sample, true),
            ("caller", Again::Never, Success, Success, Lesson::Sample, true),
            ("server", Again::IfRepeatable, Failure, Failure, Lesson::Ignore, false),
            ("overload", Again::AsTold, Success, Failure, Lesson::Drop, false),
            ("timeout", Again::IfRepeatable, Failure, Failure, Lesson::Drop, false),
            ("unreachable", Again::Elsewhere, Failure, Failure, Lesson::Ignore, false),
            ("local", Again::Never, Ignore, Ignore, Lesson::Ignore, false),
            ("abandoned", Again::Never, Ignore, Ignore, Lesson::Ignore, false),
        ];
        for (outcome, (label, again, breaker, ejection, limit, deposit)) in
            Outcome::ALL.into_iter().zip(table)
        {
            assert_eq!(outcome.label(), label);
            assert_eq!(outcome.readings(), Readings { again, breaker, ejection, limit, deposit }, "{label}");
        }
    }

    #[test]
    fn a_fault_of_the_caller_is_never_held_against_the_target() {
        for outcome in [Outcome::CallerFault, Outcome::Local, Outcome::Abandoned] {
            assert_ne!(outcome.readings().breaker, Evidence::Failure);
            assert_ne!(outcome.readings().ejection, Evidence::Failure);
        }
    }
}
