//! The last 200 changes: who, when, what, and why.
//!
//! Most outages begin with a change. So every start, drain, dead task and operator's action is kept here,
//! for the person who asks "what changed?" at three in the morning.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use crate::telemetry::{
    CounterFamily, Metrics,
    catalogue::{Board, CounterSpec, Labels, Signal, Unit, rate},
};

/// The ring of the last changes of one process; cheap to clone.
#[derive(Clone)]
pub struct Changes {
    ring: Arc<Mutex<Ring>>,
    counter: CounterFamily<KindLabels>,
}

struct Ring {
    next: u64,
    kept: VecDeque<Change>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Counted from 1 since the start of the process.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// What kind of change.
    pub kind: ChangeKind,
    /// Who made it: a person's name, or `platform`.
    pub who: String,
    /// What changed, in words.
    pub what: String,
    /// Why; empty where nobody was asked.
    pub why: String,
    /// When it goes back by itself, in milliseconds since 1970; for a change that somebody may undo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_unix_ms: Option<u64>,
    /// It is in force no more: undone, replaced, or its time was over.
    pub undone: bool,
}

/// What kind of change; the label of `platform_changes_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChangeKind {
    /// A breaker was held open or closed by hand, or no longer.
    Breaker,
    /// A setting was changed while running.
    Config,
    /// The process began to drain.
    Drain,
    /// Something was made to go wrong on purpose, or no longer.
    Fault,
    /// The log filter was changed.
    Log,
    /// A guard of clients was given another mode.
    Mode,
    /// A part of a client's policy was changed.
    Policy,
    /// The process became ready.
    Ready,
    /// The process started.
    Start,
    /// A background task died.
    Task,
    /// A zone was evacuated, or no longer.
    Zone,
}

impl ChangeKind {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            ChangeKind::Breaker => "breaker",
            ChangeKind::Config => "config",
            ChangeKind::Drain => "drain",
            ChangeKind::Fault => "fault",
            ChangeKind::Log => "log",
            ChangeKind::Mode => "mode",
            ChangeKind::Policy => "policy",
            ChangeKind::Ready => "ready",
            ChangeKind::Start => "start",
            ChangeKind::Task => "task",
            ChangeKind::Zone => "zone",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KindLabels(ChangeKind);

impl Labels for KindLabels {
    const NAMES: &'static [&'static str] = &["kind"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(self.0.as_str());
    }
}

impl Changes {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let ring = Ring { next: 1, kept: VecDeque::with_capacity(KEPT) };
        Changes { ring: Arc::new(Mutex::new(ring)), counter: metrics.counter(&CHANGES) }
    }

    /// Keeps a change, and returns it as recorded.
    pub fn record(
        &self,
        kind: ChangeKind,
        who: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Change {
        self.keep(kind, who.into(), what.into(), why.into(), None)
    }

    /// Keeps a change that goes back by itself after `length`, and returns it as recorded. Whoever makes it also
    /// takes it back, and then says so with [`mark_undone`](Self::mark_undone).
    pub fn record_for(
        &self,
        kind: ChangeKind,
        who: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
        length: Duration,
    ) -> Change {
        self.keep(kind, who.into(), what.into(), why.into(), Some(length))
    }

    /// Says that the change of this id is in force no more; one that is no longer kept is left alone.
    pub fn mark_undone(&self, id: u64) {
        if let Some(change) = self.lock().kept.iter_mut().find(|change| change.id == id) {
            change.undone = true;
        }
    }

    /// The change of this id, if it is still kept.
    pub fn find(&self, id: u64) -> Option<Change> {
        self.lock().kept.iter().find(|change| change.id == id).cloned()
    }

    fn keep(
        &self,
        kind: ChangeKind,
        who: String,
        what: String,
        why: String,
        length: Option<Duration>,
    ) -> Change {
        self.counter.with(&KindLabels(kind)).inc();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut ring = self.lock();
        let change = Change {
            id: ring.next,
            at_unix_ms: millis(at),
            kind,
            who,
            what,
            why,
            until_unix_ms: length.map(|length| millis(at.saturating_add(length))),
            undone: false,
        };
        ring.next += 1;
        if ring.kept.len() == KEPT {
            ring.kept.pop_front();
        }
        ring.kept.push_back(change.clone());
        change
    }

    /// The kept changes, newest first.
    pub fn latest(&self) -> Vec<Change> {
        self.lock().kept.iter().rev().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Who, when the platform itself made a change.
pub const PLATFORM: &str = "platform";
/// A day of ordinary life, and a page that a person can still read.
const KEPT: usize = 200;

/// What this room shows.
pub(crate) fn signals() -> Vec<Signal> {
    vec![Signal::new("Changes", rate(&CHANGES).by(&["kind"]), Unit::PerSecond).on(Board::Runtime)]
}

pub(crate) static CHANGES: CounterSpec<KindLabels> = CounterSpec::new(
    "platform_changes",
    "Changes of this process: starts, drains, actions of operators, deaths of background tasks",
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    #[test]
    fn the_last_two_hundred_are_kept_newest_first() {
        let metrics = Metrics::new(&Identity::default());
        let changes = Changes::new(&metrics);
        for n in 0..250 {
            changes.record(ChangeKind::Log, "ann", format!("filter {n}"), "looking");
        }
        let kept = changes.latest();
        assert_eq!(kept.len(), KEPT);
        assert_eq!((kept[0].id, kept[0].what.as_str()), (250, "filter 249"));
        assert_eq!(kept[KEPT - 1].id, 51);
        assert!(metrics.encode().contains("platform_changes_total"), "{}", metrics.encode());
    }
    #[test]
    fn a_change_that_goes_back_says_when_and_whether_it_has() {
        let changes = Changes::new(&Metrics::new(&Identity::default()));
        let hour = Duration::from_secs(3600);
        let made = changes.record_for(ChangeKind::Log, "ann", "debug", "looking", hour);
        assert_eq!(made.until_unix_ms, Some(made.at_unix_ms + 3_600_000));
        assert!(!made.undone);

        changes.mark_undone(made.id);
        assert!(changes.find(made.id).unwrap().undone);
        changes.mark_undone(99);
        assert_eq!(changes.find(99), None);
    }
}
