//! What does Consul's agent say, and in which words?
//!
//! Source and registration share this room: what one writes into a service the other reads out of it.

mod agent;
mod entry;
mod service;
mod word;

pub(crate) use agent::{Agent, QUICK};
pub(crate) use entry::{Skipped, read};
pub(crate) use service::{address, id, service, status};
