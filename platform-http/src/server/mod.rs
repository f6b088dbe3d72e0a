//! Who may connect, for how long, and what answers them?
//!
//! ```text
//! listener → connections (limits, times, age, drain) → stack (extract, observe, respond, deadline, …) → routes
//! ```
//!
//! Cheap refusals come first: what a connection or a head can tell is refused before a handler is asked.
//!
//! # Defaults
//! Those of `[server]`; each constant says why ([`Limits`], [`Times`],
//! [`ServerPolicy`](platform_core::stack::ServerPolicy)).
//!
//! # Signals
//! `http_server_request_duration_seconds`, `http_server_active_requests`, `platform_server_panics_total`,
//! `platform_context_rejected_total`, and one canonical line per request.
//!
//! # Traps
//! A timeout layer of your own inside the router: two clocks, and the smaller one knows nothing of the caller's
//! deadline. Change `server.policy.timeout` instead.

mod admit;
mod age;
mod allow;
mod attend;
mod builder;
mod classes;
mod config;
mod connection;
mod crossing;
pub mod dialect;
mod durations;
mod edge;
mod exchange;
mod grown;
mod learned;
mod line;
mod listener;
mod load;
mod metrics;
mod observe;
mod route;
mod show;
pub mod slots;
mod socket;
mod spoken;
mod stack;
mod stream;
mod trust;

pub use builder::Server;
pub use classes::ClassConfig;
pub use config::{Clients, Config, Limits, Times, TlsConfig};
pub use connection::{Connections, Served};
pub use line::Peer;
pub use listener::Listener;
pub(crate) use listener::{no_address, of_the_key};
pub(crate) use metrics::{declared, in_flight, served, signals};
pub use show::ShowConfig;
pub use trust::{Inbound, TrustConfig};
