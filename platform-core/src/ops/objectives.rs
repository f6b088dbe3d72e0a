//! What do we promise our users? The `[slo]` section.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::slo::{MILLION, lives};
use crate::config::{Ratio, Refusal, Rules, duration};

/// What a service promises; nothing unless somebody says so.
///
/// ```toml
/// [slo]
/// availability = 0.999
/// latency = { bound = "300ms", share = 0.99 }
/// min_failures = 5
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objectives {
    /// The share of requests that are not failed by this service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability: Option<Ratio>,
    /// The share of the answered ones that are answered in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// No objective wakes anybody for fewer failures than these within the longer of an alert's windows.
    pub min_failures: u32,
}

/// How fast most answers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// In time is at most this. It becomes a bound of the server's histograms.
    #[serde(with = "duration")]
    pub bound: Duration,
    /// The share that are.
    pub share: Ratio,
}

/// One promise, in code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slo {
    /// So large a share of requests is not failed.
    Availability(Ratio),
    /// So large a share of answers is in time.
    Latency(Latency),
}

impl Slo {
    /// `0.999`: one request in a thousand may fail.
    ///
    /// # Panics
    /// When `share` is not between 0 and 1.
    #[track_caller]
    pub fn availability(share: f64) -> Self {
        Slo::Availability(Ratio::of(share))
    }

    /// `bound` and `0.99`: one answer in a hundred may take longer.
    ///
    /// # Panics
    /// When `share` is not between 0 and 1.
    #[track_caller]
    pub fn latency(bound: Duration, share: f64) -> Self {
        Slo::Latency(Latency { bound, share: Ratio::of(share) })
    }
}

impl Objectives {
    /// These promises; of two of a kind, the last.
    pub fn of(promises: impl IntoIterator<Item = Slo>) -> Self {
        let mut all = Objectives::default();
        promises.into_iter().for_each(|promise| all.add(promise));
        all
    }

    /// One more promise; one of its kind is replaced.
    pub fn add(&mut self, promise: Slo) {
        match promise {
            Slo::Availability(share) => self.availability = Some(share),
            Slo::Latency(latency) => self.latency = Some(latency),
        }
    }

    /// Is anything promised?
    pub fn any(&self) -> bool {
        self.availability.is_some() || self.latency.is_some()
    }

    /// What the histograms of a server need beside their declared bounds.
    pub fn bounds(&self) -> Vec<Duration> {
        self.latency.iter().map(|latency| latency.bound).collect()
    }
}

impl Default for Objectives {
    fn default() -> Self {
        Objectives { availability: None, latency: None, min_failures: MIN_FAILURES }
    }
}

impl Rules for Objectives {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let shares =
            [("availability", self.availability), ("latency.share", self.latency.map(|own| own.share))];
        for (key, share) in shares {
            if let Some(why) = share.and_then(unkeepable) {
                refusals.push(Refusal::new(key, why));
            }
        }
        if self.latency.is_some_and(|latency| latency.bound.is_zero()) {
            refusals.push(Refusal::new("latency.bound", "is 0ms, which no answer keeps; write \"300ms\""));
        }
        if self.min_failures == 0 {
            refusals.push(Refusal::new("min_failures", "is 0, and 1 is the least that is a failure"));
        }
        refusals
    }
}

/// Why nobody can be woken for a share of this size, if so.
fn unkeepable(share: Ratio) -> Option<String> {
    let budget = budget(share);
    if budget == 0 {
        return Some(format!(
            "is {}, which leaves no failure to promise less than: write what users need, such as 0.999",
            share.as_f64()
        ));
    }
    if !lives(budget, true) {
        return Some(format!(
            "is {}, of which no burn rate could ever wake anybody: with every request failed the budget burns only {} \
             times as fast as it may; promise at least 0.834, or nothing",
            share.as_f64(),
            MILLION as f64 / budget as f64,
        ));
    }
    None
}

/// What may fail, in millionths: so that nothing is off by the last bit of a float.
pub(super) fn budget(share: Ratio) -> u64 {
    // Between 0 and a million: the cast loses nothing.
    ((1.0 - share.as_f64()) * MILLION as f64).round() as u64
}

/// One unlucky request and its repeats wake nobody.
const MIN_FAILURES: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(toml: &str) -> crate::Result<Objectives> {
        let config = Config::builder().toml(toml).load()?;
        let objectives = config.section("slo")?;
        config.check("slo", &objectives)?;
        Ok(objectives)
    }

    #[test]
    fn a_file_says_what_code_says() {
        let file =
            read("[slo]\navailability = 0.999\nlatency = { bound = \"300ms\", share = 0.99 }").unwrap();
        let code = Objectives::of([
            Slo::availability(0.9),
            Slo::latency(Duration::from_millis(300), 0.99),
            Slo::availability(0.999),
        ]);
        assert_eq!(file, code);
        assert_eq!(file.bounds(), [Duration::from_millis(300)]);
        assert_eq!(read("").unwrap(), Objectives::default());
        assert!(!Objectives::default().any());
    }

    #[test]
    fn a_file_changes_a_part_of_what_code_promised() {
        let config = Config::builder().toml("[slo.latency]\nbound = \"1s\"").load().unwrap();
        let code = Objectives::of([Slo::latency(Duration::from_millis(300), 0.99)]);
        let both: Objectives = config.overlay(&code, "slo").unwrap();
        assert_eq!(both, Objectives::of([Slo::latency(Duration::from_secs(1), 0.99)]));
    }

    #[test]
    fn what_no_alert_could_watch_is_refused_with_what_to_write() {
        let table = [
            ("availability = 1.0", "leaves no failure"),
            ("availability = 0.83", "no burn rate could ever wake anybody"),
            ("availability = 99.9", "99.9 percent is 0.999"),
            ("latency = { bound = \"0ms\", share = 0.9 }", "which no answer keeps"),
            ("latency = { bound = \"1s\" }", "share"),
            ("latency = { bound = \"1s\", share = 0.5 }", "`slo.latency.share` is 0.5"),
            ("min_failures = 0", "1 is the least"),
            ("avialability = 0.9", "availability"),
        ];
        for (line, why) in table {
            let error = read(&format!("[slo]\n{line}")).unwrap_err();
            assert!(error.detail().contains(why), "{line}: {error}");
        }
        read("[slo]\navailability = 0.834").unwrap();
        read("[slo]\nmin_failures = 1").unwrap();
    }

    #[test]
    fn the_budget_is_exact() {
        for (share, millionths) in
            [(0.999, 1000), (0.9995, 500), (0.99999, 10), (0.834, 166_000), (0.999_999, 1)]
        {
            assert_eq!(budget(Ratio::of(share)), millionths);
        }
    }
}
