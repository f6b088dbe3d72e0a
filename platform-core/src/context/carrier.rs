//! Carrier: where do wire names come from, and where do they go?

use http::{HeaderMap, HeaderName, HeaderValue};

/// Something that carries names and values between processes: a header map, a queue message's attributes.
pub trait Carrier {
    /// The first value under `name`, if there is one and it is text.
    fn read(&self, name: &HeaderName) -> Option<&str>;

    /// Sets the only value under `name`.
    fn write(&mut self, name: &HeaderName, value: HeaderValue);

    /// Shows every value under `name`; a carrier that may repeat a name overrides this.
    fn read_each<'a>(&'a self, name: &HeaderName, show: &mut dyn FnMut(Option<&'a str>)) {
        if let Some(value) = self.read(name) {
            show(Some(value));
        }
    }

    /// Is there any value under `name`, text or not?
    fn has(&self, name: &HeaderName) -> bool {
        self.read(name).is_some()
    }
}

impl Carrier for HeaderMap {
    fn read(&self, name: &HeaderName) -> Option<&str> {
        self.get(name).and_then(|value| value.to_str().ok())
    }

    fn write(&mut self, name: &HeaderName, value: HeaderValue) {
        self.insert(name.clone(), value);
    }

    fn read_each<'a>(&'a self, name: &HeaderName, show: &mut dyn FnMut(Option<&'a str>)) {
        for value in self.get_all(name) {
            show(value.to_str().ok());
        }
    }

    fn has(&self, name: &HeaderName) -> bool {
        self.contains_key(name)
    }
}
