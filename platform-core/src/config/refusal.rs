//! Refusals: what is wrong with a value, where it stands, and what to write instead.

use std::fmt::Write;

use figment::error::{Actual, Kind};

use super::{
    key::Key,
    origin::Origin,
    secret::without_credentials,
    suggest::{did_you_mean, nearest},
};
use crate::error::{Error, one_line};

/// What a section says about itself when its values contradict each other; see
/// [`Config::check`](super::Config::check).
pub trait Rules {
    /// Every contradiction, or nothing.
    fn refusals(&self) -> Vec<Refusal>;
}

/// One contradiction between the values of a section.
///
/// ```
/// # use platform_core::config::Refusal;
/// Refusal::new("attempt_timeout", "is 3s, longer than the whole call (1s); lower it or raise `timeout`").and("timeout");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(super) keys: Vec<String>,
    pub(super) why: String,
}

impl Refusal {
    /// `key`, relative to its section, is wrong; `why` goes on from the key and says what to do.
    pub fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        Refusal { keys: vec![key.into()], why: why.into() }
    }

    /// Another key that takes part in the contradiction; the message says where it comes from.
    #[must_use]
    pub fn and(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// The same contradiction seen from the section around it, of which this one is the part `part`.
    #[must_use]
    pub fn under(mut self, part: &str) -> Self {
        for key in &mut self.keys {
            *key = format!("{part}.{key}");
        }
        self
    }
}

/// All problems as one error.
pub(super) fn refused(mut problems: Vec<String>) -> Error {
    // Keys, variables and words of parsers, as they were written.
    problems.iter_mut().for_each(|problem| *problem = one_line(problem).into_owned());
    if problems.len() == 1 {
        return Error::config(problems.remove(0));
    }
    let mut text = format!("{} problems:", problems.len());
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(&problem);
    }
    Error::config(text)
}

/// One line for what figment found at `key`.
pub(super) fn explain(kind: &Kind, key: &Key, origin: &Origin) -> String {
    let what = match kind {
        Kind::UnknownField(name, known) => return unknown_key(key, name, known, origin),
        Kind::UnknownVariant(word, known) => format!(
            "`{key}` is {}, which is not one of {}{}",
            shown(word),
            known.join(", "),
            did_you_mean(nearest(word, known.iter().copied()))
        ),
        Kind::MissingField(name) => format!("`{}` is missing; it has no default", key.child(name.as_ref())),
        Kind::Message(message) => format!("`{key}`: {message}"),
        Kind::InvalidType(actual, wanted) | Kind::InvalidValue(actual, wanted) => {
            format!("`{key}` is {}; it must be {}", found(actual), expected(wanted))
        }
        Kind::InvalidLength(length, wanted) => {
            format!("`{key}` has {length} entries; it must be {}", expected(wanted))
        }
        other => format!("`{key}`: {}", figment::Error::from(other.clone())),
    };
    format!("{origin}: {what}")
}

/// A key that the section around it does not have.
pub(super) fn unknown_key(key: &Key, name: &str, known: &[&str], origin: &Origin) -> String {
    let table = key.split_last().map(|(table, _)| table).unwrap_or_default();
    let meant = nearest(name, known.iter().copied()).map(|meant| table.child(meant));
    let meant = meant.map(|key| match origin {
        Origin::Environment(_) => key.variable(),
        _ => key.to_string(),
    });
    let mut text = format!("{origin}: unknown key `{key}`{}", did_you_mean(meant));
    if !known.is_empty() {
        let mut known = known.to_vec();
        known.sort_unstable();
        let _ = write!(text, " (`{table}` has {})", known.join(", "));
    }
    text
}

/// A value in quotes, cut where it gets long.
pub(super) fn shown(text: &str) -> String {
    let text = without_credentials(text);
    if text.chars().count() <= LONGEST_SHOWN {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST_SHOWN).collect();
    format!("{:?}", format!("{start}…"))
}

/// serde's word for what it found, as a person would say it.
fn found(actual: &Actual) -> String {
    match actual {
        Actual::Bool(flag) => flag.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Str(text) => format!("the text {}", shown(text)),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        Actual::Unit | Actual::Option => "nothing".to_owned(),
        other => other.to_string(),
    }
}

/// serde's word for what it wanted, as a person would say it.
fn expected(wanted: &str) -> String {
    match wanted {
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "a whole number, not negative".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "string" => "a text".to_owned(),
        "a sequence" => "a list, such as [\"a\", \"b\"]".to_owned(),
        "a map" => "a table of keys".to_owned(),
        other if other.starts_with("struct ") => "a table of keys".to_owned(),
        other if other.starts_with("enum ") => "one of its words".to_owned(),
        other => other.to_owned(),
    }
}

/// Enough to recognise a value by.
const LONGEST_SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(shown("a\"b"), "\"a\\\"b\"");
        let cut = shown(&"ä".repeat(100));
        assert_eq!(cut.chars().count(), LONGEST_SHOWN + 3);
    }

    #[test]
    fn one_problem_is_told_plainly_and_more_as_a_list() {
        assert_eq!(refused(vec!["a".to_owned()]).detail(), "a");
        assert_eq!(refused(vec!["a".to_owned(), "b".to_owned()]).detail(), "2 problems:\n  a\n  b");
    }
}
