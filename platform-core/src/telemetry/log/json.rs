//! How does text become JSON, straight into a buffer?

use std::fmt;

/// Appends `"text"` with what must be escaped escaped.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

/// Appends `,"key":`.
pub(crate) fn key(key: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    escape(key, out);
    out.extend_from_slice(b"\":");
}

/// Appends `,"key":"text"`.
pub(crate) fn text(name: &str, text: &str, out: &mut Vec<u8>) {
    key(name, out);
    string(text, out);
}

/// Appends a whole number in decimal digits.
pub(crate) fn whole(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[from..]);
        }
    }
}

/// Appends a number; JSON has no word for those that are none, so they become text.
pub(crate) fn number(number: f64, out: &mut Vec<u8>) {
    use std::io::Write as _;
    let result = if !number.is_finite() {
        write!(out, "\"{number}\"")
    } else if number == 0.0 || (1e-7..1e16).contains(&number.abs()) {
        write!(out, "{number}")
    } else {
        // In full these have up to three hundred digits.
        write!(out, "{number:e}")
    };
    result.expect("writing to a Vec cannot fail");
}

/// Escapes what is formatted into it.
pub(crate) struct Escaped<'a>(pub(crate) &'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(text, self.0);
        Ok(())
    }
}

/// Most text needs no escape, so it is copied in runs.
pub(crate) fn escape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut begin = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[begin..index]);
        begin = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digits = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend([digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(&bytes[begin..]);
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(text in any::<String>(), control in "[\\x00-\\x1f\"\\\\\u{7f}\u{2028}é]{0,20}") {
            for text in [text, control] {
                let mut out = Vec::new();
                string(&text, &mut out);
                let back: String = serde_json::from_slice(&out).unwrap();
                prop_assert_eq!(&back, &text);
                prop_assert!(!out.contains(&b'\n'));

                let mut formatted = b"\"".to_vec();
                write!(Escaped(&mut formatted), "{text}").unwrap();
                formatted.push(b'"');
                prop_assert_eq!(formatted, out);
            }
        }

        #[test]
        fn any_number_is_read_back_as_it_was(n in any::<u64>(), f in any::<f64>()) {
            let mut out = Vec::new();
            whole(n, &mut out);
            prop_assert_eq!(serde_json::from_slice::<u64>(&out).unwrap(), n);
            out.clear();
            number(f, &mut out);
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(value.is_number(), f.is_finite());
            // serde_json's reader is not exact in the last place, the standard library's is.
            let text = std::str::from_utf8(&out).unwrap();
            prop_assert!(!f.is_finite() || text.parse::<f64>().unwrap() == f, "{} became {}", f, text);
            prop_assert!(text.len() <= 28, "{}", text);
        }
    }
}
