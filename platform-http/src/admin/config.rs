//! Where operators ask, and by what they are known: the `[admin]` section.

use platform_core::config::{Refusal, Rules};
use serde::{Deserialize, Serialize};

use crate::server::no_address;

/// Where operators ask, and by what they are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; `0.0.0.0:9464` in a container, port 0 takes a free one.
    pub listen: String,
    /// A file of lines `NAME:TOKEN`, read whenever a token is shown; empty where nobody has one.
    pub token_file: String,
}

impl Default for Config {
    fn default() -> Self {
        Config { listen: DEFAULT_LISTEN.to_owned(), token_file: String::new() }
    }
}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        no_address(&self.listen, DEFAULT_LISTEN).map(|why| Refusal::new("listen", why)).into_iter().collect()
    }
}

/// The port of the contract, for this machine only: what stands there is nobody else's business until somebody
/// says so.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9464";
