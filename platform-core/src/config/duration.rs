//! Durations as people write them: `"250ms"`, `"10s"`, `"5m"`, `"2h"`.
//!
//! ```
//! # use std::time::Duration;
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Times {
//!     #[serde(with = "platform_core::config::duration")]
//!     header: Duration,
//!     /// `"none"` lifts the limit.
//!     #[serde(with = "platform_core::config::duration::or_none")]
//!     total: Option<Duration>,
//! }
//! ```

use std::time::Duration;

use serde::{Deserializer, Serializer, ser};

use super::{
    limit::{self, Expected, NONE},
    refusal::shown,
};

/// Reads an integer with `ms`, `s`, `m` or `h`; the error says what to write instead.
pub fn parse(text: &str) -> Result<Duration, String> {
    let (sign, rest) = text.trim().strip_prefix('-').map_or(("", text.trim()), |rest| ("-", rest));
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = rest.split_at(digits);
    let refuse = |what: &str, instead: Option<String>| {
        let instead = instead.map_or_else(|| "such as \"250ms\"".to_owned(), |text| format!("\"{text}\""));
        Err(format!("{} {what}; write an integer with ms, s, m or h, {instead}", shown(text)))
    };
    if !sign.is_empty() {
        return refuse("is negative", None);
    }
    let Some((_, factor)) = UNITS.into_iter().find(|(name, _)| *name == unit) else {
        return match (number, unit) {
            ("", _) => refuse("is not a duration", None),
            (number, "") => refuse("has no unit", Some(format!("{number}ms\" or \"{number}s"))),
            (number, word) => refuse("is not a duration", meant(word).map(|unit| format!("{number}{unit}"))),
        };
    };
    let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match millis.map(Duration::from_millis) {
        Some(length) if text == rest && length <= LONGEST => Ok(length),
        Some(length) if length <= LONGEST => refuse("has spaces around it", Some(rest.to_owned())),
        _ if number.is_empty() => refuse("has no number", None),
        _ => Err(format!("{} is longer than a year; \"none\" lifts a limit that may be lifted", shown(text))),
    }
}

/// Writes it with the largest unit that is exact; an error for what no file can say.
pub fn format(length: Duration) -> Result<String, String> {
    if length > LONGEST {
        return Err(format!("{length:?} is longer than a year, the longest duration of the configuration"));
    }
    if !length.subsec_nanos().is_multiple_of(NANOS_PER_MILLI) {
        return Err(format!(
            "{length:?} is finer than a millisecond, the smallest unit of the configuration"
        ));
    }
    let millis = u64::try_from(length.as_millis()).expect("a year of milliseconds fits");
    let (unit, factor) = UNITS
        .into_iter()
        .rev()
        .find(|(_, factor)| millis > 0 && millis.is_multiple_of(*factor))
        .unwrap_or(UNITS[0]);
    Ok(format!("{}{unit}", millis / factor))
}

/// Writes a duration.
pub fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*length).map_err(ser::Error::custom)?)
}

/// Reads a duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    limit::read(deserializer, EXPECTED, parse)
}

/// Durations that `"none"` lifts.
pub mod or_none {
    use super::{Deserializer, Duration, EXPECTED, NONE, Serializer, limit, parse};

    /// Writes a duration, or `none`.
    pub fn serialize<S: Serializer>(length: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match length {
            Some(length) => super::serialize(length, serializer),
            None => serializer.serialize_str(NONE),
        }
    }

    /// Reads a duration, or `none`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        limit::read_or_none(deserializer, EXPECTED, parse)
    }
}

/// The unit behind a word that people write for it.
fn meant(word: &str) -> Option<&'static str> {
    match word.trim().to_ascii_lowercase().as_str() {
        "milli" | "millis" | "msec" | "msecs" | "millisecond" | "milliseconds" | "ms" => Some("ms"),
        "sec" | "secs" | "second" | "seconds" | "s" => Some("s"),
        "min" | "mins" | "minute" | "minutes" | "m" => Some("m"),
        "hr" | "hrs" | "hour" | "hours" | "h" => Some("h"),
        _ => None,
    }
}

/// A year: more is a slip, and would overflow clocks further in.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Units and their milliseconds, the smallest first.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

const NANOS_PER_MILLI: u32 = 1_000_000;

const EXPECTED: Expected = Expected {
    what: "a duration such as \"250ms\" or \"10s\"",
    advice: "write a duration such as \"250ms\"",
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_a_duration() {
        let cases = [
            ("0ms", 0),
            ("250ms", 250),
            ("1s", 1_000),
            ("60s", 60_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("8760h", 31_536_000_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_and_what_to_write_instead() {
        let cases = [
            ("5 minutes", "\"5m\""),
            ("5sec", "\"5s\""),
            ("5", "has no unit; write an integer with ms, s, m or h, \"5ms\" or \"5s\""),
            ("5S", "\"5s\""),
            (" 5s", "spaces"),
            ("5s ", "\"5s\""),
            ("-5s", "negative"),
            ("s", "has no number"),
            ("", "not a duration"),
            ("1.5s", "not a duration"),
            ("5us", "not a duration"),
            ("soon", "not a duration"),
            ("9000h", "longer than a year"),
            ("99999999999999999999h", "longer than a year"),
            ("18446744073709551615h", "longer than a year"),
        ];
        for (text, hint) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
            assert!(error.starts_with(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn what_no_file_can_say_is_refused_when_written() {
        assert!(format(Duration::from_micros(500)).unwrap_err().contains("finer than a millisecond"));
        assert!(format(Duration::MAX).unwrap_err().contains("longer than a year"));
        assert_eq!(format(Duration::ZERO).unwrap(), "0ms");
        assert_eq!(format(Duration::from_secs(90)).unwrap(), "90s");
        assert_eq!(format(Duration::from_secs(7200)).unwrap(), "2h");
    }

    proptest! {
        #[test]
        fn every_duration_survives_being_written_and_read(millis in 0..=31_536_000_000_u64) {
            let length = Duration::from_millis(millis);
            prop_assert_eq!(parse(&format(length).unwrap()), Ok(length));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = parse(&text);
        }
    }
}
