//! TraceParent: which trace does this belong to?
//!
//! Parsed and written by our own few lines, because every request does it; the OpenTelemetry propagator
//! checks them in the tests.

use std::fmt;

/// W3C trace context: the trace, our span in it, and whether it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: TraceId,
    span_id: SpanId,
    sampled: bool,
}

/// The id of a trace, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The id of a span, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl TraceParent {
    /// A new trace with a first span, not recorded.
    pub fn random() -> Self {
        TraceParent { trace_id: TraceId::random(), span_id: SpanId::random(), sampled: false }
    }

    /// Exactly these ids.
    pub const fn new(trace_id: TraceId, span_id: SpanId, sampled: bool) -> Self {
        TraceParent { trace_id, span_id, sampled }
    }

    /// The trace.
    pub const fn trace_id(self) -> TraceId {
        self.trace_id
    }

    /// The span that is the parent of everything begun under this context.
    pub const fn span_id(self) -> SpanId {
        self.span_id
    }

    /// Is it recorded?
    pub const fn is_sampled(self) -> bool {
        self.sampled
    }

    /// A new span in the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        TraceParent { span_id: SpanId::random(), ..self }
    }

    /// The same, recorded or not.
    #[must_use]
    pub const fn sampled(self, sampled: bool) -> Self {
        TraceParent { sampled, ..self }
    }

    /// Reads a `traceparent` header.
    ///
    /// Strict, as the W3C asks: lower-case hex, no version `ff`, no all-zero id; a version above `00` may
    /// have more after the flags.
    pub fn parse(header: &str) -> Option<Self> {
        let bytes = header.as_bytes();
        if bytes.len() < LENGTH || bytes[2] != b'-' || bytes[35] != b'-' || bytes[52] != b'-' {
            return None;
        }
        let [version] = from_hex::<1>(&bytes[..2])?;
        let more = bytes.len() > LENGTH;
        if version == 0xff || (more && (version == 0 || bytes[LENGTH] != b'-')) {
            return None;
        }
        let trace_id = TraceId::from_bytes(from_hex(&bytes[3..35])?)?;
        let span_id = SpanId::from_bytes(from_hex(&bytes[36..52])?)?;
        let [flags] = from_hex::<1>(&bytes[53..55])?;
        Some(TraceParent { trace_id, span_id, sampled: flags & SAMPLED != 0 })
    }

    /// The header, without an allocation.
    pub fn to_header(self) -> [u8; LENGTH] {
        let mut header = [b'-'; LENGTH];
        header[..2].copy_from_slice(b"00");
        to_hex(&self.trace_id.0, &mut header[3..35]);
        to_hex(&self.span_id.0, &mut header[36..52]);
        to_hex(&[u8::from(self.sampled)], &mut header[53..55]);
        header
    }
}

impl TraceId {
    /// A random id.
    pub fn random() -> Self {
        // One in 2^128 would be all zero; the low bit keeps the promise without a loop.
        TraceId((fastrand::u128(..) | 1).to_be_bytes())
    }

    /// The id made of these bytes, unless all are zero.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(TraceId(bytes))
    }

    /// The bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// 32 hex digits, without an allocation.
    pub fn to_hex(self) -> [u8; 32] {
        let mut hex = [0; 32];
        to_hex(&self.0, &mut hex);
        hex
    }
}

impl SpanId {
    /// A random id.
    pub fn random() -> Self {
        SpanId((fastrand::u64(..) | 1).to_be_bytes())
    }

    /// The id made of these bytes, unless all are zero.
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(SpanId(bytes))
    }

    /// The bytes.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    /// 16 hex digits, without an allocation.
    pub fn to_hex(self) -> [u8; 16] {
        let mut hex = [0; 16];
        to_hex(&self.0, &mut hex);
        hex
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_hex()).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_hex()).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn from_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

const fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

fn to_hex(bytes: &[u8], out: &mut [u8]) {
    let (pairs, _) = out.as_chunks_mut::<2>();
    for (byte, pair) in bytes.iter().zip(pairs) {
        *pair = PAIRS[usize::from(*byte)];
    }
}

/// Both digits of every byte: each request writes two ids.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const LENGTH: usize = 55;
/// The only flag of version 00 that is ours to read.
const SAMPLED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_and_writes_the_w3c_example() {
        let parent = TraceParent::parse(GOOD).unwrap();
        assert_eq!(parent.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span_id().to_string(), "00f067aa0ba902b7");
        assert!(parent.is_sampled());
        assert_eq!(parent.to_header().as_slice(), GOOD.as_bytes());
    }

    #[test]
    fn refuses_what_is_malformed() {
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_later_version_may_have_more_to_say() {
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be-like";
        assert!(TraceParent::parse(later).unwrap().is_sampled());
    }

    #[test]
    fn unknown_flags_are_not_the_sampled_one() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe";
        assert!(!TraceParent::parse(header).unwrap().is_sampled());
    }
}
