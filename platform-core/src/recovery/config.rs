//! Settings: which way to recover, and how far each may go.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Mode, Ratio, Refusal, Rules, duration, size};

/// What is done about an attempt that failed or is slow: one way, never two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recovery {
    /// Nothing.
    None,
    /// Wait, then again.
    #[default]
    Retry,
    /// A second one beside a slow first; idempotent calls only.
    Hedge,
}

impl Recovery {
    /// The word in files, logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Recovery::None => "none",
            Recovery::Retry => "retry",
            Recovery::Hedge => "hedge",
        }
    }
}

/// How an attempt that failed is repeated: `policy.retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// How much it may do.
    pub mode: Mode,
    /// Attempts of one call, the first included; 1 to 5.
    pub max_attempts: u32,
    /// The longest wait before the first repeat; it doubles with each.
    #[serde(with = "duration")]
    pub backoff: Duration,
    /// The same after a target said that it has too much to do.
    #[serde(with = "duration")]
    pub backoff_throttled: Duration,
    /// No wait of our own is longer.
    #[serde(with = "duration")]
    pub backoff_max: Duration,
    /// The largest body, in bytes, of which a copy is kept.
    #[serde(with = "size")]
    pub body: u64,
}

/// When a second copy of a slow call is sent: `policy.hedge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hedge {
    /// How much it may do.
    pub mode: Mode,
    /// Slower than this share of the recent calls is slow; 0.5 to 0.999.
    pub quantile: Ratio,
    /// Hedges per call, at most.
    pub extra: Ratio,
    /// Nothing is called slow sooner.
    #[serde(with = "duration")]
    pub min_delay: Duration,
}

/// What all extra attempts to one target may cost: `policy.budget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// Repeats per call.
    pub ratio: Ratio,
    /// How long a call counts; whole seconds, 1 to 60.
    #[serde(with = "duration")]
    pub window: Duration,
    /// Repeats per second that need no calls, shared by the known instances of this client; 0 is none.
    pub floor_per_second: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            mode: Mode::Enforce,
            max_attempts: MAX_ATTEMPTS,
            backoff: BACKOFF,
            backoff_throttled: BACKOFF_THROTTLED,
            backoff_max: BACKOFF_MAX,
            body: BODY,
        }
    }
}

impl Default for Hedge {
    fn default() -> Self {
        Hedge { mode: Mode::Enforce, quantile: QUANTILE, extra: EXTRA, min_delay: MIN_DELAY }
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        BudgetConfig { ratio: RATIO, window: WINDOW, floor_per_second: FLOOR_PER_SECOND }
    }
}

impl Rules for Retry {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if !(1..=MOST_ATTEMPTS).contains(&self.max_attempts) {
            let why = format!(
                "is {}; write 1 (no repeats) to {MOST_ATTEMPTS}: more only add load to what is failing",
                self.max_attempts
            );
            refusals.push(Refusal::new("max_attempts", why));
        }
        for (key, length) in [("backoff", self.backoff), ("backoff_throttled", self.backoff_throttled)] {
            if length.is_zero() {
                let why = "is 0ms, and clients that failed together would return together; write a wait, such as \
                           \"50ms\"";
                refusals.push(Refusal::new(key, why));
            } else if length > self.backoff_max {
                let why = format!(
                    "is {length:?}, longer than any wait may be ({:?}); lower it or raise `backoff_max`",
                    self.backoff_max
                );
                refusals.push(Refusal::new(key, why).and("backoff_max"));
            }
        }
        refusals
    }
}

impl Rules for Hedge {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if !(LEAST_QUANTILE..=MOST_QUANTILE).contains(&self.quantile) {
            let why = format!(
                "is {}; write {LEAST_QUANTILE} to {MOST_QUANTILE}: below, half of all calls would be sent twice, \
                 above, no recent sample tells how slow that is",
                self.quantile
            );
            refusals.push(Refusal::new("quantile", why));
        }
        if self.extra == Ratio::ZERO {
            let why = "is 0.0, so nothing could ever be sent twice; write `recovery = \"retry\"` or \"none\" instead";
            refusals.push(Refusal::new("extra", why));
        }
        refusals
    }
}

impl Rules for BudgetConfig {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if !(SHORTEST_WINDOW..=LONGEST_WINDOW).contains(&self.window) || self.window.subsec_nanos() != 0 {
            let why = format!("is {:?}; write whole seconds, \"1s\" to \"60s\"", self.window);
            refusals.push(Refusal::new("window", why));
        }
        if self.ratio == Ratio::ZERO && self.floor_per_second == 0 {
            let why = "is 0.0 without a floor, so nothing could ever be repeated; write `recovery = \"none\"` instead";
            refusals.push(Refusal::new("ratio", why).and("floor_per_second"));
        }
        refusals
    }
}

/// The settled number of the trade: a second repeat rescues what two sick instances of many spoil; a third rescues
/// hardly anything and is felt by every target.
pub(super) const MAX_ATTEMPTS: u32 = 3;

/// Where gRPC caps it too: five attempts at a target that fails are a flood with a delay.
pub(super) const MOST_ATTEMPTS: u32 = 5;

/// Longer than it takes to open another connection, and so short that a person does not notice one repeat.
pub(super) const BACKOFF: Duration = Duration::from_millis(50);

/// A target that has too much to do is not helped within milliseconds.
pub(super) const BACKOFF_THROTTLED: Duration = Duration::from_secs(1);

/// Twice a call's whole time limit: what would wait longer has been given up.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(20);

