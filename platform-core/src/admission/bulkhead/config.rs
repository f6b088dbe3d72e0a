//! What is set: `[clients.NAME.policy.bulkhead]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Mode, Refusal, Rules, duration};

/// How much of us a target may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether it may refuse.
    pub mode: Mode,
    /// So many calls at once, until their replies have been read; and at most as many wait for a place.
    pub max_in_flight: u32,
    /// So long a call waits for a place; `"0ms"` refuses at once.
    #[serde(with = "duration")]
    pub max_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { mode: Mode::Enforce, max_in_flight: MAX_IN_FLIGHT, max_wait: MAX_WAIT }
    }
}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if self.max_in_flight == 0 {
            let why = "is 0 and would refuse every call; `mode = \"off\"` turns it off";
            refusals.push(Refusal::new("max_in_flight", why));
        }
        if self.max_wait > LONGEST_WAIT {
            let why = "is longer than 1m; who waits so long is better refused, so that it can go elsewhere";
            refusals.push(Refusal::new("max_wait", why));
        }
        refusals
    }
}

/// 10 000 calls a second that take 100 ms: more than one target should be asked for, and at some 50 kB for each call
/// no more memory than a service can lose.
pub const MAX_IN_FLIGHT: u32 = 1000;

/// Evens out a burst. A longer queue makes answers late and no target faster.
pub const MAX_WAIT: Duration = Duration::from_millis(10);

/// Beyond that nobody waits for an answer either.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_write() {
        let good = Config::default();
        let table = [
            (good, None),
            (Config { max_wait: Duration::ZERO, max_in_flight: 1, ..good }, None),
            (Config { max_in_flight: 0, ..good }, Some("`bulkhead.max_in_flight` is 0")),
            (Config { max_wait: Duration::from_secs(61), ..good }, Some("`bulkhead.max_wait` is longer")),
        ];
        for (config, refused) in table {
            let answer = crate::config::Config::default().check("bulkhead", &config);
            match (answer, refused) {
                (Ok(()), None) => {}
                (Err(error), Some(words)) => assert!(error.detail().contains(words), "{error}"),
                (answer, refused) => panic!("{config:?}: {answer:?} instead of {refused:?}"),
            }
        }
    }

    #[test]
    fn it_is_written_and_read_as_in_a_file() {
        let config: Config = serde_json::from_str(r#"{"max_wait":"0ms"}"#).unwrap();
        assert_eq!(config, Config { max_wait: Duration::ZERO, ..Config::default() });
        let written = serde_json::to_string(&Config::default()).unwrap();
        assert_eq!(written, r#"{"mode":"enforce","max_in_flight":1000,"max_wait":"10ms"}"#);
        assert!(serde_json::from_str::<Config>(r#"{"max_wiat":"5s"}"#).is_err());
    }
}
