//! Lengths of time on the wire: relative, so that clocks of two machines are never compared.

use std::time::Duration;

/// Whole milliseconds in 1 to 8 digits.
pub(super) fn parse_ms(value: &[u8]) -> Option<Duration> {
    parse_digits(value).map(Duration::from_millis)
}

/// gRPC's form (`grpc-timeout`): 1 to 8 digits and a unit. `None` for what is none.
pub fn parse_grpc(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let n = parse_digits(digits)?;
    Some(match unit {
        b'H' => Duration::from_secs(n * 3600),
        b'M' => Duration::from_secs(n * 60),
        b'S' => Duration::from_secs(n),
        b'm' => Duration::from_millis(n),
        b'u' => Duration::from_micros(n),
        b'n' => Duration::from_nanos(n),
        _ => return None,
    })
}

/// Whole milliseconds, at most what eight digits can say (a little over a day).
pub(super) fn whole_ms(left: Duration) -> u64 {
    u64::try_from(left.as_millis()).unwrap_or(MAX_MS).min(MAX_MS)
}

fn parse_digits(digits: &[u8]) -> Option<u64> {
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
}

const MAX_MS: u64 = 99_999_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_whole_milliseconds_of_one_to_eight_digits() {
        for (text, ms) in
            [("0", Some(0)), ("250", Some(250)), ("00000001", Some(1)), ("99999999", Some(99_999_999))]
        {
            assert_eq!(parse_ms(text.as_bytes()), ms.map(Duration::from_millis), "{text}");
        }
        for bad in ["", "123456789", "-1", "+1", "1.5", "1s", " 1", "０"] {
            assert_eq!(parse_ms(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn reads_grpc_units() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ] {
            assert_eq!(parse_grpc(text.as_bytes()), Some(expected), "{text}");
        }
        for bad in ["", "S", "1", "1h", "123456789S", "1 S", "-1S"] {
            assert_eq!(parse_grpc(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn what_is_left_is_rounded_down_and_fits_eight_digits() {
        assert_eq!(whole_ms(Duration::from_micros(1_999)), 1);
        assert_eq!(whole_ms(Duration::from_secs(10_000_000)), MAX_MS);
    }
}
