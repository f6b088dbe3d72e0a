//! HTTP for services: a client and a server that come with every protection, and the admin listener.

pub mod body;
pub mod server;

pub use body::Body;
