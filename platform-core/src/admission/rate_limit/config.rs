//! What is allowed: `[clients.NAME.policy.rate_limit]`.

use serde::{Deserialize, Serialize};

use crate::config::{Mode, Refusal, Rules};

/// How often may be asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much it may do.
    pub mode: Mode,
    /// Calls a second for ever; `0.1` is one in ten seconds.
    pub per_second: f64,
    /// Calls at once after a pause.
    pub burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { mode: Mode::Off, per_second: DEFAULT_PER_SECOND, burst: DEFAULT_BURST }
    }
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        // The total order, so that a configuration is always equal to itself.
        self.mode == other.mode
            && self.per_second.total_cmp(&other.per_second).is_eq()
            && self.burst == other.burst
    }
}

impl Eq for Config {}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let Config { per_second, burst, .. } = *self;
        let mut refusals = Vec::new();
        let rate_is_one = per_second > 0.0 && per_second <= MOST_PER_SECOND;
        if !rate_is_one {
            let why = format!(
                "is {per_second}; write a number above 0 and at most {MOST_PER_SECOND}, or mode = \"off\" for \
                 no limit"
            );
            refusals.push(Refusal::new("per_second", why));
        }
        if burst == 0 {
            let why = "is 0 and would refuse every call; write at least 1";
            refusals.push(Refusal::new("burst", why));
        } else if rate_is_one && f64::from(burst) / per_second > LONGEST_BURST_SECONDS {
            let why = format!(
                "is {burst}, which takes longer than a year to come back at {per_second} a second; lower it or \
                 raise `per_second`"
            );
            refusals.push(Refusal::new("burst", why).and("per_second"));
        }
        refusals
    }
}

/// How often each tenant may ask a server.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PerTenant {
    /// How much it may do.
    pub mode: Mode,
    /// Requests a second for ever, of each tenant.
    pub per_second: f64,
    /// Requests at once after a pause.
    pub burst: u32,
    /// So many tenants are remembered.
    pub max_keys: u32,
}

impl PerTenant {
    /// The rate of one tenant.
    pub fn rate(&self) -> Config {
        let PerTenant { mode, per_second, burst, .. } = *self;
        Config { mode, per_second, burst }
    }
}

impl Default for PerTenant {
    fn default() -> Self {
        let Config { mode, per_second, burst } = Config::default();
        PerTenant { mode, per_second, burst: 2 * burst, max_keys: DEFAULT_MAX_KEYS }
    }
}

impl PartialEq for PerTenant {
    fn eq(&self, other: &Self) -> bool {
        self.rate() == other.rate() && self.max_keys == other.max_keys
    }
}

impl Eq for PerTenant {}

impl Rules for PerTenant {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = self.rate().refusals();
        if self.max_keys == 0 {
            let why = "is 0, and then nobody's use is remembered; write at least 1";
            refusals.push(Refusal::new("max_keys", why));
        }
        refusals
    }
}

/// Some ten megabytes: more tenants than ask one process within the time of a burst.
pub const DEFAULT_MAX_KEYS: u32 = 100_000;

/// A round number to be replaced; nobody can guess a contract.
pub const DEFAULT_PER_SECOND: f64 = 100.0;

/// One second's worth: what a caller that does not pace itself sends at once.
pub const DEFAULT_BURST: u32 = 100;

/// Above it an interval is so few nanoseconds that rounding would take more than a thousandth of the rate.
const MOST_PER_SECOND: f64 = 1_000_000.0;

/// A year, the longest duration of the configuration.
const LONGEST_BURST_SECONDS: f64 = 365.0 * 24.0 * 60.0 * 60.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_counted_is_refused_with_its_numbers() {
        let table: [(f64, u32, &[&str]); 10] = [
            (100.0, 100, &[]),
            (0.1, 1, &[]),
            (1_000_000.0, u32::MAX, &[]),
            (0.0, 1, &["per_second is 0;"]),
            (-1.0, 1, &["per_second is -1;"]),
            (f64::NAN, 1, &["per_second is NaN;"]),
            (1e7, 1, &["at most 1000000"]),
            (100.0, 0, &["burst is 0"]),
            (0.0, 0, &["per_second is 0;", "burst is 0"]),
            (0.01, 400_000, &["burst is 400000, which takes longer than a year"]),
        ];
        for (per_second, burst, expected) in table {
            let refusals = Config { per_second, burst, ..Config::default() }.refusals();
            assert_eq!(refusals.len(), expected.len(), "{per_second}, {burst}");
            for (refusal, words) in refusals.iter().zip(expected) {
                let said = format!("{refusal:?}").replace("Refusal { keys: [\"", "").replace('"', "");
                let said = said.replace("], why: ", " ").replace(", per_second ", " ");
                assert!(said.contains(words), "{said}");
            }
        }
    }

    #[test]
    fn it_is_written_and_read_as_in_a_file() {
        let config: Config = serde_json::from_str(r#"{"mode":"enforce","per_second":5}"#).unwrap();
        assert_eq!(config, Config { mode: Mode::Enforce, per_second: 5.0, burst: DEFAULT_BURST });
        assert_eq!(
            serde_json::to_string(&config).unwrap(),
            r#"{"mode":"enforce","per_second":5.0,"burst":100}"#
        );
        assert!(serde_json::from_str::<Config>(r#"{"per_minute":5}"#).is_err());
    }
}
