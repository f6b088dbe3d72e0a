//! Ratio: a number between 0 and 1 that cannot be anything else.
//!
//! ```
//! # use platform_core::config::Ratio;
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Shares {
//!     sampled: Ratio,
//!     /// `"none"` lifts the limit.
//!     #[serde(with = "platform_core::config::ratio::or_none")]
//!     most: Option<Ratio>,
//! }
//! ```

use std::{cmp::Ordering, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A share, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ratio(f64);

impl Ratio {
    /// Nothing.
    pub const ZERO: Ratio = Ratio(0.0);
    /// All.
    pub const ONE: Ratio = Ratio(1.0);

    /// `value`, if it lies between 0 and 1.
    pub const fn new(value: f64) -> Option<Self> {
        // Both comparisons are false for what is not a number; adding 0 turns -0 into 0.
        if value >= 0.0 && value <= 1.0 { Some(Ratio(value + 0.0)) } else { None }
    }

    /// For constants: `const SHARE: Ratio = Ratio::of(0.1);`.
    ///
    /// # Panics
    ///
    /// Outside 0 to 1; in a constant, the compiler says so.
    pub const fn of(value: f64) -> Self {
        match Ratio::new(value) {
            Some(ratio) => ratio,
            None => panic!("a ratio lies between 0 and 1"),
        }
    }

    /// The number.
    pub const fn as_f64(self) -> f64 {
        self.0
    }
}

// A ratio is always a number, so that equality and order are total.
impl Eq for Ratio {}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl TryFrom<f64> for Ratio {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        Ratio::new(value).ok_or_else(|| {
            let percent = if value > 1.0 && value <= 100.0 {
                format!("; {value} percent is {}", value / 100.0)
            } else {
                String::new()
            };
            format!("{value} is not a ratio, which lies between 0.0 and 1.0{percent}")
        })
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

/// Ratios that `"none"` lifts.
pub mod or_none {
    use std::fmt;

    use serde::{Deserializer, Serialize as _, Serializer, de};

    use super::Ratio;
    use crate::config::limit::NONE;

    /// Writes a ratio, or `"none"`.
    pub fn serialize<S: Serializer>(ratio: &Option<Ratio>, serializer: S) -> Result<S::Ok, S::Error> {
        match ratio {
            Some(ratio) => ratio.serialize(serializer),
            None => serializer.serialize_str(NONE),
        }
    }

    /// Reads a ratio, or `"none"`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ratio>, D::Error> {
        deserializer.deserialize_any(Reader)
    }

    struct Reader;

    impl de::Visitor<'_> for Reader {
        type Value = Option<Ratio>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a ratio such as 0.5, or \"none\"")
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
            Ratio::try_from(number).map(Some).map_err(E::custom)
        }

        #[expect(
            clippy::cast_precision_loss,
            reason = "what is too large for an f64 is too large for a ratio"
        )]
        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
            self.visit_f64(number as f64)
        }

        #[expect(clippy::cast_precision_loss, reason = "as above")]
        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
            self.visit_f64(number as f64)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            match (text, text.parse::<f64>()) {
                (NONE, _) => Ok(None),
                // An environment variable is text.
                (_, Ok(number)) => self.visit_f64(number),
                _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn none_lifts_a_ratio_and_anything_else_is_one() {
        let read = |value: Value| or_none::deserialize(value).map_err(|error| error.to_string());
        for (value, wanted) in [
            (json!("none"), None),
            (json!(0.5), Ratio::new(0.5)),
            (json!(1), Some(Ratio::ONE)),
            (json!("0.25"), Ratio::new(0.25)),
        ] {
            assert_eq!(read(value.clone()), Ok(wanted), "{value}");
            let written = or_none::serialize(&wanted, serde_json::value::Serializer).unwrap();
            assert_eq!(read(written), Ok(wanted));
        }
        assert!(read(json!(50)).unwrap_err().contains("50 percent is 0.5"));
        assert!(read(json!("half")).unwrap_err().contains("a ratio such as 0.5, or \"none\""));
    }

    #[test]
    fn only_what_lies_between_nothing_and_all_is_a_ratio() {
        for value in [0.0, -0.0, 1e-9, 0.5, 1.0] {
            assert_eq!(Ratio::new(value).map(Ratio::as_f64), Some(value));
        }
        for value in [-0.1, 1.000_001, 5.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Ratio::new(value), None, "{value}");
        }
        assert!(Ratio::new(-0.0).unwrap().as_f64().is_sign_positive());
    }

    #[test]
    fn a_percentage_is_explained() {
        assert!(Ratio::try_from(5.0).unwrap_err().contains("5 percent is 0.05"));
        assert!(!Ratio::try_from(-1.0).unwrap_err().contains("percent"));
    }
}
