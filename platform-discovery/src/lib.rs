//! Who answers for a name, and which of them to ask?
//!
//! ```text
//! source ──snapshots──► watch ──latest──► pool ──publishes──► ready set ◄──reads── pick ◄── request
//! (fixed, file,         (keeps the last   (births and          (immutable,            │
//!  directory, DNS,       good set, and     retirements)         swapped whole)        ▼
//!  etcd, Consul,         saves it)                                       endpoint: load, service
//!  Kubernetes, host)
//!
//! announcement ──► registration ──► lease ──publishes, renews, removes──► register
//! (what we say      (mode,           (one record's                        (directory, etcd,
//!  of ourselves)     patience)        life)                                Consul)
//! ```
//!
//! | I want to … | open |
//! |---|---|
//! | call somebody by name | [`Discovery`] and [`Target`] |
//! | be found | [`Registration`] and [`Record`] |
//! | bring endpoints from elsewhere | [`Resolve`] |
//! | choose in another way | [`balance::Pick`] |
//!
//! Sources yield whole sets, so that a missed message leaves no ghost; an error is not an empty set. Names of
//! settings, records and metrics are those of the platform's contract.

pub mod balance;
mod catalogue;
pub mod config;
#[cfg(feature = "consul")]
mod consul;
mod discovery;
mod disk;
mod eject_modes;
mod endpoint;
#[cfg(feature = "etcd")]
mod etcd;
mod folder;
mod followed;
#[cfg(test)]
#[path = "../../platform-core/tests/golden/mod.rs"]
mod golden;
mod list;
pub mod metrics;
mod pause;
mod record;
pub mod register;
mod resolve;
pub mod source;
mod standing;
mod start;
mod target;
mod task;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(all(feature = "etcd", not(feature = "tls")))]
mod tls;
mod view;
mod watch;

use std::time::SystemTime;

pub use balance::Balance;
pub use catalogue::{catalogue, signals};
pub use config::Config;
pub use discovery::Discovery;
pub use disk::Stamp;
pub use endpoint::{Endpoint, EndpointSet, Found, Protocol, State};
pub use followed::Followed;
pub use list::{List, Listing};
pub use record::Record;
pub use register::Registration;
pub use resolve::{Resolve, Snapshot, Snapshots};
pub use start::NotReady;
pub use target::{Place, Target};
pub use view::{EndpointView, TargetView};

/// Milliseconds since 1970, which is how records count.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
