//! What does a gRPC call cost, with everything that stands around it?
//!
//! One unary call of a hundred bytes over loopback, server and client in one process and on one thread, so that the
//! process's CPU time is what both cost together: bare tonic on either side, and our server and channel with all
//! that is on by default, with and without the canonical line. Then the share of calls that are sent to an endpoint
//! that is dead, by tonic's balanced channel and by ours.

mod calls;
mod dead;
mod run;

pub(crate) use calls::{CALL, call};
pub(crate) use run::run;
