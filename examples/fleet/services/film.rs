//! What ratings and its callers have agreed on: `fleet/proto/film.proto`.

pub(crate) use self::generated::*;

#[expect(
    clippy::allow_attributes,
    unreachable_pub,
    unused_qualifications,
    reason = "the generated code is written for any place"
)]
mod generated {
    tonic::include_proto!("film");
}

/// What the proto says of itself: which methods may be asked twice.
pub(crate) const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("descriptors");
