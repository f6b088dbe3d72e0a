//! HTTP for services: a client and a server that come with every protection, and the admin listener.

pub mod admin;
pub mod body;
mod catalogue;
pub mod classify;
pub mod client;
mod console;
mod discovery;
mod layers;
pub mod problem;
mod segment;
mod serve;
pub mod server;
pub mod tls;
mod wire;

pub use admin::Admin;
pub use body::Body;
pub use catalogue::{catalogue, joined_catalogue};
pub use client::Client;
pub use discovery::discovery;
pub use problem::Problem;
pub use segment::{Segment, segment};
pub use serve::{IntoRoutes, prepare, serve};
pub use server::Server;
