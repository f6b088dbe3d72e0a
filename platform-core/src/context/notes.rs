//! Notes: what is remembered about one served request until its canonical line is written.
//!
//! One allocation per served request, shared by everything that works on it: the router says which route
//! matched, clients say how often they tried, business code adds what its team wants to search for.

use std::{
    borrow::Cow,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use crate::error::Error;

/// What is remembered about one served request.
#[derive(Debug, Default)]
pub struct Notes {
    route: AtomicU32,
    attempts: AtomicU32,
    cut: OnceLock<Error>,
    fields: Mutex<Vec<(&'static str, Cow<'static, str>)>>,
}

impl Notes {
    /// The router says which of the server's routes matched; counted from 1, 0 is none.
    pub fn set_route(&self, index: u32) {
        self.route.store(index, Relaxed);
    }

    /// The matched route's number, 0 for none.
    pub fn route(&self) -> u32 {
        self.route.load(Relaxed)
    }

    /// A client made another attempt while serving this request.
    pub fn count_attempt(&self) {
        self.attempts.fetch_add(1, Relaxed);
    }

    /// Attempts that clients made while serving this request.
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Relaxed)
    }

    /// The request was cut short from outside its handler: its body was too large or too slow. The first
    /// reason is the one that is answered.
    pub fn cut(&self, reason: &Error) {
        let _ = self.cut.set(reason.clone());
    }

    /// Why the request was cut short.
    pub fn reason(&self) -> Option<&Error> {
        self.cut.get()
    }

    /// Adds a field to the canonical line, or replaces it. Beyond 32 keys further ones are dropped.
    pub fn add(&self, key: &'static str, value: impl Into<Cow<'static, str>>) {
        let value = value.into();
        let mut fields = self.lock();
        if let Some(field) = fields.iter_mut().find(|(known, _)| *known == key) {
            field.1 = value;
        } else if fields.len() < MAX_FIELDS {
            fields.push((key, value));
        }
    }

    /// Shows each field, in the order of first mention.
    pub fn for_each(&self, mut show: impl FnMut(&'static str, &str)) {
        for (key, value) in self.lock().iter() {
            show(key, value);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, Cow<'static, str>)>> {
        // A panic while pushing leaves the list whole; the line of a panicking request is the one most needed.
        self.fields.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A line that says more than this is not read.
const MAX_FIELDS: usize = 32;
