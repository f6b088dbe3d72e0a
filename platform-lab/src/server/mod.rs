//! What does our server stack cost?
//!
//! One JSON hello over HTTP/1, served by bare hyper, bare axum and everything that a team could put around
//! it. All servers live at once and are loaded in turn, in an order thrown anew each round.

mod hello;
mod platform;
mod run;
mod summary;
mod variants;

pub(crate) use run::run;
pub(crate) use variants::{SERVE, bare, serve};
