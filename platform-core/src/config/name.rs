//! Name: what services, clients and route classes are called.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{refusal::shown, suggest::did_you_mean};

/// A name: `[a-z][a-z0-9-]{0,62}`, so that it fits DNS, labels, file names and environment variables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// `text`, if it is a name; the error says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if is_name(text) {
            return Ok(Name(text.into()));
        }
        let repaired = text.trim().to_lowercase().replace(['_', ' ', '.'], "-");
        let suggestion = Some(repaired).filter(|repaired| is_name(repaired));
        Err(format!(
            "{} is not a name; write a letter and then letters, digits and hyphens, all lower case, at most \
             {LONGEST} in all{}",
            shown(text),
            did_you_mean(suggestion)
        ))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, shared.
    pub fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Name::parse(text)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Name::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= LONGEST
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The length of a DNS label.
const LONGEST: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name() {
        let longest = "a".repeat(LONGEST);
        for text in ["a", "catalog", "film-ratings", "s3", longest.as_str()] {
            assert_eq!(Name::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_not_a_name_and_what_to_write_instead() {
        let too_long = "a".repeat(LONGEST + 1);
        let cases = [
            ("Catalog", "did you mean `catalog`?"),
            ("film_ratings", "did you mean `film-ratings`?"),
            ("", "is not a name"),
            ("3s", "is not a name"),
            ("-a", "is not a name"),
            ("käse", "is not a name"),
            (too_long.as_str(), "at most 63"),
        ];
        for (text, hint) in cases {
            let error = Name::parse(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
