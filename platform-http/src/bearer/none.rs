//! A build that checks no tokens.

use platform_core::{App, Error, ErrorKind, Result};
use tower_layer::Identity;

use super::BearerConfig;

/// Nobody is asked.
///
/// # Errors
/// Somebody should be.
pub(crate) fn open(_app: &App, config: &BearerConfig) -> Result<Option<Identity>> {
    if config.is_off() {
        return Ok(None);
    }
    Err(Error::new(
        ErrorKind::Start,
        "server.bearer is set, and this build checks no tokens (feature \"jwt\")",
    ))
}
