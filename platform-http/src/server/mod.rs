//! Who may connect, for how long, and what answers them?

mod age;
mod config;
mod connection;
mod exchange;
mod line;
mod listener;
mod socket;

pub use config::{Limits, Times};
pub use connection::{Connections, Served};
pub use line::Peer;
pub use listener::Listener;
