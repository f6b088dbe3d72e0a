//! Why is it out? In words and numbers.

use std::fmt;

use platform_core::Outcome;

/// What speaks against an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub(in crate::balance) enum Why {
    /// So many failures in a row.
    Consecutive {
        /// How many.
        failures: u32,
        /// What the last of them was.
        last: Outcome,
    },
    /// So large a part of few answers.
    Share {
        /// How many failed.
        failures: u32,
        /// Of how many, within half a minute.
        answers: u32,
    },
    /// More of many answers than of the others'.
    Rate {
        /// Which share of them failed.
        share: f64,
        /// How many there were within half a minute.
        answers: u32,
        /// Which share of the others' failed.
        others: f64,
    },
    /// The first answer after it came back.
    Probe {
        /// What it was.
        last: Outcome,
    },
    /// Its own word, of which no count is kept.
    Health,
}

impl Why {
    /// The label `reason`.
    pub(in crate::balance) const fn label(self) -> &'static str {
        match self {
            Why::Consecutive { .. } => "consecutive",
            Why::Share { .. } => "share",
            Why::Rate { .. } => "rate",
            Why::Probe { .. } => "probe",
            Why::Health => "health",
        }
    }

    /// Every label.
    pub(in crate::balance) const LABELS: [&'static str; 5] =
        ["consecutive", "share", "rate", "probe", "health"];
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Consecutive { failures, last } => {
                write!(f, "{failures} consecutive failures, the last one {}", last.label())
            }
            Why::Share { failures, answers } => write!(f, "{failures} of {answers} answers failed"),
            Why::Rate { share, answers, others } => {
                let (share, others) = (share * 100.0, others * 100.0);
                write!(f, "{share:.0} % of {answers} answers failed, and {others:.1} % of the others'")
            }
            Why::Probe { last } => {
                write!(f, "its first answer after it came back was a failure ({})", last.label())
            }
            Why::Health => f.write_str("it says itself that it is not serving"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_words_and_numbers() {
        let table = [
            (
                Why::Consecutive { failures: 5, last: Outcome::ServerFault },
                "consecutive",
                "5 consecutive failures, the last one server",
            ),
            (Why::Share { failures: 6, answers: 11 }, "share", "6 of 11 answers failed"),
            (
                Why::Rate { share: 0.312, answers: 240, others: 0.021 },
                "rate",
                "31 % of 240 answers failed, and 2.1 % of the others'",
            ),
            (
                Why::Probe { last: Outcome::Timeout },
                "probe",
                "its first answer after it came back was a failure (timeout)",
            ),
            (Why::Health, "health", "it says itself that it is not serving"),
        ];
        for ((why, label, text), known) in table.into_iter().zip(Why::LABELS) {
            assert_eq!((why.label(), why.to_string().as_str()), (label, text));
            assert_eq!(known, label);
        }
    }
}
