//! What does the server tell of itself?
//!
//! Reflection, v1 and v1alpha: tools list services, call them without their protos, and read the details of errors.

use platform_core::{Error, Result};
use tonic_reflection::server::Builder;

use super::Services;

/// The services with reflection of their descriptors.
///
/// # Errors
/// Descriptors that contradict each other.
pub(super) fn add(services: Services) -> Result<Services> {
    let descriptors = services.descriptors.clone();
    let builder = || {
        let ours = [tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET];
        let all = ours.iter().chain(&descriptors);
        all.fold(Builder::configure(), |builder, one| builder.register_encoded_file_descriptor_set(one))
    };
    let unfit = |error| Error::config(format!("the descriptors of the services: {error}"));
    let v1 = builder().build_v1().map_err(unfit)?;
    let v1alpha = builder().build_v1alpha().map_err(unfit)?;
    Ok(services.route(v1).route(v1alpha))
}
