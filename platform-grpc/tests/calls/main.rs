//! Promises of the server and the channel, each through both.

#[cfg(feature = "otlp")]
#[path = "../../../platform-core/tests/sink/mod.rs"]
mod sink;

#[path = "../../../platform-http/tests/ground/authority.rs"]
mod authority;
mod bearer;
mod channel;
#[path = "../../../platform-http/tests/ground/does.rs"]
mod does;
mod drain;
mod health;
mod house;
mod limits;
mod loads;
mod methods;
mod nginx;
mod outside;
mod python;
mod ready;
mod refused;
mod server;
mod slots;
mod streams;
mod tls;
mod tools;
#[cfg(feature = "otlp")]
mod trace;
mod watching;
