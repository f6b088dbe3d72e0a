//! What is set about choosing: the `[defaults.balance]` section.

use std::time::Duration;

use platform_core::config::duration;
use serde::{Deserialize, Serialize};

/// The `[defaults.balance]` section, and each client's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How an endpoint is chosen.
    pub pick: Picker,
    /// What is done about the set as a whole.
    pub set: Set,
}

/// The ways to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Picker {
    /// The less loaded of two chosen at random.
    #[default]
    P2c,
    /// One after the other.
    RoundRobin,
}

/// What is done about the set as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Set {
    /// How long a call waits for an endpoint when there is none.
    #[serde(with = "duration")]
    pub empty_wait: Duration,
}

impl Default for Set {
    fn default() -> Self {
        Set { empty_wait: EMPTY_WAIT }
    }
}

/// Longer than a look at a registry, shorter than a caller's patience.
const EMPTY_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_read_as_the_contract_writes_it() {
        let text = "[defaults.balance]\npick = \"round_robin\"\nset = { empty_wait = \"250ms\" }";
        let read = |text: &str| {
            let config = platform_core::config::Config::builder().toml(text).load().unwrap();
            config.section::<Config>("defaults.balance")
        };
        let set = Set { empty_wait: Duration::from_millis(250) };
        assert_eq!(read(text).unwrap(), Config { pick: Picker::RoundRobin, set });
        assert_eq!(read("").unwrap(), Config { pick: Picker::P2c, set: Set { empty_wait: EMPTY_WAIT } });
        let error = read("[defaults.balance]\npick = \"p3c\"").unwrap_err();
        assert!(error.detail().contains("p2c"), "{error}");
    }
}
