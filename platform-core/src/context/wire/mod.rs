//! Who writes which header?
//!
//! One table of names, one way from headers to a [`Context`] and one back, used by HTTP and gRPC alike
//! because both carry header maps; a queue message implements [`Carrier`](super::Carrier) and joins in.
//!
//! Nothing that a peer writes can refuse a request here: a malformed value is ignored and reported in
//! [`Arrival::rejected`], and the request goes on.
//!
//! # Traps
//! An outsider who may switch on faults, choose a version or call himself important: behind an edge
//! ([`Trust::EDGE`]) every `platform-` name is dropped but the timeout, which can only shorten.

mod baggage;
mod names;
mod percent;
mod read;
mod timeout;
mod write;

pub use names::*;
pub(in crate::context) use percent::{decode as percent_decode, encode as percent_encode};
pub use read::{Arrival, Field, Rejected, Trust, read};
pub use timeout::parse_grpc as parse_grpc_timeout;
pub use write::{Protocol, lay_names, once, write, write_trace};

#[cfg(doc)]
use super::Context;
