//! What is set: `[server.policy.concurrency]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    admission::concurrency::{self, DEFAULT_MAX, DEFAULT_MIN, DEFAULT_START},
    config::{Mode, Refusal, Rules, duration},
};

/// Between which numbers a server looks for its limit, and how long a request waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much it may do.
    pub mode: Mode,
    /// The first estimate.
    pub start: u32,
    /// The limit never falls below it; a limit that is known is written as `start`, `min` and `max` alike.
    pub min: u32,
    /// The limit never rises above it; at most as many wait, or 100 if it is less.
    pub max: u32,
    /// So long a request waits for a slot; `"0ms"` refuses at once.
    #[serde(with = "duration")]
    pub queue_wait: Duration,
}

impl Config {
    pub(crate) fn limit(&self) -> concurrency::Config {
        let Config { mode, start, min, max, .. } = *self;
        concurrency::Config { mode, start, min, max }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            mode: Mode::Enforce,
            start: DEFAULT_START,
            min: DEFAULT_MIN,
            max: DEFAULT_MAX,
            queue_wait: QUEUE_WAIT,
        }
    }
}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = self.limit().refusals();
        if self.queue_wait > LONGEST_WAIT {
            let why = "is longer than 1m; who waits so long is better refused, so that it can go elsewhere";
            refusals.push(Refusal::new("queue_wait", why));
        }
        refusals
    }
}

/// Simulated: with it every load recovers from a slow-down within ten seconds, whatever clients do. A tenth of what
/// people notice; longer than any burst of a service that is well.
pub const QUEUE_WAIT: Duration = Duration::from_millis(50);

/// Beyond that nobody waits for an answer either.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_and_read_as_in_a_file() {
        let written = serde_json::to_string(&Config::default()).unwrap();
        assert_eq!(written, r#"{"mode":"enforce","start":20,"min":1,"max":1000,"queue_wait":"50ms"}"#);
        let config: Config = serde_json::from_str(r#"{"queue_wait":"0ms"}"#).unwrap();
        assert_eq!(config, Config { queue_wait: Duration::ZERO, ..Config::default() });
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let good = Config::default();
        for (config, words) in [
            (Config { queue_wait: Duration::from_secs(61), ..good }, "`concurrency.queue_wait` is longer"),
            (Config { min: 0, ..good }, "`concurrency.min` is 0"),
            (Config { max: 5, ..good }, "`concurrency.start` is 20"),
        ] {
            let error = crate::config::Config::default().check("concurrency", &config).unwrap_err();
            assert!(error.detail().contains(words), "{error}");
        }
        assert!(Config { start: 64, min: 64, max: 64, ..good }.refusals().is_empty());
    }
}
