//! A share that `"none"` lifts, as a file writes it.

use std::fmt;

use platform_core::config::Ratio;
use serde::{Deserializer, Serialize as _, Serializer, de};

pub(super) fn serialize<S: Serializer>(mass: &Option<Ratio>, serializer: S) -> Result<S::Ok, S::Error> {
    match mass {
        Some(mass) => mass.serialize(serializer),
        None => serializer.serialize_str(NONE),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ratio>, D::Error> {
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

    #[expect(clippy::cast_precision_loss, reason = "what is too large for an f64 is too large for a ratio")]
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

const NONE: &str = "none";
