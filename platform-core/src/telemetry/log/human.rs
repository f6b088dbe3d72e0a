//! How does a line look to a person?

use std::time::SystemTime;

use tracing::Level;

use super::{json, time};

/// `12:03:04.123456  INFO orders `: the date is on the calendar.
pub(crate) fn begin(at: SystemTime, level: Level, service: &str, colour: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&time::rfc3339(at)[TIME_OF_DAY]);
    out.push(b' ');
    let (paint, padded) = match level {
        Level::ERROR => (RED, "ERROR"),
        Level::WARN => (YELLOW, " WARN"),
        Level::INFO => (GREEN, " INFO"),
        Level::DEBUG => (BLUE, "DEBUG"),
        Level::TRACE => (DIM, "TRACE"),
    };
    let (paint, plain) = if colour { (paint, PLAIN) } else { ("", "") };
    for part in [paint, padded, plain, " "] {
        out.extend_from_slice(part.as_bytes());
    }
    if !service.is_empty() {
        json::escape(service, out);
        out.push(b' ');
    }
}

/// A value as people write it: quoted when it could not be told from what follows.
pub(crate) fn value(text: &str, out: &mut Vec<u8>) {
    if text.is_empty() || text.contains([' ', '=', '"']) {
        json::string(text, out);
    } else {
        json::escape(text, out);
    }
}

/// `12:03:04.123456` within RFC 3339.
const TIME_OF_DAY: std::ops::Range<usize> = 11..26;
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const BLUE: &str = "\x1b[34m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";
