//! Carrier: where do wire names come from, and where do they go?

use http::{HeaderMap, HeaderName, HeaderValue};

/// Something that carries names and values between processes: a header map, a queue message's attributes.
pub trait Carrier {
    /// Shows every name, in lower case, with its value; a name that repeats is shown each time.
    ///
    /// One pass, because looking up a dozen names that are mostly absent costs more than reading the few
    /// that are there.
    fn each<'a>(&'a self, show: &mut dyn FnMut(&'a str, &'a [u8]));

    /// Sets the only value under `name`.
    fn write(&mut self, name: &'static HeaderName, value: HeaderValue);
}

impl Carrier for HeaderMap {
    fn each<'a>(&'a self, show: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in self {
            show(name.as_str(), value.as_bytes());
        }
    }

    fn write(&mut self, name: &'static HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }
}
