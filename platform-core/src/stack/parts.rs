//! Parts: the live pieces of one target.

use std::sync::Arc;

use crate::{
    observe::{Attempts, Calls},
    telemetry::Metrics,
};

/// What all clients of one target share, so that asking twice for a target gives two clients and one count.
///
/// A policy is laid over them; nothing in here points back at it.
pub struct Parts {
    pub(super) target: Arc<str>,
    pub(super) calls: Calls,
    pub(super) attempts: Attempts,
}

impl Parts {
    /// The parts of `target`.
    pub fn new(target: &Arc<str>, metrics: &Metrics) -> Self {
        Parts {
            target: Arc::clone(target),
            calls: Calls::new(target, metrics),
            attempts: Attempts::new(target, metrics),
        }
    }

    /// What was called.
    pub fn target(&self) -> &Arc<str> {
        &self.target
    }
}
