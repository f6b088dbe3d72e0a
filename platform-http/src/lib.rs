//! HTTP for services: a client and a server that come with every protection, and the admin listener.

pub mod body;
pub mod problem;
mod serve;
pub mod server;

pub use body::Body;
pub use problem::Problem;
pub use serve::serve;
pub use server::Server;
