//! Whose tokens are good: `[server.bearer]`.

use std::{path::PathBuf, time::Duration};

use platform_core::config::{Refusal, Rules, duration};
use serde::{Deserialize, Serialize};

/// Whose tokens are good: `server.bearer`. Without `keys` nobody is asked for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BearerConfig {
    /// Files of the issuer's public keys: a JWK Set (JSON), or PEM. Read again when they change.
    pub keys: Vec<PathBuf>,
    /// Who must have issued a token: its `iss`.
    pub issuer: String,
    /// For whom it must be: one of its `aud`.
    pub audience: String,
    /// The claim that names the tenant; empty where none does.
    pub tenant: String,
    /// How far the clocks of two machines may differ: so much later a token is still good, and so much sooner it is
    /// good already.
    #[serde(with = "duration")]
    pub leeway: Duration,
    /// Must a caller show one?
    pub tokens: Tokens,
}

/// Must a caller show a token: `server.bearer.tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tokens {
    /// Whoever shows none is answered 401, whatever the path.
    #[default]
    Required,
    /// It may; `[server.allow]` says which routes ask for one. One that is not good is refused all the same.
    Optional,
}

impl BearerConfig {
    /// Is nobody asked?
    pub(crate) fn is_off(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Default for BearerConfig {
    fn default() -> Self {
        BearerConfig {
            keys: Vec::new(),
            issuer: String::new(),
            audience: String::new(),
            tenant: String::new(),
            leeway: LEEWAY,
            tokens: Tokens::default(),
        }
    }
}

impl Rules for BearerConfig {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let texts = [("issuer", &self.issuer), ("audience", &self.audience), ("tenant", &self.tenant)];
        if self.is_off() {
            let set = texts.into_iter().filter(|(_, text)| !text.is_empty());
            refusals.extend(set.map(|(key, _)| {
                Refusal::new(
                    key,
                    "is set and `keys` is not, so that nobody would be asked for a token; set `keys` too",
                )
            }));
        } else {
            if self.issuer.is_empty() {
                let why = "is missing: with the key alone, a token that somebody else issued would be good; write the `iss` of yours";
                refusals.push(Refusal::new("issuer", why));
            }
            if self.audience.is_empty() {
                let why = "is missing, and a token that was issued for another service would be good here; write the `aud` of yours";
                refusals.push(Refusal::new("audience", why));
            }
        }
        if self.leeway > MOST_LEEWAY {
            refusals.push(Refusal::new(
                "leeway",
                "is more than 5m; no two clocks differ so much that keep time at all",
            ));
        }
        refusals
    }
}

/// Machines that keep time by NTP differ by less than a second; those that just woke up by some.
const LEEWAY: Duration = Duration::from_secs(30);
/// Kerberos' limit, which is the longest in use.
const MOST_LEEWAY: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use platform_core::config::Config;

    use super::*;

    #[test]
    fn a_key_alone_makes_no_token_good() {
        let wrong = |toml: &str| {
            let config = Config::builder().toml(format!("[server]\nbearer = {toml}")).load().unwrap();
            let bearer: BearerConfig = config.section("server.bearer").unwrap();
            config.check("server.bearer", &bearer).err().map(|error| error.to_string()).unwrap_or_default()
        };
        for fine in [
            "{}",
            "{ keys = ['a'], issuer = 'i', audience = 'a', tenant = 't', leeway = '0ms', tokens = 'optional' }",
        ] {
            assert_eq!(wrong(fine), "", "{fine}");
        }
        assert!(wrong("{ keys = ['a'], issuer = 'i' }").contains("`server.bearer.audience` is missing"));
        assert!(wrong("{ keys = ['a'], audience = 'i' }").contains("`server.bearer.issuer` is missing"));
        assert!(wrong("{ issuer = 'i' }").contains("`server.bearer.issuer` is set and `keys` is not"));
        assert!(wrong("{ leeway = '6m' }").contains("`server.bearer.leeway` is more than 5m"));
    }
}
