//! What is set: `[server.policy.shed]` and `[server.policy.fair_share]`.

use serde::{Deserialize, Serialize};

use super::Source;
use crate::config::{Mode, Refusal, Rules};

/// By what importance is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much it may do.
    pub mode: Mode,
    /// What counts as pressure.
    pub sources: Vec<Source>,
}

/// Whether tenants above an equal share go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FairShare {
    /// How much it may do.
    pub mode: Mode,
}

impl Default for Config {
    fn default() -> Self {
        Config { mode: Mode::Enforce, sources: Source::ALL.to_vec() }
    }
}

impl Default for FairShare {
    fn default() -> Self {
        FairShare { mode: Mode::Enforce }
    }
}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let twice = self.sources.iter().enumerate().find(|(i, source)| self.sources[..*i].contains(source));
        let mut refusals = Vec::new();
        if self.sources.is_empty() {
            let why = "is empty, and nothing would ever be pressure; `mode = \"off\"` turns it off";
            refusals.push(Refusal::new("sources", why));
        }
        if let Some((_, source)) = twice {
            refusals.push(Refusal::new("sources", format!("names {source} twice; write it once")));
        }
        refusals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_and_read_as_in_a_file() {
        let written = serde_json::to_string(&Config::default()).unwrap();
        assert_eq!(
            written,
            r#"{"mode":"enforce","sources":["queue_wait","scheduling_delay","memory","cpu"]}"#
        );
        let config: Config = serde_json::from_str(r#"{"sources":["memory"]}"#).unwrap();
        assert_eq!(config, Config { sources: vec![Source::Memory], ..Config::default() });
        assert!(serde_json::from_str::<Config>(r#"{"sources":["heap"]}"#).is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_write() {
        for (sources, words) in
            [(vec![], "is empty"), (vec![Source::Cpu, Source::Memory, Source::Cpu], "names cpu twice")]
        {
            let config = Config { sources, ..Config::default() };
            let error = crate::config::Config::default().check("shed", &config).unwrap_err();
            assert!(error.detail().contains(words), "{error}");
        }
        assert!(Config::default().refusals().is_empty());
    }
}
