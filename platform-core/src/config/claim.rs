//! Claims: which sections somebody has read, what they came to, and what nobody asked for.

use std::collections::BTreeMap;

use figment::value::{Dict, Value};
use serde::Serialize;

use super::{
    key::{CLIENTS, DEFAULTS, Key},
    origin::Origin,
    refusal::unknown_key,
    secret::without_credentials,
    sources::{Layer, find},
    suggest::{did_you_mean, nearest},
};

/// One effective value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effective {
    /// The key, as in a file.
    pub key: String,
    /// The value, `"***"` for a secret, `null` for what is not set.
    pub value: serde_json::Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Its texts as they may be shown.
fn shown(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(without_credentials(&text).into_owned()),
        Value::Array(list) => list.into_iter().map(shown).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, shown(value))).collect(),
        other => other,
    }
}

/// A section as it was read.
pub(super) struct Claim {
    /// As it may be shown.
    pub(super) shown: Dict,
    /// As it is: what origins are compared by.
    pub(super) carried: Dict,
    /// As it would be over the library's defaults, where that is known: what differs came from code.
    pub(super) library: Option<Dict>,
}

/// Everything that was read, by its key.
#[derive(Default)]
pub(super) struct Claims(BTreeMap<Key, Claim>);

impl Claims {
    pub(super) fn insert(&mut self, key: Key, claim: Claim) {
        self.0.insert(key, claim);
    }

    /// Claims a section that nobody has read; one that somebody has stays as it was read.
    pub(super) fn insert_unread(&mut self, key: Key) {
        let nothing = Claim { shown: Dict::new(), carried: Dict::new(), library: None };
        self.0.entry(key).or_insert(nothing);
    }

    /// Every value of every section that was read.
    pub(super) fn effective(&self, layers: &[Layer]) -> BTreeMap<Key, Effective> {
        let mut all = BTreeMap::new();
        for (key, claim) in &self.0 {
            for (rest, value) in leaves(&claim.shown) {
                let key = key.join(&rest);
                let value = shown(serde_json::to_value(value).unwrap_or_default());
                let origin = self.origin(&key, layers);
                all.insert(key.clone(), Effective { key: key.to_string(), value, origin });
            }
        }
        all
    }

    /// Where the effective value of `key` came from. A client's value that its own section does not set came from
    /// the defaults of all clients if it is theirs, else from code.
    pub(super) fn origin(&self, key: &Key, layers: &[Layer]) -> Origin {
        if let Some(origin) = set_by(layers, key) {
            return origin.clone();
        }
        let Some((claim, rest)) = self.around(key) else { return Origin::Default };
        let value = find(&claim.carried, rest);
        let [first, _name, common @ ..] = key.parts() else { return Origin::Default };
        if first == CLIENTS && !common.is_empty() {
            let common = Key::default().child(DEFAULTS).join(common);
            let theirs = self.around(&common).and_then(|(claim, rest)| find(&claim.carried, rest));
            if theirs.is_some() {
                return if theirs == value { self.origin(&common, layers) } else { Origin::Code };
            }
        }
        match &claim.library {
            Some(library) if find(library, rest) != value => Origin::Code,
            _ => Origin::Default,
        }
    }

    /// The innermost section that was read and has `key`.
    fn around<'a>(&'a self, key: &'a Key) -> Option<(&'a Claim, &'a [String])> {
        let sections = self.0.iter().filter_map(|(claimed, claim)| Some((claim, key.under(claimed)?)));
        sections.min_by_key(|(_, rest)| rest.len())
    }

    /// What is set and was read by nobody.
    pub(super) fn unclaimed(&self, values: &Dict, layers: &[Layer]) -> Vec<String> {
        let mut problems = Vec::new();
        self.unclaimed_under(&Key::default(), values, layers, &mut problems);
        problems
    }

    fn unclaimed_under(&self, at: &Key, values: &Dict, layers: &[Layer], problems: &mut Vec<String>) {
        for (name, value) in values {
            let key = at.child(name);
            if self.0.keys().any(|claimed| key.under(claimed).is_some()) || by_convention(layers, &key) {
                continue;
            }
            let inside =
                key.parts() == [CLIENTS] || self.0.keys().any(|claimed| claimed.under(&key).is_some());
            match value {
                Value::Dict(_, dict) if inside => self.unclaimed_under(&key, dict, layers, problems),
                _ => problems.push(self.nobody_reads(&key, set_by(layers, &key).unwrap_or(&Origin::Default))),
            }
        }
    }

    fn nobody_reads(&self, key: &Key, origin: &Origin) -> String {
        let Some((table, name)) = key.split_last() else { return String::new() };
        let mut known: Vec<&str> =
            self.0.keys().filter_map(|claimed| Some(claimed.under(&table)?.first()?.as_str())).collect();
        known.dedup();
        if table.parts() == [CLIENTS] {
            let made = if known.is_empty() {
                "it makes none".to_owned()
            } else {
                format!("it makes {}", known.join(", "))
            };
            let meant = did_you_mean(nearest(name, known));
            return format!(
                "{origin}: no client named `{name}` is made by this service{meant} ({made}; remove [{key}] otherwise)"
            );
        }
        if table.parts().is_empty() {
            return format!(
                "{origin}: nothing in this service reads [{key}]; remove it, or make what reads it"
            );
        }
        unknown_key(key, name, &known, origin)
    }
}

/// The strongest source that sets `key`.
pub(super) fn set_by<'a>(layers: &'a [Layer], key: &Key) -> Option<&'a Origin> {
    layers.iter().rev().find_map(|layer| layer.origin(key).or_else(|| layer.origin_around(key)))
}

/// Is `key` set only by variables that are not about us alone (`RUST_LOG`)?
fn by_convention(layers: &[Layer], key: &Key) -> bool {
    layers.iter().filter_map(|layer| layer.origin(key)).all(|origin| matches!(origin, Origin::Convention(_)))
}

/// Every value that is no table, and tables that are empty.
fn leaves(dict: &Dict) -> Vec<(Vec<String>, &Value)> {
    let mut found = Vec::new();
    for (name, value) in dict {
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => {
                found.extend(leaves(inner).into_iter().map(|(mut rest, value)| {
                    rest.insert(0, name.clone());
                    (rest, value)
                }));
            }
            _ => found.push((vec![name.clone()], value)),
        }
    }
    found
}
