//! Ratio: a number between 0 and 1 that cannot be anything else.

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

#[cfg(test)]
mod tests {
    use super::*;

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
