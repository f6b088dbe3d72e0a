//! What is called, as a URI.

use http::HeaderValue;
use platform_discovery::Target;

use crate::assert_one_line;

/// A text that should be a target.
pub fn target(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Target::parse(text) {
        Ok(target) => {
            let written = target.to_string();
            let again = Target::parse(&written).expect("what is written can be read");
            assert_eq!(again, target, "{written}");
            assert_one_line(&written);
            let authority = target.authority();
            assert!(!authority.is_empty() && !authority.contains([' ', '/', '@', '#']), "{authority:?}");
            assert!(HeaderValue::from_str(&authority).is_ok(), "it stands in `host`: {authority:?}");
            assert!(!target.is_tls() || target.is_stranger());
        }
        Err(error) => assert_one_line(&error.to_string()),
    }
}
