//! When does a process live?
//!
//! ```text
//! start:  config → telemetry → admin listener up (live: yes, ready: no) → start hooks (targets resolved once)
//!         → servers bound → Ready (ready: yes) → announced
//! stop :  signal → Draining (ready: no) → announced as draining → the world notices → withdrawn
//!         → stop accepting, tell connections → requests in flight end, at most `grace` → background tasks
//!         → stop hooks in reverse → telemetry flushed → admin listener down → exit status
//! ```
//!
//! Only the App moves the [`Phase`]; everyone else reads it. A second signal ends at once.
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `propagation` | 5 s | twice what a registry's watch or an endpoint slice takes on a bad day |
//! | `grace` | 20 s | longer than any request that a person waits for |
//! | `flush` | 3 s | together under the 30 s that Kubernetes gives |
//!
//! # Signals
//! `/livez`, `/readyz`, `/startupz` with `?verbose`; `/platform/changes` has each phase with its reason; the exit status is 1 where
//! something was cut.
//!
//! # Traps
//! A liveness probe that asks a dependency: its outage would restart every service that uses it.

mod config;
mod drain;
mod health;
mod phase;
mod signals;
mod task;

pub use config::{Config, DEFAULT_FLUSH, DEFAULT_GRACE, DEFAULT_PROPAGATION};
pub use drain::{Drain, Notice, Trigger};
pub use health::{CHECK_TIMEOUT, Finding, Health, Need, Report};
pub use phase::{Phase, Phases};
pub use signals::{Signal, Signals};
pub(crate) use task::supervise;
pub use task::{OnDeath, panic_text};
