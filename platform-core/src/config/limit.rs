//! A limit as text in a file: a length or a size, or `none` where that may be said.

use std::fmt;

use serde::{Deserializer, de};

/// What may be written, in an error's words.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    /// `a duration such as "250ms" or "10s"`
    pub(super) what: &'static str,
    /// `write a duration such as "250ms"`
    pub(super) advice: &'static str,
}

/// Reads a value that `none` cannot lift.
pub(super) fn read<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: Expected,
    parse: fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    let read = deserializer.deserialize_any(Reader { none: false, expected, parse })?;
    Ok(read.expect("this reader refuses none"))
}

/// Reads a value, or `none`.
pub(super) fn read_or_none<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: Expected,
    parse: fn(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(Reader { none: true, expected, parse })
}

struct Reader<T> {
    none: bool,
    expected: Expected,
    parse: fn(&str) -> Result<T, String>,
}

impl<T> de::Visitor<'_> for Reader<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = if self.none { " or \"none\"" } else { "" };
        write!(f, "{}{or_none}", self.expected.what)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        match (text, self.none) {
            (NONE, true) => Ok(None),
            (NONE, false) => {
                Err(E::custom(format_args!("\"none\" cannot be said here; {}", self.expected.advice)))
            }
            _ => (self.parse)(text).map(Some).map_err(E::custom),
        }
    }

    // A bare number is refused by the parser, which says what is missing.
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }
}

/// What lifts a limit.
pub(super) const NONE: &str = "none";
