//! When a client holds back: `[clients.NAME.policy.throttle]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Mode, Ratio, Refusal, Rules, duration};

/// When a client holds back.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much it may do.
    pub mode: Mode,
    /// How many times what it accepts a target may be sent; at least 1.
    pub k: f64,
    /// How long an answer counts.
    #[serde(with = "duration")]
    pub memory: Duration,
    /// The greatest share of calls that is turned away.
    pub max_share: Ratio,
}

impl Default for Config {
    fn default() -> Self {
        Config { mode: Mode::Observe, k: DEFAULT_K, memory: DEFAULT_MEMORY, max_share: DEFAULT_MAX_SHARE }
    }
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        // The total order, so that a configuration is always equal to itself.
        self.mode == other.mode
            && self.k.total_cmp(&other.k).is_eq()
            && self.memory == other.memory
            && self.max_share == other.max_share
    }
}

impl Eq for Config {}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let Config { k, memory, max_share, .. } = *self;
        let mut refusals = Vec::new();
        if !(k >= 1.0 && k.is_finite()) {
            let why = format!(
                "is {k}; write a number of at least 1, or the throttle turns away calls of a target that is well"
            );
            refusals.push(Refusal::new("k", why));
        }
        if !(SHORTEST_MEMORY..=LONGEST_MEMORY).contains(&memory) {
            let why = format!(
                "is {memory:?}; write {SHORTEST_MEMORY:?} to {LONGEST_MEMORY:?}: a shorter one holds too few \
                 answers, a longer one turns good calls away long after a storm"
            );
            refusals.push(Refusal::new("memory", why));
        }
        if max_share == Ratio::ONE {
            let why =
                "is 1, so nothing would find out that the target is well again; write less, such as 0.8";
            refusals.push(Refusal::new("max_share", why));
        }
        refusals
    }
}

/// Half of the answers may be overload before anything is turned away. With 1.1, a target's every hiccup is
/// amplified and the way back is long; above 3 the target drowns in refusing.
pub const DEFAULT_K: f64 = 2.0;

/// A storm is forgotten a second after its end.
pub const DEFAULT_MEMORY: Duration = Duration::from_secs(1);

/// A fifth goes on, whatever happens: Envoy's number, between those of Finagle (0.75) and failsafe-go (0.9).
pub const DEFAULT_MAX_SHARE: Ratio = Ratio::of(0.8);

const SHORTEST_MEMORY: Duration = Duration::from_millis(100);
const LONGEST_MEMORY: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_hold_a_client_shut_is_refused() {
        let default = Config::default();
        let table = [
            (default, 0),
            (Config { k: 1.0, ..default }, 0),
            (Config { k: 0.9, ..default }, 1),
            (Config { k: f64::NAN, ..default }, 1),
            (Config { k: f64::INFINITY, ..default }, 1),
            (Config { memory: Duration::ZERO, ..default }, 1),
            (Config { memory: Duration::from_secs(600), ..default }, 1),
            (Config { max_share: Ratio::ONE, k: 0.0, ..default }, 2),
            (Config { max_share: Ratio::ZERO, ..default }, 0),
        ];
        for (config, count) in table {
            assert_eq!(config.refusals().len(), count, "{config:?}");
        }
    }

    #[test]
    fn it_is_written_and_read_as_in_a_file() {
        let config: Config = serde_json::from_str(r#"{"memory":"3s"}"#).unwrap();
        assert_eq!(config, Config { memory: Duration::from_secs(3), ..Config::default() });
        assert_eq!(
            serde_json::to_string(&config).unwrap(),
            r#"{"mode":"observe","k":2.0,"memory":"3s","max_share":0.8}"#
        );
        assert!(serde_json::from_str::<Config>(r#"{"K":3}"#).is_err());
    }
}
