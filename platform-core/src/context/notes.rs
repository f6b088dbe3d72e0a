//! Notes: what is remembered about one served request until its canonical line is written.
//!
//! One allocation per served request, shared by everything that works on it: the router says which route
//! matched, clients say how often they tried, business code adds what its team wants to search for.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{Loan, Tenant};
use crate::error::Error;

/// What is remembered about one served request.
#[derive(Debug, Default)]
pub struct Notes {
    route: AtomicU32,
    attempts: AtomicU32,
    slow_polls: AtomicU32,
    cut: OnceLock<Error>,
    fault: OnceLock<Arc<str>>,
    tenant: OnceLock<Tenant>,
    loan: Loan,
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

    /// A layer of the server found out on whose behalf the request runs; the first word stands.
    pub fn set_tenant(&self, tenant: &Tenant) {
        let _ = self.tenant.set(tenant.clone());
    }

    /// The tenant that the server itself found out.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.tenant.get()
    }

    /// The request was cut short from outside its handler: its body was too large or too slow. The first
    /// reason is the one that is answered.
    pub fn cut(&self, reason: &Error) {
        let _ = self.cut.set(reason.clone());
    }

    /// Whose the request's place is.
    pub(crate) fn loan(&self) -> &Loan {
        &self.loan
    }

    /// Why the request was cut short.
    pub fn reason(&self) -> Option<&Error> {
        self.cut.get()
    }

    /// Says in a few letters why something was repeated, refused or given up: `ratings:retry(timeout)`. They stand
    /// in the canonical line one behind the other, as `why`; beyond 512 bytes further ones are dropped.
    pub fn because(&self, reason: &str) {
        let mut fields = self.lock();
        if let Some((_, known)) = fields.iter_mut().find(|(key, _)| *key == WHY) {
            if known.len() + reason.len() < MAX_WHY {
                let known = known.to_mut();
                known.push(' ');
                known.push_str(reason);
            }
        } else if reason.len() < MAX_WHY {
            // The line's most telling field has its place, however many others there are.
            fields.push((WHY, Cow::Owned(reason.to_owned())));
        }
    }

    /// The reply is made without this dependency; each is named once, 16 at most.
    pub fn degrade(&self, dependency: &str) {
        let mut fields = self.lock();
        match fields.iter_mut().find(|(key, _)| *key == DEGRADED) {
            Some((_, known)) => {
                let is_new = !known.split(',').any(|name| name == dependency);
                if is_new && known.split(',').count() < MAX_DEGRADED {
                    let known = known.to_mut();
                    known.push(',');
                    known.push_str(dependency);
                }
            }
            None => fields.push((DEGRADED, Cow::Owned(dependency.to_owned()))),
        }
    }

    /// The dependencies that the reply is made without, joined by commas.
    pub fn degraded(&self) -> Option<String> {
        let fields = self.lock();
        fields.iter().find(|(key, _)| *key == DEGRADED).map(|(_, names)| names.clone().into_owned())
    }

    /// The handler held its thread for so long in one step. The line tells the longest, as `slow_poll_ms`.
    pub fn slow_poll(&self, took: Duration) {
        self.slow_polls.fetch_add(1, Relaxed);
        let millis = took.as_millis();
        let mut fields = self.lock();
        match fields.iter_mut().find(|(key, _)| *key == SLOW_POLL) {
            Some((_, known)) if known.parse::<u128>().is_ok_and(|known| known >= millis) => {}
            Some((_, known)) => *known = Cow::Owned(millis.to_string()),
            // It has its place, however many others there are.
            None => fields.push((SLOW_POLL, Cow::Owned(millis.to_string()))),
        }
    }

    /// How often it did.
    pub fn slow_polls(&self) -> u32 {
        self.slow_polls.load(Relaxed)
    }

    /// A call made while serving this request went wrong on purpose. The first fault is the one that is told:
    /// what happened later may be its consequence.
    pub fn set_fault(&self, fault: &Arc<str>) {
        let _ = self.fault.set(Arc::clone(fault));
    }

    /// What went wrong on purpose.
    pub fn fault(&self) -> Option<&str> {
        self.fault.get().map(|fault| &**fault)
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

/// The field of [`Notes::because`].
const WHY: &str = "why";
/// The field of [`Notes::slow_poll`].
const SLOW_POLL: &str = "slow_poll_ms";
/// The field of [`Notes::degrade`].
const DEGRADED: &str = "degraded";
/// A reply that lacks more than that should have been an error.
const MAX_DEGRADED: usize = 16;
/// Some twenty decisions of one request.
const MAX_WHY: usize = 512;
/// A line that says more than this is not read.
const MAX_FIELDS: usize = 32;
