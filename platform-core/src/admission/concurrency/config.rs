//! Between which numbers it may look: `[clients.NAME.policy.concurrency]`.

use serde::{Deserialize, Serialize};

use crate::config::{Mode, Refusal, Rules};

/// Between which numbers the limit is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much it may do.
    pub mode: Mode,
    /// The first estimate; calls are not refused by it until it has been tested against a window.
    pub start: u32,
    /// The limit never falls below it.
    pub min: u32,
    /// The limit never rises above it.
    pub max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { mode: Mode::Observe, start: DEFAULT_START, min: DEFAULT_MIN, max: DEFAULT_MAX }
    }
}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let Config { start, min, max, .. } = *self;
        let mut refusals = Vec::new();
        if min == 0 {
            let why =
                "is 0, and a limit of nothing never finds out that the target is well; write at least 1";
            refusals.push(Refusal::new("min", why));
        }
        if max < min {
            let why = format!("is {max}, less than `min` ({min}); raise it or lower `min`");
            refusals.push(Refusal::new("max", why).and("min"));
        } else if !(min..=max).contains(&start) {
            let why = format!("is {start}; write a number from `min` ({min}) to `max` ({max})");
            refusals.push(Refusal::new("start", why).and("min").and("max"));
        }
        refusals
    }
}

/// What Netflix, failsafe-go and others start with: more than a quiet client has under way, less than would hurt.
pub const DEFAULT_START: u32 = 20;

/// One call at a time is the least with which anything can be learnt.
pub const DEFAULT_MIN: u32 = 1;

/// A ceiling of 200 refuses a healthy service with a second's latency at 200 calls a second.
pub const DEFAULT_MAX: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_no_limit_to_find_is_refused() {
        for (start, min, max, count) in
            [(20, 1, 1_000, 0), (5, 5, 5, 0), (20, 0, 1_000, 1), (1, 1, 0, 1), (0, 1, 10, 1), (11, 1, 10, 1)]
        {
            let config = Config { start, min, max, ..Config::default() };
            assert_eq!(config.refusals().len(), count, "{config:?}");
        }
    }

    #[test]
    fn it_is_written_and_read_as_in_a_file() {
        let config: Config = serde_json::from_str(r#"{"max":50}"#).unwrap();
        assert_eq!(config, Config { max: 50, ..Config::default() });
        let text = r#"{"mode":"observe","start":20,"min":1,"max":50}"#;
        assert_eq!(serde_json::to_string(&config).unwrap(), text);
    }
}
