//! What a served request gets from the platform, on real sockets.

mod served;

mod bad_input;
#[cfg(feature = "compression")]
mod compression;
mod guards;
mod limits;
mod overload;
mod signals;
mod slots;
mod streams;
#[cfg(feature = "tls")]
mod tls;
