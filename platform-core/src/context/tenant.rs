//! Tenant: on whose behalf?

use std::{fmt, sync::Arc};

/// The customer on whose behalf a request runs: 1 to 64 of `[A-Za-z0-9._-]`. Never a metric label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant of that name, if it is one.
    pub fn parse(name: &str) -> Option<Self> {
        is_token(name).then(|| Tenant(Arc::from(name)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 1 to 64 of `[A-Za-z0-9._-]`: what a tenant and a request id may be made of.
pub(super) fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN_LENGTH).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Long enough for a UUID or a `sha256` in hex, short enough for a log line.
const MAX_TOKEN_LENGTH: usize = 64;
