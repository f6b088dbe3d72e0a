//! What a connection gets, on real sockets.

#[path = "../ground/mod.rs"]
mod ground;

mod crowd;
mod floods;
mod hostile;
mod http1;
mod http2;
mod outside;
mod raw;
mod upgrade;
