//! What an endpoint says of its load, beside a reply.
//!
//! The text form of ORCA (gRFC A51, Envoy's `endpoint-load-metrics`): `TEXT named_metrics.rif=3,named_metrics.latency_ms=12.5`.
//! Whoever chooses among endpoints reads it; nobody else has to.

use std::time::Duration;

use http::HeaderValue;

/// How busy an endpoint is, by its own word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LoadReport {
    /// Requests that it had under way when this one arrived, from whomever.
    pub(crate) rif: u32,
    /// The median of what it lately took with about as many under way.
    pub(crate) latency: Duration,
}

impl LoadReport {
    /// As a header's value. Microseconds are lost: two digits of a millisecond are told.
    pub(crate) fn to_header(self) -> HeaderValue {
        let mut text = [0_u8; MOST_WRITTEN];
        let mut end = 0;
        let mut push = |bytes: &[u8]| {
            text[end..end + bytes.len()].copy_from_slice(bytes);
            end += bytes.len();
        };
        push(TEXT.as_bytes());
        push(RIF.as_bytes());
        push(b"=");
        push_number(u64::from(self.rif), 1, &mut push);
        push(b",");
        push(LATENCY_MS.as_bytes());
        push(b"=");
        let hundredths =
            u64::try_from(self.latency.as_micros() / 10).unwrap_or(u64::MAX).min(LONGEST_MS * 100);
        push_number(hundredths / 100, 1, &mut push);
        push(b".");
        push_number(hundredths % 100, 2, &mut push);
        HeaderValue::from_bytes(&text[..end]).expect("letters, digits and signs are a header's value")
    }

    /// Reads a header's value; what makes no sense is no report.
    pub(crate) fn parse(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok().filter(|text| text.len() <= MOST_READ)?;
        let (mut rif, mut latency_ms) = (None, None);
        for member in text.strip_prefix(TEXT)?.split(',') {
            let (key, value) = member.trim().split_once('=')?;
            match key {
                RIF => rif = number(value),
                LATENCY_MS => latency_ms = number(value),
                // Of others, or of a later version.
                _ => {}
            }
        }
        let rif = rif.filter(|rif| *rif <= f64::from(MOST_RIF))?;
        let latency_ms = latency_ms.filter(|ms| *ms <= LONGEST_MS as f64)?;
        Some(LoadReport { rif: rif as u32, latency: Duration::from_secs_f64(latency_ms / 1e3) })
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// By hand: `write!` costs more than all the rest.
fn push_number(mut number: u64, least_digits: usize, push: &mut impl FnMut(&[u8])) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while number > 0 || digits.len() - first < least_digits {
        first -= 1;
        digits[first] = b'0' + u8::try_from(number % 10).expect("it is below ten");
        number /= 10;
    }
    push(&digits[first..]);
}

const TEXT: &str = "TEXT ";
const RIF: &str = "named_metrics.rif";
const LATENCY_MS: &str = "named_metrics.latency_ms";
/// The words and two numbers of at most 20 digits.
const MOST_WRITTEN: usize = 5 + 17 + 24 + 6 + 2 * 20;
/// Others may say a dozen things about themselves.
const MOST_READ: usize = 1024;
/// More than a process can have under way.
const MOST_RIF: u32 = 1_000_000;
/// What takes longer is no reply that somebody waits for.
const LONGEST_MS: u64 = 600_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_text_is_that_of_the_contract() {
        let table = [
            (3, 12_500, "TEXT named_metrics.rif=3,named_metrics.latency_ms=12.50"),
            (0, 0, "TEXT named_metrics.rif=0,named_metrics.latency_ms=0.00"),
            (10, 49, "TEXT named_metrics.rif=10,named_metrics.latency_ms=0.04"),
            (u32::MAX, u64::MAX, "TEXT named_metrics.rif=4294967295,named_metrics.latency_ms=600000.00"),
        ];
        for (rif, micros, wanted) in table {
            let report = LoadReport { rif, latency: Duration::from_micros(micros) };
            assert_eq!(report.to_header(), wanted);
        }
    }

    #[test]
    fn what_makes_no_sense_is_no_report_and_what_others_add_is_ignored() {
        let read = |text: &str| LoadReport::parse(&HeaderValue::from_str(text).unwrap());
        let wanted = Some(LoadReport { rif: 3, latency: Duration::from_micros(12_500) });
        for good in [
            "TEXT named_metrics.rif=3,named_metrics.latency_ms=12.5",
            "TEXT cpu_utilization=0.3, named_metrics.latency_ms=12.5, named_metrics.rif=3.0",
        ] {
            assert_eq!(read(good), wanted, "{good}");
        }
        for bad in [
            "",
            "TEXT ",
            "BIN AAAA",
            "JSON {}",
            "named_metrics.rif=3,named_metrics.latency_ms=12.5",
            "TEXT named_metrics.rif=3",
            "TEXT named_metrics.latency_ms=12.5",
            "TEXT named_metrics.rif=-1,named_metrics.latency_ms=12.5",
            "TEXT named_metrics.rif=NaN,named_metrics.latency_ms=12.5",
            "TEXT named_metrics.rif=3,named_metrics.latency_ms=inf",
            "TEXT named_metrics.rif=3,named_metrics.latency_ms=600001",
            "TEXT named_metrics.rif=1000001,named_metrics.latency_ms=1",
            "TEXT named_metrics.rif,named_metrics.latency_ms=1",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let long = format!("TEXT named_metrics.rif=3,named_metrics.latency_ms=1,{}=1", "x".repeat(1024));
        assert_eq!(read(&long), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_to_a_hundredth_of_a_millisecond(rif in 0..=MOST_RIF, micros in 0_u64..600_000_000) {
            let report = LoadReport { rif, latency: Duration::from_micros(micros) };
            let read = LoadReport::parse(&report.to_header()).unwrap();
            prop_assert_eq!(read.rif, rif);
            prop_assert!(report.latency.abs_diff(read.latency) < Duration::from_micros(11));
        }

        #[test]
        fn no_value_at_all_makes_it_panic(text in "[ -~]{0,80}") {
            LoadReport::parse(&HeaderValue::from_str(&text).unwrap());
        }
    }
}
