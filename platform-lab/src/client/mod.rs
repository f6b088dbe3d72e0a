//! What does our client stack cost?
//!
//! One call through the whole policy stack, balanced over ten endpoints that answer at once or at the second
//! look; beside it the bare service, and what a team could compose of others' parts. Each variant is a process
//! that makes the same call over and over. Then real calls over loopback, which is what all of this is for.

mod bare;
mod http;
mod network;
mod platform;
mod run;
mod summary;
mod thin;
mod variants;

pub(crate) use run::run;
pub(crate) use variants::{CALL, call};
