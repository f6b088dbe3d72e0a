//! Mode: how much a guard may do.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How much a guard may do; every guard has one, so that a guard can be introduced without a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Nothing: it is not asked.
    Off,
    /// It decides and counts what it would have done, and changes nothing.
    Observe,
    /// It does what it decides.
    Enforce,
}

impl Mode {
    /// Every mode, in the order of its number.
    pub const ALL: [Mode; 3] = [Mode::Off, Mode::Observe, Mode::Enforce];

    /// The mode that was stored as `mode as u8`; what nobody stored is off. A number and no look at the list, for who asks
    /// on the way of each request.
    #[inline]
    pub(crate) const fn of_number(number: u8) -> Mode {
        const OBSERVE: u8 = Mode::Observe as u8;
        const ENFORCE: u8 = Mode::Enforce as u8;
        match number {
            ENFORCE => Mode::Enforce,
            OBSERVE => Mode::Observe,
            _ => Mode::Off,
        }
    }

    /// The word in files, logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::Observe => "observe",
            Mode::Enforce => "enforce",
        }
    }

    /// Is the guard asked at all?
    pub const fn is_on(self) -> bool {
        !matches!(self, Mode::Off)
    }

    /// The lesser of two.
    #[must_use]
    pub fn min_of(self, other: Mode) -> Mode {
        if (self as u8) < other as u8 { self } else { other }
    }

    /// May the guard change what happens?
    pub const fn enforces(self) -> bool {
        matches!(self, Mode::Enforce)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl de::Visitor<'_> for Reader {
    type Value = Mode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mode: off, observe or enforce")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Mode, E> {
        let mode = Mode::ALL.into_iter().find(|mode| mode.as_str() == word);
        mode.ok_or_else(|| E::unknown_variant(word, &WORDS))
    }
}

const WORDS: [&str; 3] = ["off", "observe", "enforce"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_back_from_its_word() {
        for (mode, word) in Mode::ALL.into_iter().zip(WORDS) {
            let json = serde_json::to_string(&mode).unwrap();
            assert_eq!(json, format!("\"{word}\""));
            assert_eq!(serde_json::from_str::<Mode>(&json).unwrap(), mode);
        }
        assert!(serde_json::from_str::<Mode>("\"on\"").is_err());
        assert!(
            serde_json::from_str::<Mode>("true").unwrap_err().to_string().contains("off, observe or enforce")
        );
    }
}
