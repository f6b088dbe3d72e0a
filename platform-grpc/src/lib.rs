//! gRPC for services, on the transport of `platform-http`: gRPC is HTTP/2, so there is one listener, one
//! connection pool and one stack.
//!
//! A team writes a proto and a tonic service. [`serve`] runs it, alone or beside an axum router on one port, with
//! everything that stands around an HTTP request: deadlines, observation, drain, and health and reflection besides.
//! A [`Channel`] is what a generated client takes, with everything that stands around a call of HTTP's client.
//! Protos become Rust in `build.rs` by the crate `platform-grpc-build`, without protoc.

mod catalogue;
pub mod channel;
pub mod classify;
mod methods;
mod serve;
pub mod server;
mod status;

pub use catalogue::{catalogue, joined_catalogue};
pub use channel::Channel;
pub use serve::{IntoServices, prepare, serve};
pub use server::Services;
pub use status::{OrStatus, code, error, status};
