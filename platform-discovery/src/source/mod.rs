//! Where do endpoints come from?
//!
//! | target | source | hears of a change |
//! |---|---|---|
//! | `fixed://…` | [`Fixed`]: the target itself | never |
//! | `NAME`, `dir://NAME` | [`Directory`]: records in a folder | at the next look, `discovery.dir.poll` |
//! | `etcd://NAME`, and `NAME` where it is the registry | `Etcd` (feature): records in etcd | when etcd does |
//! | `http://…`, `https://…` | [`Host`]: the system's resolver | at the next look, 30 s |
//!
//! [`Host`] asks the system, which does not say how long an answer holds; a source that honours the times of
//! DNS itself takes its place one day, behind the same [`Resolve`](crate::Resolve).

mod directory;
#[cfg(feature = "etcd")]
mod etcd;
mod fixed;
#[cfg(any(test, feature = "testing"))]
mod hand;
mod host;

pub use directory::Directory;
#[cfg(feature = "etcd")]
pub use etcd::Etcd;
pub use fixed::Fixed;
#[cfg(any(test, feature = "testing"))]
pub use hand::Hand;
pub use host::Host;
