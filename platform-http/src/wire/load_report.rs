//! What an endpoint says of its load, beside a reply.
//!
//! ORCA (gRFC A51) in two forms. A head has the text that Envoy reads as `endpoint-load-metrics`:
//! `TEXT named_metrics.rif=3,named_metrics.latency_ms=12.5`. Trailers have `endpoint-load-metrics-bin`, the message
//! `xds.data.orca.v3.OrcaLoadReport` in base64, of which we write and read `named_metrics` (field 8, a map of names to
//! doubles). Whoever chooses among endpoints reads it; nobody else has to.

use std::time::Duration;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
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

    /// As a trailer's value: the message in base64 without padding, as gRPC writes bytes.
    pub(crate) fn to_trailer(self) -> HeaderValue {
        let mut message = Vec::with_capacity(MESSAGE);
        let latency_ms = (self.latency.as_nanos() as f64 / 1e6).min(LONGEST_MS as f64);
        for (key, value) in [(RIF, f64::from(self.rif)), (LATENCY_MS, latency_ms)] {
            let key = &key[NAMED.len()..];
            let entry = 2 + key.len() + 9;
            message.extend([tag(NAMED_METRICS, BYTES), entry as u8, tag(KEY, BYTES), key.len() as u8]);
            message.extend_from_slice(key.as_bytes());
            message.push(tag(VALUE, EIGHT_BYTES));
            message.extend_from_slice(&value.to_le_bytes());
        }
        HeaderValue::try_from(BASE64.encode(message)).expect("base64 is a header's value")
    }

    /// Reads a trailer's value; what makes no sense is no report.
    pub(crate) fn parse_trailer(value: &HeaderValue) -> Option<Self> {
        let text = Some(value.as_bytes()).filter(|text| text.len() <= MOST_READ)?;
        let mut bytes = [0; MOST_READ];
        let length = BASE64.decode_slice(text, &mut bytes).ok()?;
        let (mut rif, mut latency_ms) = (None, None);
        let mut message = &bytes[..length];
        while !message.is_empty() {
            let Field::Bytes(NAMED_METRICS, entry) = field(&mut message)? else { continue };
            // Of fields that are there twice the last counts, and a number that is not written is 0.
            let (mut key, mut value, mut entry): (&[u8], f64, &[u8]) = (&[], 0.0, entry);
            while !entry.is_empty() {
                match field(&mut entry)? {
                    Field::Bytes(KEY, bytes) => key = bytes,
                    Field::EightBytes(VALUE, bytes) => value = f64::from_le_bytes(bytes),
                    _ => {}
                }
            }
            match key {
                b"rif" => rif = Some(value),
                b"latency_ms" => latency_ms = Some(value),
                // Of others, or of a later version.
                _ => {}
            }
        }
        LoadReport::of(rif.filter(is_number), latency_ms.filter(is_number))
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
        LoadReport::of(rif, latency_ms)
    }

    fn of(rif: Option<f64>, latency_ms: Option<f64>) -> Option<Self> {
        let rif = rif.filter(|rif| *rif <= f64::from(MOST_RIF))?;
        let latency_ms = latency_ms.filter(|ms| *ms <= LONGEST_MS as f64)?;
        Some(LoadReport { rif: rif as u32, latency: Duration::from_secs_f64(latency_ms / 1e3) })
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(is_number)
}

fn is_number(number: &f64) -> bool {
    number.is_finite() && *number >= 0.0
}

/// A field of a message on the wire, by its number.
enum Field<'a> {
    Bytes(u8, &'a [u8]),
    EightBytes(u8, [u8; 8]),
    /// Of no interest here.
    Other,
}

