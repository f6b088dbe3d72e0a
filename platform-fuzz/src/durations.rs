//! Lengths and sizes, as people write them.

use platform_core::config::{duration, size};

use crate::assert_one_line;

/// A text that should be a duration or a size.
pub fn durations(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match duration::parse(text) {
        Ok(length) => {
            let written = duration::format(length).expect("what could be read can be written");
            assert_eq!(duration::parse(&written), Ok(length), "{written}");
        }
        Err(told) => assert_helpful(&told, text),
    }
    match size::parse(text) {
        Ok(bytes) => assert_eq!(size::parse(&size::format(bytes)), Ok(bytes)),
        Err(told) => assert_helpful(&told, text),
    }
}

/// It names what was written, and stays a line.
fn assert_helpful(told: &str, text: &str) {
    assert_one_line(told);
    assert!(told.contains(';'), "it says what is wrong and not what to write instead: {told}");
    assert!(told.len() <= text.len() * 8 + 512, "it is far longer than what it is about: {told}");
}
