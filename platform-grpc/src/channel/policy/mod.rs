//! What do single methods have of their own?
//!
//! Weak to strong: the client's own policy and the proto's `idempotency_level`, gRPC's service config (that of the file
//! which the client's section names, else the one that the code hands over:
//! [`Builder::service_config`](super::Builder::service_config)), the code for a service and for a method
//! ([`Builder::method`](super::Builder::method)), the section for a service and for a method:
//!
//! ```toml
//! [clients.ratings]
//! service_config = "ratings.json"
//! [clients.ratings.methods."film.Ratings/*"]
//! policy = { timeout = "2s" }
//! [clients.ratings.methods."film.Ratings/Get"]
//! idempotent = true
//! policy = { timeout = "300ms", recovery = "hedge" }
//! ```
//!
//! A channel that has the protos' descriptors refuses names that are not in them.
//!
//! # Codes
//! Without `retry_codes` a failure is repeated by what its code means ([`classify`](crate::classify)) and where the
//! method is idempotent. With them, only these codes are, and what the target has certainly not begun. Whoever lists
//! UNAVAILABLE says that the method may be done again, because that is also what a lost connection is. A code that is
//! listed and otherwise the caller's fault (ABORTED) is a failure of the target to every guard; of a method that must
//! not be done twice a listed code is read as a refusal before work, and repeated later.

mod codes;
mod own;
mod place;
mod service_config;

use std::path::Path;

use platform_core::Result;

pub use codes::Codes;
pub use own::MethodSettings;
pub(super) use own::{Edits, Wanted};
pub(super) use service_config::{HEALTH, ServiceConfig};

/// Can the service config in this file be meant?
///
/// # Errors
/// A file that cannot be read; what is wrong in it, with the line.
pub fn check_service_config(path: &Path) -> Result<()> {
    ServiceConfig::read_file(path).map(drop)
}
