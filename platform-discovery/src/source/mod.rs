//! Where do endpoints come from?
//!
//! | target | source | hears of a change |
//! |---|---|---|
//! | `fixed://…` | [`Fixed`]: the target itself | never |
//! | `file:///…` | [`File`]: a list in TOML or JSON | at the next look, 1 s |
//! | `NAME`, `dir://NAME` | [`Directory`]: records in a folder | at the next look, `discovery.dir.poll` |
//! | `etcd://NAME`, and `NAME` where it is the registry | `Etcd` (feature): records in etcd | when etcd does |
//! | `consul://…`, and `NAME` where it is the registry | `Consul` (feature): its agent's view of the service's health | when Consul does |
//! | `k8s://…`, and `NAME` where it is the registry | `Kubernetes` (feature): the EndpointSlices of a service | when Kubernetes does |
//! | `dns://…`, `dns+srv://…`, `http://…`, `https://…` | `Dns` (feature, default): the servers of the system, or one of our own | when what they said ends, 1 s to 5 minutes |
//!
//! Without the feature `dns`, [`Host`] asks the system's resolver for the hosts of `http://…` and `https://…`
//! every 30 s, because it does not say how long its answers hold.

#[cfg(feature = "consul")]
mod consul;
mod directory;
#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "etcd")]
mod etcd;
mod file;
mod fixed;
#[cfg(any(test, feature = "testing"))]
mod hand;
mod host;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod of;

#[cfg(feature = "consul")]
pub use consul::Consul;
mod said;

pub use directory::Directory;
#[cfg(feature = "dns")]
pub use dns::Dns;
#[cfg(feature = "etcd")]
pub use etcd::Etcd;
pub use file::File;
pub use fixed::Fixed;
#[cfg(any(test, feature = "testing"))]
pub use hand::Hand;
pub use host::Host;
#[cfg(feature = "kubernetes")]
pub use kubernetes::Kubernetes;
pub(crate) use of::{Shared, list, of};
