//! Segment: somebody else's text as one part of a path.

use std::fmt;

/// One part of a path, with everything escaped that would make it more than one.
///
/// A path parameter of the request being served has been decoded; put into another path as it is, `a?b`, `a/b` or
/// `..` would ask for something else.
///
/// ```
/// use platform_http::segment;
///
/// assert_eq!(format!("/films/{}", segment("a/b?c")), "/films/a%2Fb%3Fc");
/// assert_eq!(format!("/films/{}", segment("..")), "/films/%2E%2E");
/// ```
pub fn segment(text: &str) -> Segment<'_> {
    Segment(text)
}

/// What [`segment`] returns; it prints the escaped text.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a>(&'a str);

impl fmt::Display for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Dots alone name this folder or the one above, wherever a path is tidied up on the way.
        let dots = matches!(self.0, "." | "..");
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') || (byte == b'.' && !dots) {
                fmt::Write::write_char(f, char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_one_segment_of_a_path(text in any::<String>()) {
            let uri: http::Uri = format!("/films/{}", segment(&text)).parse().unwrap();
            prop_assert_eq!(uri.query(), None);
            prop_assert_eq!(uri.path().matches('/').count(), 2);
            prop_assert!(!uri.path().ends_with("/..") && !uri.path().ends_with("/."));
        }
    }
}
