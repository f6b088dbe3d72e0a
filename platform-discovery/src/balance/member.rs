//! What is kept for one endpoint?

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use platform_core::telemetry::Counter;
use tokio::{sync::Notify, time::Instant};

use super::{
    average::Average,
    load::{Failures, Load, Scale, WHOLE},
};
use crate::{endpoint::Endpoint, view::Seen};

/// One endpoint of a set, and what is kept for it.
pub struct Member<C> {
    endpoint: Arc<Endpoint>,
    label: Arc<str>,
    /// Outlives this member when the endpoint describes itself anew.
    kept: Arc<Kept<C>>,
    picks: Counter,
}

/// What stays while the process behind it stays.
struct Kept<C> {
    load: Load,
    service: C,
    shared: Arc<Shared>,
}

/// What all members of a balancer share: how they are measured, and how its task is called.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) scale: Scale,
    /// So many failures in a row wake the task; 0 never does.
    pub(super) consecutive: u32,
    /// Nobody has called for a while, and the task sleeps until somebody does.
    pub(super) asleep: AtomicBool,
    pub(super) wake: Notify,
    /// What is in flight to all of them, where somebody goes by that.
    pub(super) all: Option<Load>,
}

impl Shared {
    pub(super) fn new(scale: Scale, consecutive: u32) -> Self {
        Shared { scale, consecutive, asleep: AtomicBool::new(false), wake: Notify::new(), all: None }
    }

    /// Counts what is in flight to all members together.
    pub(super) fn counting_all(self) -> Self {
        Shared { all: Some(Load::default()), ..self }
    }

    /// After each report.
    #[inline]
    pub(super) fn heed(&self, failures: Failures) {
        let due = match failures {
            Failures::None => false,
            // Once a run, when it has become long enough: the task itself sees what goes on after that.
            Failures::InARow(count) => count == self.consecutive,
            Failures::AtOnce => true,
        };
        if due || self.asleep.load(Relaxed) {
            self.call();
        }
    }

    #[cold]
    fn call(&self) {
        self.asleep.store(false, Relaxed);
        self.wake.notify_one();
    }
}

impl<C> Member<C> {
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        service: C,
        picks: Counter,
        shared: &Arc<Shared>,
        like: Average,
    ) -> Self {
        let label = Arc::from(endpoint.address.to_string());
        let kept = Kept { load: Load::untried(like), service, shared: Arc::clone(shared) };
        Member { endpoint, label, kept: Arc::new(kept), picks }
    }

    /// The same process under a new description: connections and load stay.
    pub(super) fn described(&self, endpoint: Arc<Endpoint>, picks: Counter) -> Self {
        Member { endpoint, label: Arc::clone(&self.label), kept: Arc::clone(&self.kept), picks }
    }

    /// What it is.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Its address, as errors and log lines name it.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// What is kept for it.
    pub fn service(&self) -> &C {
        &self.kept.service
    }

    /// How many calls of this process it has not finished.
    pub fn in_flight(&self) -> u32 {
        self.kept.load.in_flight()
    }

    /// How long its answers take, as far as this process knows at `now`: a peak-sensitive average in which a failure
    /// counts as a slow answer. `None` before the first.
    pub fn latency(&self, now: Instant) -> Option<Duration> {
        let scale = &self.kept.shared.scale;
        let seconds = self.kept.load.average().at(scale.tick(now), scale.decay);
        (!self.kept.load.is_untried()).then(|| Duration::from_secs_f32(seconds.max(0.0)))
    }

    /// What an operator sees of it.
    pub(super) fn seen(&self, now: Instant) -> Seen {
        let (load, tally) = (&self.kept.load, self.kept.load.tally());
        let warmth = f64::from(load.warmth()) / f64::from(WHOLE);
        Seen {
            in_flight: load.in_flight(),
            latency: self.latency(now),
            successes: tally.successes,
            failures: tally.failures,
            told: load.told(),
            last_failure: (tally.failures > 0).then(|| load.last_failure()),
            warming: (warmth < 1.0).then_some(warmth),
            ..Seen::default()
        }
    }

    /// A call begins.
    pub(super) fn begin(&self) {
        self.kept.load.begin();
        if let Some(all) = &self.kept.shared.all {
            all.begin();
        }
    }

    /// And ends.
    pub(super) fn end(&self) {
        self.kept.load.end();
        if let Some(all) = &self.kept.shared.all {
            all.end();
        }
    }

    pub(super) fn load(&self) -> &Load {
        &self.kept.load
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.kept.shared
    }

    pub(super) fn count(&self) {
        self.picks.inc();
    }
}

// By hand: what is kept for an endpoint need not be printable.
impl<C> fmt::Debug for Member<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("endpoint", &self.endpoint)
            .field("in_flight", &self.in_flight())
            .finish()
    }
}
