//! Faults: the rules of one process.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::{
    metrics::{INJECTED, Injected, InjectedLabels},
    rule::Rule,
};
use crate::{
    error::{Error, ErrorKind, Result},
    telemetry::{CounterFamily, Metrics},
};

/// The faults of one process; cheap to clone, and every clone is the same.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    /// May there be a rule? What a call reads when there is none, and all it reads.
    armed: AtomicBool,
    rules: ArcSwap<Vec<Armed>>,
    /// Faults under way, whosever they are.
    active: Arc<AtomicU32>,
    counters: CounterFamily<InjectedLabels>,
    /// What requests ask for themselves.
    consent: (Arc<str>, Injected),
    /// Held by whoever changes the rules, never by a call.
    writing: Mutex<()>,
}

/// A rule in force, with its counters.
#[derive(Clone)]
pub(super) struct Armed {
    pub(super) rule: Arc<Rule>,
    pub(super) injected: Injected,
}

impl Faults {
    /// No fault yet.
    pub fn new(metrics: &Metrics) -> Self {
        let counters = metrics.counter(&INJECTED);
        let consent = Arc::from(CONSENT);
        let injected = Injected::of(&consent, &counters);
        Faults(Arc::new(Inner {
            armed: AtomicBool::new(false),
            rules: ArcSwap::from_pointee(Vec::new()),
            active: Arc::default(),
            counters,
            consent: (consent, injected),
            writing: Mutex::default(),
        }))
    }

    /// Puts a rule in force; one of the same name ends.
    ///
    /// # Errors
    /// A rule that cannot be meant, or has no end within a day, or is one too many; the error says what to write.
    pub fn start(&self, rule: Rule, now: Instant) -> Result<()> {
        rule.check(now)?;
        let _writing = self.writing();
        let mut rules = self.without(&rule.name, now);
        if rules.len() == MAX_RULES {
            let why = format!("{MAX_RULES} faults are in force already; stop one that is not needed");
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        let injected = Injected::of(&rule.name, &self.0.counters);
        rules.push(Armed { rule: Arc::new(rule), injected });
        self.set(rules);
        Ok(())
    }

    /// Ends the rule of this name; false if none was in force at `now`.
    pub fn stop(&self, name: &str, now: Instant) -> bool {
        let _writing = self.writing();
        let known = self.list(now).iter().any(|rule| *rule.name == *name);
        self.set(self.without(name, now));
        known
    }

    /// The kill switch: ends every rule, and says which were in force at `now`.
    pub fn stop_all(&self, now: Instant) -> Vec<Arc<Rule>> {
        let _writing = self.writing();
        let ended = self.list(now);
        self.set(Vec::new());
        ended
    }

    /// The rules in force, in the order in which they are asked.
    pub fn list(&self, now: Instant) -> Vec<Arc<Rule>> {
        let rules = self.0.rules.load();
        rules.iter().map(|armed| &armed.rule).filter(|rule| !rule.is_over(now)).cloned().collect()
    }

    /// Faults under way: delays that have not ended, aborts that are being told.
    pub fn active(&self) -> u32 {
        self.0.active.load(Relaxed)
    }

    /// May there be a rule? A stale answer is as good: a call that began a moment earlier had the same.
    pub(super) fn is_armed(&self) -> bool {
        self.0.armed.load(Relaxed)
    }

    pub(super) fn rules(&self) -> arc_swap::Guard<Arc<Vec<Armed>>> {
        self.0.rules.load()
    }

    pub(super) fn consent(&self) -> &(Arc<str>, Injected) {
        &self.0.consent
    }

    pub(super) fn gauge(&self) -> &Arc<AtomicU32> {
        &self.0.active
    }

    /// Forgets rules that are over, so that calls cost nothing again. Whoever is changing them does it as well.
    pub(super) fn forget_over(&self, now: Instant) {
        if let Ok(_writing) = self.0.writing.try_lock() {
            self.set(self.without("", now));
        }
    }

    /// What is in force but for the rule of this name. Called under `writing`.
    fn without(&self, name: &str, now: Instant) -> Vec<Armed> {
        let rules = self.0.rules.load();
        rules.iter().filter(|armed| *armed.rule.name != *name && !armed.rule.is_over(now)).cloned().collect()
    }

    /// Called under `writing`, so that the flag and the rules agree.
    fn set(&self, rules: Vec<Armed>) {
        let armed = !rules.is_empty();
        self.0.rules.store(Arc::new(rules));
        self.0.armed.store(armed, Relaxed);
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        // What is guarded is stored whole or not at all.
        self.0.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<Arc<str>> = self.rules().iter().map(|armed| Arc::clone(&armed.rule.name)).collect();
        f.debug_struct("Faults")
            .field("rules", &names)
            .field("active", &self.active())
            .finish_non_exhaustive()
    }
}

/// The fault that requests ask for themselves.
pub const CONSENT: &str = "consent";
/// Each is looked at by every call; more at once is no experiment any more.
pub const MAX_RULES: usize = 32;
