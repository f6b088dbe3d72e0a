//! gRPC for services, on the transport of `platform-http`: gRPC is HTTP/2, so there is one listener, one
//! connection pool and one stack.
//!
//! This is the front door. What stands so far is the table from our errors to gRPC's codes, for handlers of
//! tonic services that return [`tonic::Status`]; the server and the channel are rooms to come.

mod status;

pub use status::{code, status};