/// Nearly every request between services is smaller, and a thousand calls in flight keep 64 MiB at most.
pub(super) const BODY: u64 = 64 * 1024;

/// One call in twenty is slow: what users with several calls per page meet on most pages.
pub(super) const QUANTILE: Ratio = Ratio::of(0.95);

/// Below, half of all calls would be sent twice.
pub(super) const LEAST_QUANTILE: Ratio = Ratio::of(0.5);

/// Above, thirty seconds of a busy client have too few samples beyond it.
pub(super) const MOST_QUANTILE: Ratio = Ratio::of(0.999);

/// What [`QUANTILE`] costs while the learned latency is right; when the target slows down, the cap holds.
pub(super) const EXTRA: Ratio = Ratio::of(0.05);

/// The grain of tokio's timer.
pub(super) const MIN_DELAY: Duration = Duration::from_millis(1);

/// Covers ten times the failures of a service with 99 % success, and a tenth more load is what a target was sized to
/// bear.
pub(super) const RATIO: Ratio = Ratio::of(0.1);

/// Long enough that a burst of calls pays for its own repeats, short enough that the plenty of a busy minute is not
/// spent on an outage.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// A window has ten buckets, and a bucket is a tenth of a second or longer.
pub(super) const SHORTEST_WINDOW: Duration = Duration::from_secs(1);

/// What was saved up for longer would arrive at a failing target all at once.
pub(super) const LONGEST_WINDOW: Duration = Duration::from_secs(60);

/// A client that makes a call a minute may repeat it; divided by the known instances, because each target feels
/// the sum of them.
pub(super) const FLOOR_PER_SECOND: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(rules: &impl Rules) -> Vec<String> {
        rules.refusals().iter().map(|refusal| format!("{refusal:?}")).collect()
    }

    #[test]
    fn the_defaults_agree_with_themselves() {
        assert_eq!(keys(&Retry::default()), [""; 0]);
        assert_eq!(keys(&Hedge::default()), [""; 0]);
        assert_eq!(keys(&BudgetConfig::default()), [""; 0]);
        assert_eq!(Recovery::default(), Recovery::Retry);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_way_out() {
        let retry = Retry::default();
        let hedge = Hedge::default();
        let budget = BudgetConfig::default();
        let s = Duration::from_secs;
        let table: [(&dyn Rules, &str, &str); 12] = [
            (&Retry { max_attempts: 0, ..retry }, "max_attempts", "write 1 (no repeats) to 5"),
            (&Retry { max_attempts: 6, ..retry }, "max_attempts", "is 6"),
            (&Retry { backoff: s(0), ..retry }, "backoff", "return together"),
            (&Retry { backoff: s(21), ..retry }, "backoff", "21s, longer than any wait may be (20s)"),
            (&Retry { backoff_throttled: s(30), ..retry }, "backoff_throttled", "raise `backoff_max`"),
            (&Hedge { quantile: Ratio::of(0.4), ..hedge }, "quantile", "0.5 to 0.999"),
            (&Hedge { quantile: Ratio::ONE, ..hedge }, "quantile", "is 1"),
            (&Hedge { extra: Ratio::ZERO, ..hedge }, "extra", "recovery"),
            (&BudgetConfig { window: s(0), ..budget }, "window", "1s"),
            (&BudgetConfig { window: s(61), ..budget }, "window", "60s"),
            (&BudgetConfig { window: Duration::from_millis(1500), ..budget }, "window", "whole seconds"),
            (&BudgetConfig { ratio: Ratio::ZERO, floor_per_second: 0, ..budget }, "ratio", "\"none\\\""),
        ];
        for (rules, key, words) in table {
            let refusals = rules.refusals();
            assert_eq!(refusals.len(), 1, "{key}: {refusals:?}");
            let text = format!("{:?}", refusals[0]);
            assert!(text.contains(&format!("{key:?}")) && text.contains(words), "{key}: {text}");
        }
        let floor = BudgetConfig { ratio: Ratio::ZERO, ..budget };
        let no_floor = BudgetConfig { floor_per_second: 0, ..budget };
        assert!(floor.refusals().is_empty() && no_floor.refusals().is_empty());
    }

    #[test]
    fn settings_are_written_and_read_as_in_a_file() {
        let text = r#"{"mode":"enforce","max_attempts":3,"backoff":"50ms","backoff_throttled":"1s","backoff_max":"20s","body":"64KiB"}"#;
        assert_eq!(serde_json::to_string(&Retry::default()).unwrap(), text);
        let text = r#"{"mode":"enforce","quantile":0.95,"extra":0.05,"min_delay":"1ms"}"#;
        assert_eq!(serde_json::to_string(&Hedge::default()).unwrap(), text);
        let text = r#"{"ratio":0.1,"window":"10s","floor_per_second":10}"#;
        assert_eq!(serde_json::to_string(&BudgetConfig::default()).unwrap(), text);
        let retry: Retry = serde_json::from_str(r#"{"max_attempts":2,"body":"1MiB"}"#).unwrap();
        assert_eq!(retry, Retry { max_attempts: 2, body: 1024 * 1024, ..Retry::default() });
        assert!(serde_json::from_str::<Hedge>(r#"{"quantil":0.9}"#).is_err());
        for way in [Recovery::None, Recovery::Retry, Recovery::Hedge] {
            let json = serde_json::to_string(&way).unwrap();
            assert_eq!(json, format!("\"{}\"", way.as_str()));
            assert_eq!(serde_json::from_str::<Recovery>(&json).unwrap(), way);
        }
    }
}
