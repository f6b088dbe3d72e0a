//! What a served request gets from the platform, on real sockets.

#[cfg(feature = "tls")]
#[path = "../ground/authority.rs"]
mod authority;
mod served;

mod bad_input;
mod bearer;
#[cfg(feature = "compression")]
mod compression;
mod crossing;
mod guards;
mod lent;
mod limits;
mod overload;
mod signals;
mod slots;
mod slow;
mod streams;
#[cfg(feature = "tls")]
mod tls;
