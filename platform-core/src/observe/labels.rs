//! Labels of what clients report.

use std::sync::Arc;

use crate::{outcome::Outcome, telemetry::catalogue::Labels};

/// Labels of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallLabels {
    /// What was called.
    pub target: Arc<str>,
    /// What came of it.
    pub outcome: Outcome,
}

impl Labels for CallLabels {
    const NAMES: &'static [&'static str] = &["target", "outcome"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.target);
        show(self.outcome.label());
    }
}

/// Labels of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptLabels {
    /// What was called.
    pub target: Arc<str>,
    /// Why it was made.
    pub kind: AttemptKind,
    /// What came of it.
    pub outcome: Outcome,
}

impl Labels for AttemptLabels {
    const NAMES: &'static [&'static str] = &["target", "kind", "outcome"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.target);
        show(self.kind.label());
        show(self.outcome.label());
    }
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptKind {
    /// The caller asked.
    First,
    /// The one before was slow.
    Hedge,
    /// The one before was never processed.
    Requeue,
    /// The one before failed.
    Retry,
}

impl AttemptKind {
    /// Every kind, in the order of its number.
    pub const ALL: [AttemptKind; 4] =
        [AttemptKind::First, AttemptKind::Hedge, AttemptKind::Requeue, AttemptKind::Retry];

    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            AttemptKind::First => "first",
            AttemptKind::Hedge => "hedge",
            AttemptKind::Requeue => "requeue",
            AttemptKind::Retry => "retry",
        }
    }
}
