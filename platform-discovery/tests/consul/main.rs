//! Consul: finding others and being found. **Against a double**: Consul itself comes from no package registry, so a
//! stateful agent with Consul's rules (indexes, blocking queries, leases, rights) stands in for it.

#[path = "../common/authority.rs"]
mod authority;
mod double;
mod finding;
mod registering;
mod secured;
