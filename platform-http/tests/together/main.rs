//! Two services and what is between them, on real sockets: `edge` calls `catalog`, found in a registry of its own.

#[cfg(feature = "tls")]
#[path = "../ground/authority.rs"]
mod authority;
#[path = "../../../platform-core/tests/judges/mod.rs"]
mod judges;
#[cfg(feature = "otlp")]
#[path = "../../../platform-core/tests/sink/mod.rs"]
mod sink;
mod town;

mod browser;
#[cfg(feature = "otlp")]
mod collector;
mod context;
mod degraded;
mod drain;
mod equals;
mod faults;
mod fleet;
mod live;
mod registry;
mod route;
mod scrape;
#[cfg(feature = "tls")]
mod secured;
#[cfg(feature = "otlp")]
mod trace;
mod zones;
