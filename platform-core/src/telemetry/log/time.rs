//! What time is it, in RFC 3339 and without an allocation?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-02-03T04:05:06.789012Z`: UTC, always six digits behind the point, so that lines sort as text.
pub(crate) fn rfc3339(at: SystemTime) -> [u8; LENGTH] {
    // A clock before 1970 is a machine without a clock; its lines say 1970.
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().min(LATEST);
    let seconds = since.as_secs();
    let (year, month, day) = civil(seconds / DAY);
    let of_day = seconds % DAY;
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    digits(year, &mut text[0..4]);
    digits(month, &mut text[5..7]);
    digits(day, &mut text[8..10]);
    digits(of_day / 3600, &mut text[11..13]);
    digits(of_day / 60 % 60, &mut text[14..16]);
    digits(of_day % 60, &mut text[17..19]);
    digits(u64::from(since.subsec_micros()), &mut text[20..26]);
    text
}

/// Days since 1970 as year, month and day: Howard Hinnant's `civil_from_days`, in years that begin in March,
/// so that the leap day comes last.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as u64;
    (year, month, day)
}

fn digits(mut number: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The length of the text.
pub(crate) const LENGTH: usize = 27;
const DAY: u64 = 86_400;
/// The last instant that four digits can name: the end of the year 9999.
const LATEST: Duration = Duration::new(253_402_300_799, 999_999_999);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(seconds: u64, micros: u32) -> String {
        let at = UNIX_EPOCH + Duration::new(seconds, micros * 1000);
        String::from_utf8(rfc3339(at).to_vec()).unwrap()
    }

    /// `date -u -d @SECONDS` says so.
    #[test]
    fn known_instants() {
        let table = [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, 999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, 1, "2000-03-01T00:00:00.000001Z"),
            (1_234_567_890, 123_456, "2009-02-13T23:31:30.123456Z"),
            (1_709_164_800, 0, "2024-02-29T00:00:00.000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000000Z"),
            (300_000_000_000, 0, "9999-12-31T23:59:59.999999Z"),
        ];
        for (seconds, micros, expected) in table {
            assert_eq!(text(seconds, micros), expected);
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(rfc3339(before).as_slice(), b"1970-01-01T00:00:00.000000Z");
    }

    /// The other direction, counted in whole years and months: slow, and hard to get wrong.
    fn back(text: &str) -> u64 {
        let part = |range: std::ops::Range<usize>| text[range].parse::<u64>().unwrap();
        let leap =
            |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let (year, month) = (part(0..4), part(5..7));
        let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
        let months: u64 = lengths[..month as usize - 1].iter().sum();
        (years + months + part(8..10) - 1) * DAY + part(11..13) * 3600 + part(14..16) * 60 + part(17..19)
    }

    proptest! {
        #[test]
        fn every_second_until_9999_is_read_back(seconds in 0..253_402_300_799_u64, micros in 0..1_000_000_u32) {
            let text = text(seconds, micros);
            prop_assert_eq!(back(&text), seconds, "{}", text);
            let fraction = format!(".{micros:06}Z");
            prop_assert!(text.ends_with(&fraction));
        }
    }
}
