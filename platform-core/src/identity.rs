//! Whose is this, and which of its versions?
//!
//! Developers operate what they write, so every signal says whose service it is, which version, why it runs
//! and whom to ask. This is the `[service]` section; it stands below telemetry because every log line, metric
//! and trace resource begins with it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a process says about itself on every log line, metric and trace resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// The service: `[a-z][a-z0-9-]{0,62}`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `stable`, `canary`, `pr-123`: which of the versions that run side by side.
    pub variant: String,
    /// This process among its equals.
    pub instance: String,
    /// Where it runs; empty where there are no zones.
    pub zone: String,
    /// The team that is called at night.
    pub owner: String,
    /// The owner's parent in the call tree.
    pub reports_to: String,
    /// Where it says what to do.
    pub runbook: String,
    /// Why it runs at all.
    pub why: String,
}

impl Default for Identity {
    fn default() -> Self {
        Identity {
            name: String::new(),
            version: String::new(),
            variant: DEFAULT_VARIANT.to_owned(),
            instance: String::new(),
            zone: String::new(),
            owner: String::new(),
            reports_to: String::new(),
            runbook: String::new(),
            why: String::new(),
        }
    }
}

/// Name, version and variant: what tells one of the versions that run side by side from another.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.version.is_empty() {
            write!(f, " {}", self.version)?;
        }
        write!(f, " ({})", self.variant)
    }
}

/// What most processes are; a canary says so.
pub const DEFAULT_VARIANT: &str = "stable";
