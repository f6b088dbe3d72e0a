//! Sizes as people write them: `"512B"`, `"64KiB"`, `"8MiB"`.

use serde::{Deserializer, Serializer};

use super::{
    limit::{self, Expected, NONE},
    refusal::shown,
};

/// Reads an integer with `B`, `KiB` or `MiB`, as bytes; the error says what to write instead.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let refuse = |what: &str, instead: Option<String>| {
        let instead = instead.map_or_else(|| "such as \"64KiB\"".to_owned(), |text| format!("\"{text}\""));
        Err(format!("{} {what}; write an integer with B, KiB or MiB, {instead}", shown(text)))
    };
    let Some((_, factor)) = UNITS.into_iter().find(|(name, _)| *name == unit) else {
        return match (number, unit) {
            ("", _) => refuse("is not a size", None),
            (number, "") => refuse("has no unit", Some(format!("{number}B"))),
            (number, word) => refuse("is not a size", meant(number, word)),
        };
    };
    if number.is_empty() {
        return refuse("has no number", None);
    }
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(bytes) if bytes <= LARGEST => Ok(bytes),
        _ => Err(format!(
            "{} is larger than any memory; \"none\" lifts a limit that may be lifted",
            shown(text)
        )),
    }
}

/// Writes it with the largest unit that is exact.
pub fn format(bytes: u64) -> String {
    let exact = UNITS.into_iter().rev().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    let (unit, factor) = exact.unwrap_or(UNITS[0]);
    format!("{}{unit}", bytes / factor)
}

/// Writes a size.
pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*bytes))
}

/// Reads a size.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    limit::read(deserializer, EXPECTED, parse)
}

/// Sizes that `"none"` lifts.
pub mod or_none {
    use super::{Deserializer, EXPECTED, NONE, Serializer, limit, parse};

    /// Writes a size, or `none`.
    pub fn serialize<S: Serializer>(bytes: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::serialize(bytes, serializer),
            None => serializer.serialize_str(NONE),
        }
    }

    /// Reads a size, or `none`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        limit::read_or_none(deserializer, EXPECTED, parse)
    }
}

/// What was probably meant by `8MB`, `8 mib` or `2GiB`.
fn meant(number: &str, word: &str) -> Option<String> {
    let unit = match word.trim().to_ascii_lowercase().as_str() {
        "b" | "byte" | "bytes" => "B",
        "k" | "kb" | "kib" => "KiB",
        "m" | "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => {
            return number.parse::<u64>().ok()?.checked_mul(1024).map(|number| format!("{number}MiB"));
        }
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}

/// The largest length of anything in memory, and so of what a size can limit.
const LARGEST: u64 = i64::MAX as u64;

/// Units and their bytes, the smallest first.
const UNITS: [(&str, u64); 3] = [("B", 1), ("KiB", 1024), ("MiB", 1024 * 1024)];

const EXPECTED: Expected =
    Expected { what: "a size such as \"64KiB\" or \"8MiB\"", advice: "write a size such as \"64KiB\"" };

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_a_size() {
        for (text, bytes) in [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("8MiB", 8_388_608)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
            assert_eq!(format(bytes), text);
        }
    }

    #[test]
    fn what_is_not_a_size_and_what_to_write_instead() {
        let cases = [
            ("8MB", "\"8MiB\""),
            ("8 MiB", "\"8MiB\""),
            ("8m", "\"8MiB\""),
            ("2GiB", "\"2048MiB\""),
            ("1024", "\"1024B\""),
            ("-1B", "not a size"),
            ("", "not a size"),
            ("MiB", "has no number"),
            ("1.5MiB", "not a size"),
            ("lots", "not a size"),
            ("99999999999999999999B", "larger than any memory"),
            ("18446744073709551615MiB", "larger than any memory"),
        ];
        for (text, hint) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_size_survives_being_written_and_read(bytes in 0..=LARGEST) {
            prop_assert_eq!(parse(&format(bytes)), Ok(bytes));
        }
    }
}
