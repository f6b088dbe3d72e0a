//! Health: may this process be asked, and does it live?
//!
//! Three questions that must not be mixed. *Started*: has it come up once. *Ready*: its phase is
//! [`Phase::Ready`] **and** every required check passes. *Live*: the runtime answers, nothing more. The health
//! of a dependency never decides liveness: restarting a service does not mend its database.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, future::join_all};
use serde::Serialize;

use super::{Phase, Phases, panic_text};
use crate::error::{Error, ErrorKind, Result};

/// The checks of one process; cheap to clone.
#[derive(Clone)]
pub struct Health {
    phases: Phases,
    checks: Arc<Mutex<Vec<Arc<Check>>>>,
    degraded: Arc<Mutex<BTreeMap<String, String>>>,
}

struct Check {
    name: String,
    need: Need,
    ask: Box<dyn Fn() -> Asking + Send + Sync>,
}

type Asking = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What a failing check means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// It is shown, and the process stays ready.
    Optional,
    /// The process is not ready.
    Required,
}

/// The answer to one question, with its reasons.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// May it be asked, has it started, does it live?
    pub ok: bool,
    /// The phase of the process.
    pub phase: &'static str,
    /// Each check.
    pub checks: Vec<Finding>,
}

impl Report {
    /// What fails of what has to pass, `NAME: REASON` each; empty if nothing does.
    pub fn failing(&self) -> String {
        let failing = self.checks.iter().filter(|found| !found.ok && found.need == Need::Required);
        failing.map(|found| format!("{}: {}", found.name, found.reason)).collect::<Vec<_>>().join("; ")
    }
}

/// What one check found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The check's name.
    pub name: String,
    /// Did it pass?
    pub ok: bool,
    /// What a failure means.
    pub need: Need,
    /// Why it failed; empty when it passed.
    pub reason: String,
}

impl Health {
    pub(crate) fn new(phases: Phases) -> Self {
        Health { phases, checks: Arc::default(), degraded: Arc::default() }
    }

    /// Adds a check: an async function that is asked whenever readiness is, for at most [`CHECK_TIMEOUT`].
    pub fn check<F, Fut>(&self, name: impl Into<String>, need: Need, ask: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let check = Check { name: name.into(), need, ask: Box::new(move || Box::pin(ask())) };
        lock(&self.checks).push(Arc::new(check));
    }

    /// Says that a part is unwell until [`recover`](Self::recover): the process is not ready.
    pub fn degrade(&self, part: impl Into<String>, reason: impl Into<String>) {
        lock(&self.degraded).insert(part.into(), reason.into());
    }

    /// The part is well again.
    pub fn recover(&self, part: &str) {
        lock(&self.degraded).remove(part);
    }

    /// May this process be asked?
    pub async fn ready(&self) -> Report {
        let phase = self.phases.current();
        let checks = self.findings().await;
        let ok = phase == Phase::Ready && checks.iter().all(|found| found.ok || found.need == Need::Optional);
        Report { ok, phase: phase.as_str(), checks }
    }

    /// Has it come up once?
    pub fn started(&self) -> Report {
        let phase = self.phases.current();
        Report { ok: phase != Phase::Starting, phase: phase.as_str(), checks: Vec::new() }
    }

    /// Does the runtime answer? It does, or nobody would read this.
    pub fn live(&self) -> Report {
        Report { ok: true, phase: self.phases.current().as_str(), checks: Vec::new() }
    }

    async fn findings(&self) -> Vec<Finding> {
        let checks: Vec<Arc<Check>> = lock(&self.checks).clone();
        let mut findings = join_all(checks.iter().map(|check| check.find())).await;
        findings.extend(lock(&self.degraded).iter().map(|(part, reason)| Finding {
            name: part.clone(),
            ok: false,
            need: Need::Required,
            reason: reason.clone(),
        }));
        findings
    }
}

impl Check {
    async fn find(&self) -> Finding {
        // A check is a team's code, and the probe has to say which one broke.
        let asked = AssertUnwindSafe(async { (self.ask)().await }).catch_unwind();
        let found = match tokio::time::timeout(CHECK_TIMEOUT, asked).await {
            Ok(Ok(found)) => found,
            Ok(Err(panic)) => Err(Error::new(ErrorKind::Panic, panic_text(&*panic))),
            Err(_) => Err(Error::new(ErrorKind::Timeout, format!("no answer within {CHECK_TIMEOUT:?}"))),
        };
        let reason = found.as_ref().err().map(ToString::to_string).unwrap_or_default();
        Finding { name: self.name.clone(), ok: found.is_ok(), need: self.need, reason }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = lock(&self.checks).iter().map(|check| check.name.clone()).collect();
        f.debug_struct("Health").field("phases", &self.phases).field("checks", &names).finish_non_exhaustive()
    }
}

/// A list stays whole when a holder panics between two pushes.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kubernetes gives a probe one second by default; a check that hangs must not hang the probe.
pub const CHECK_TIMEOUT: Duration = Duration::from_millis(800);
