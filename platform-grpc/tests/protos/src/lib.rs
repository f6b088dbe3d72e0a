//! The services that platform-grpc is tested with, in Rust.

tonic::include_proto!("platform.test");

/// What the protos say of themselves.
pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("descriptors");
