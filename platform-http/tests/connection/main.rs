//! What a connection gets, on real sockets.

#[path = "../ground/mod.rs"]
mod ground;

mod http1;
