//! Pulse: the little that an instance tells to who looks at the whole fleet.
//!
//! But for its name and the number of faults all of it stands in its metrics too, which are open to everybody: so no
//! instance needs a token for another one's listener, and nobody's token is sent to an address that stands in a
//! registry.

use platform_core::App;
use platform_discovery::{Place, Target};
use serde::{Deserialize, Serialize};

use super::{Console, state::served, tally::Tally};

/// What an instance tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Pulse {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) variant: String,
    pub(super) instance: String,
    pub(super) zone: String,
    pub(super) owner: String,
    pub(super) phase: String,
    pub(super) started_unix_ms: u64,
    /// Requests under way.
    pub(super) in_flight: u64,
    /// Targets that a breaker keeps from being called.
    pub(super) open: Vec<String>,
    /// What goes wrong on purpose, how many.
    pub(super) faults: u64,
    /// Services that it calls, as the registry knows them.
    pub(super) calls: Vec<String>,
    /// What it served since it started.
    pub(super) served: Tally,
}

impl Console {
    /// What this instance tells, as JSON.
    pub(crate) fn pulse(&self) -> String {
        serde_json::to_string(&self.own_pulse()).expect("a pulse is strings and numbers")
    }

    pub(super) fn own_pulse(&self) -> Pulse {
        let (app, identity) = (&self.app, self.app.identity());
        Pulse {
            name: identity.name.clone(),
            version: identity.version.clone(),
            variant: identity.variant.clone(),
            instance: identity.instance.clone(),
            zone: identity.zone.clone(),
            owner: identity.owner.clone(),
            phase: app.phases().current().as_str().to_owned(),
            started_unix_ms: super::state::unix_ms(app.started()),
            in_flight: crate::server::in_flight(app.metrics()),
            open: self.open_breakers(),
            faults: self.rooms.faults()["faults"].as_array().map_or(0, |faults| faults.len() as u64),
            calls: called(app).iter().filter_map(|target| in_registry(target)).map(str::to_owned).collect(),
            served: served(app.metrics()),
        }
    }

    fn open_breakers(&self) -> Vec<String> {
        let stack = self.rooms.view("stack");
        let refuses = |client: &&serde_json::Value| {
            let rows = client["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
            rows.iter().any(|row| {
                let set = &row["settings"];
                row["layer"] == "breaker"
                    && set["mode"] == "enforce"
                    && set["state"].as_str().is_some_and(super::worry::refuses)
            })
        };
        let targets = stack.iter().filter(refuses).filter_map(|client| client["target"].as_str());
        let mut targets: Vec<String> = targets.map(str::to_owned).collect();
        targets.dedup();
        targets
    }
}

impl Pulse {
    /// What can be believed of what somebody told: whoever writes into a registry can name any address.
    pub(super) fn read(bytes: &[u8]) -> Result<Pulse, String> {
        let pulse: Pulse =
            serde_json::from_slice(bytes).map_err(|error| format!("makes no sense: {error}"))?;
        let Pulse { name, version, variant, instance, zone, owner, phase, open, calls, .. } = &pulse;
        let words = [name, version, variant, instance, zone, owner, phase];
        let long = words.into_iter().chain(open).chain(calls).any(|word| word.len() > LONGEST);
        if long || open.len() > MOST || calls.len() > MOST || !pulse.served.is_sound() {
            return Err("makes no sense: it is too long, or its counts contradict themselves".to_owned());
        }
        Ok(pulse)
    }
}

/// The targets that this process calls; none where it has no discovery.
pub(super) fn called(app: &App) -> Vec<Target> {
    crate::discovery(app).map(|discovery| discovery.called()).unwrap_or_default()
}

/// The name of a target that any service of the company can look up.
fn in_registry(target: &Target) -> Option<&str> {
    match target.place() {
        Place::Registry(name) => Some(name),
        _ => None,
    }
}

/// As long as any name of ours may be.
const LONGEST: usize = 256;
/// Far more targets than a service calls.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_believed_only_if_it_makes_sense() {
        let long = "x".repeat(LONGEST + 1);
        let sound = r#"{"name":"catalog","phase":"ready","served":{"outcomes":{"ok":3},"bounds":[5],"buckets":[2,1]},"new":1}"#;
        let read = Pulse::read(sound.as_bytes()).unwrap();
        assert_eq!((read.name.as_str(), read.served.calls()), ("catalog", 3));
        for unsound in [
            "",
            r#"{"served":7}"#,
            r#"{"served":{"outcomes":{"ok":3},"bounds":[5],"buckets":[2]}}"#,
            r#"{"served":{"outcomes":{"<b>":3}}}"#,
            &format!(r#"{{"name":"{long}"}}"#),
            &format!(r#"{{"calls":["{long}"]}}"#),
        ] {
            assert!(Pulse::read(unsound.as_bytes()).unwrap_err().starts_with("makes no sense"), "{unsound}");
        }
    }

    #[test]
    fn its_counts_survive_the_way() {
        let pulse = Pulse { name: "catalog".to_owned(), open: vec!["films".to_owned()], ..Pulse::default() };
        assert_eq!(Pulse::read(&serde_json::to_vec(&pulse).unwrap()), Ok(pulse));
    }
}