/// Takes the next field from the front; nothing where there is none that could be read.
fn field<'a>(message: &mut &'a [u8]) -> Option<Field<'a>> {
    let tag = varint(message)?;
    // Numbers beyond a byte are none of those that are looked for.
    let number = u8::try_from(tag >> 3).unwrap_or(u8::MAX);
    Some(match u8::try_from(tag & 7).expect("three bits") {
        BYTES => {
            let length = usize::try_from(varint(message)?).ok()?;
            Field::Bytes(number, message.split_off(..length)?)
        }
        EIGHT_BYTES => Field::EightBytes(number, *message.split_off(..8)?.first_chunk()?),
        FOUR_BYTES => {
            message.split_off(..4)?;
            Field::Other
        }
        VARINT => {
            varint(message)?;
            Field::Other
        }
        _ => return None,
    })
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *message.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// A field's number and how it is written, in one byte.
const fn tag(number: u8, written: u8) -> u8 {
    number << 3 | written
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
const NAMED: &str = "named_metrics.";
const RIF: &str = "named_metrics.rif";
const LATENCY_MS: &str = "named_metrics.latency_ms";
/// Of `OrcaLoadReport`.
const NAMED_METRICS: u8 = 8;
/// Of an entry of a map.
const KEY: u8 = 1;
const VALUE: u8 = 2;
/// How fields are written.
const VARINT: u8 = 0;
const EIGHT_BYTES: u8 = 1;
const BYTES: u8 = 2;
const FOUR_BYTES: u8 = 5;
/// Two entries: their tags and lengths, their keys, their values.
const MESSAGE: usize = 2 * (4 + 9) + 3 + 10;
/// Written without padding and read with or without, as gRPC asks.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
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
    fn both_forms_are_written_as_ever_and_those_of_every_version_are_read() {
        let report = LoadReport { rif: 3, latency: Duration::from_micros(12_500) };
        let (header, trailer) = (report.to_header(), report.to_trailer());
        let [header, trailer] = [&header, &trailer].map(|value| value.to_str().unwrap());
        let written = format!("endpoint-load-metrics: {header}\nendpoint-load-metrics-bin: {trailer}\n");
        crate::golden::is("load.txt", &written);
        for (version, text) in crate::golden::of_every_version("load.txt") {
            for line in text.lines() {
                let (name, value) = line.split_once(": ").unwrap();
                let value = HeaderValue::from_str(value).unwrap();
                let read = match name {
                    "endpoint-load-metrics" => LoadReport::parse(&value),
                    "endpoint-load-metrics-bin" => LoadReport::parse_trailer(&value),
                    other => panic!("{version}: {other} is read by nobody"),
                };
                assert_eq!(read, Some(report), "{name} of {version}");
            }
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

    /// As the message's own code writes and reads it (protobuf for Python, `xds.data.orca.v3`).
    #[test]
    fn the_message_is_that_of_orca() {
        let report = LoadReport { rif: 3, latency: Duration::from_micros(12_500) };
        let written = "Qg4KA3JpZhEAAAAAAAAIQEIVCgpsYXRlbmN5X21zEQAAAAAAAClA";
        assert_eq!(report.to_trailer(), written);
        let read = |text: &str| LoadReport::parse_trailer(&HeaderValue::from_str(text).unwrap());
        assert_eq!(read(written), Some(report));
        for good in [
            // cpu_utilization = 0.3, rps = 7 and utilization = {"disk": 0.5} before it, and rif once more.
            "CTMzMzMzM9M/GAcqDwoEZGlzaxEAAAAAAADgP0IOCgNyaWYRAAAAAAAACEBCFQoKbGF0ZW5jeV9tcxEAAAAAAAApQEIOCgNyaWYRAAAAAAAACEA=",
            "Qg4KA3JpZhEAAAAAAAAIQEIVCgpsYXRlbmN5X21zEQAAAAAAAClA",
        ] {
            assert_eq!(read(good), Some(report), "{good}");
        }
        // A zero may be left out.
        assert_eq!(
            read("QgUKA3JpZkIMCgpsYXRlbmN5X21z"),
            Some(LoadReport { rif: 0, latency: Duration::ZERO })
        );
        for bad in
            ["", "!", "Qg4KA3JpZhEAAAAAAAAIQA", "Qg4KA3JpZhEAAAAAAAAIQEIVCgpsYXRlbmN5X21zEQAAAAAA", "////"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read(&"Qg4K".repeat(300)), None);
    }

    proptest! {
        #[test]
        fn what_is_written_in_trailers_is_read_again(rif in 0..=MOST_RIF, micros in 0_u64..600_000_000) {
            let report = LoadReport { rif, latency: Duration::from_micros(micros) };
            let read = LoadReport::parse_trailer(&report.to_trailer()).unwrap();
            prop_assert_eq!(read.rif, rif);
            prop_assert!(report.latency.abs_diff(read.latency) < Duration::from_nanos(2_000));
        }

        #[test]
        fn no_bytes_at_all_make_it_panic(bytes in proptest::collection::vec(0_u8.., 0..80)) {
            LoadReport::parse_trailer(&HeaderValue::try_from(BASE64.encode(bytes)).unwrap());
        }

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
