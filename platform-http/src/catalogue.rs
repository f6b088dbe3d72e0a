//! This crate's metrics, a line per room.

use platform_core::telemetry::catalogue::{Declared, Spec as _};

use crate::client;

/// Every metric that this crate writes.
pub fn catalogue() -> Vec<Declared> {
    vec![client::metrics::DURATION.declared()]
}
