//! How long a stop may take: the `[lifecycle]` section.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::duration;

/// How long each part of a stop may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long the world is given to notice that this instance is going; skipped where nothing was announced.
    #[serde(with = "duration")]
    pub propagation: Duration,
    /// How long requests in flight may take to end.
    #[serde(with = "duration")]
    pub grace: Duration,
    /// How long each of background tasks, stop hooks and telemetry may take; together they use what the parts
    /// before have left of the three.
    #[serde(with = "duration")]
    pub flush: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { propagation: DEFAULT_PROPAGATION, grace: DEFAULT_GRACE, flush: DEFAULT_FLUSH }
    }
}

/// Twice what a registry's watch or an endpoint slice takes on a bad day.
pub const DEFAULT_PROPAGATION: Duration = Duration::from_secs(5);
/// Longer than any request that a person waits for.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(20);
/// Together with the others under the 30 s that Kubernetes gives.
pub const DEFAULT_FLUSH: Duration = Duration::from_secs(3);
