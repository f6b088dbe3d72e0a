//! Who writes which header?
//!
//! The one table of wire names, and the way from a [`Context`](super::Context) to a
//! [`Carrier`](super::Carrier) and back.

/// Escapes everything but unreserved characters, as a baggage value must be.
pub(super) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'/') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(nibble), 16).map_or('0', |c| c.to_ascii_uppercase()));
            }
        }
    }
    out
}

/// The text behind an escaped value; `None` if an escape is broken or the bytes are no text.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16).map(|d| d as u8);
            digit()? << 4 | digit()?
        } else {
            byte
        });
    }
    String::from_utf8(out).ok()
}
