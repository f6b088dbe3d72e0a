//! What is set about choosing: the `[defaults.balance]` section.

use std::time::Duration;

use platform_core::{
    config::{Mode, Ratio, Refusal, Rules, duration},
    identity::DEFAULT_VARIANT,
};
use serde::{Deserialize, Serialize};

use super::variants::Shares;

/// The `[defaults.balance]` section, and each client's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How an endpoint is chosen.
    pub pick: Picker,
    /// What is done about the set as a whole.
    pub set: Set,
    /// What is remembered of each endpoint.
    pub load: LoadConfig,
    /// When an endpoint is left out, and for how long.
    pub eject: EjectConfig,
    /// Whether what endpoints say of their health is listened to, by clients whose protocol has a word for it.
    pub health: HealthConfig,
    /// What `ring_hash` goes by: `tenant`, or the name of a request header, and then the tenant where it is absent.
    pub key: Key,
    /// The shares of variants other than `stable`: `{ canary = 0.05 }`. What is left goes to `stable`; variants without
    /// a share get nothing but what asks for them by name.
    pub variants: Shares,
    /// The shares of versions of `stable`: `{ "2.0.0" = 0.1 }`. What is left goes to the others.
    pub versions: Shares,
}

/// The ways to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Picker {
    /// The cheaper of two drawn by weight: latency times calls in flight.
    #[default]
    P2c,
    /// The one with fewer calls in flight, of two drawn by weight.
    LeastRequest,
    /// One after the other, as often as each weighs.
    RoundRobin,
    /// The same key to the same endpoint, as long as it is not much busier than the others.
    RingHash,
}

/// What a call's key is taken from: `balance.key`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Key {
    /// On whose behalf it is made.
    #[default]
    Tenant,
    /// A header of the request, in lower case.
    Header(String),
}

impl Picker {
    /// The word in files and views.
    pub const fn as_str(self) -> &'static str {
        match self {
            Picker::P2c => "p2c",
            Picker::LeastRequest => "least_request",
            Picker::RoundRobin => "round_robin",
            Picker::RingHash => "ring_hash",
        }
    }
}

/// What is done about the set as a whole: `balance.set`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Set {
    /// How long a call waits for an endpoint when there is none.
    #[serde(with = "duration")]
    pub empty_wait: Duration,
    /// When fewer than this share of the endpoints are well, all are asked; 0 never.
    pub panic: Ratio,
    /// To how many endpoints a client keeps at least where there are more, in each zone and variant: 2 or more; `None`
    /// knows all.
    #[serde(with = "count_or_none")]
    pub subset: Option<u32>,
}

/// What is remembered of each endpoint: `balance.load`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadConfig {
    /// How long a slow answer is remembered: after so long a third of it is left; 100 ms to 10 m.
    #[serde(with = "duration")]
    pub ewma: Duration,
    /// What a failed answer is said to have taken, at least; at most 5 m.
    #[serde(with = "duration")]
    pub failure_penalty: Duration,
    /// How long one that is new, or back, gets less than its share; at most 10 m, `0ms` is not at all.
    #[serde(with = "duration")]
    pub slow_start: Duration,
}

/// When an endpoint is left out, and for how long: `balance.eject`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EjectConfig {
    /// Whether anybody is; `observe` tells and counts who would be.
    pub mode: Mode,
    /// Failures in a row that are enough; 1 or more.
    pub consecutive: u32,
    /// For how long the first time, and how much longer each time that follows; 1 s or more.
    #[serde(with = "duration")]
    pub base: Duration,
    /// Never for longer; at least `base`, at most 1 h.
    #[serde(with = "duration")]
    pub max: Duration,
    /// How many of all may be out at once; one always may, and never the last.
    pub max_share: Ratio,
}

/// What is made of what endpoints say of their own health: `balance.health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// `enforce` leaves out who says that it is not serving; `observe` tells and counts who would be.
    pub mode: Mode,
    /// Whose health is asked: a service such as `film.Ratings`; empty is the whole process, where nothing is said of
    /// another (gRPC's service config names one).
    pub service: String,
}

impl Default for HealthConfig {
    fn default() -> Self {
        HealthConfig { mode: HEALTH, service: String::new() }
    }
}

impl Default for Set {
    fn default() -> Self {
        Set { empty_wait: EMPTY_WAIT, panic: PANIC, subset: Some(SUBSET) }
    }
}

impl Default for EjectConfig {
    fn default() -> Self {
        EjectConfig {
            mode: Mode::Enforce,
            consecutive: CONSECUTIVE,
            base: EJECT_BASE,
            max: EJECT_MAX,
            max_share: EJECT_SHARE,
        }
    }
}

impl Default for LoadConfig {
    fn default() -> Self {
        LoadConfig { ewma: EWMA, failure_penalty: FAILURE_PENALTY, slow_start: SLOW_START }
    }
}

impl From<String> for Key {
    fn from(word: String) -> Self {
        if word == TENANT { Key::Tenant } else { Key::Header(word.to_ascii_lowercase()) }
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        match key {
            Key::Tenant => TENANT.to_owned(),
            Key::Header(name) => name,
        }
    }
}

impl Config {
    fn traffic_refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if let Some(subset) = self.set.subset.filter(|subset| *subset < FEWEST) {
            let why =
                format!("is {subset}, which leaves nobody for a repeat; use {FEWEST} or more, or \"none\"");
            refusals.push(Refusal::new("set.subset", why));
        }
        if self.variants.contains_key(DEFAULT_VARIANT) {
            let why = format!("gives `{DEFAULT_VARIANT}` a share, which gets what is left; leave it out");
            refusals.push(Refusal::new("variants", why));
        }
        let given: f64 =
            self.variants.values().chain(self.versions.values()).map(|share| share.as_f64()).sum();
        // A sum of decimal fractions is rarely exactly 1.
        if given > 1.0 + 1e-9 {
            let why =
                format!("and `versions` add up to {given:.3}, and there is only 1 to share; lower some");
            refusals.push(Refusal::new("variants", why).and("versions"));
        }
        if let Key::Header(name) = &self.key
            && !is_header(name)
        {
            let why = format!(
                "is `{name}`, which is no header's name; write \"{TENANT}\", or a header such as \"x-cart\""
            );
            refusals.push(Refusal::new("key", why));
        }
        refusals
    }
}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let LoadConfig { ewma, failure_penalty, slow_start } = self.load;
        let mut refusals = self.traffic_refusals();
        if !(SHORTEST_EWMA..=LONGEST).contains(&ewma) {
            let why = format!("is {ewma:?}; an average needs {SHORTEST_EWMA:?} to {LONGEST:?} of memory");
            refusals.push(Refusal::new("load.ewma", why));
        }
        if failure_penalty > LONGEST_PENALTY {
            let why = format!(
                "is {failure_penalty:?}; nobody would be asked again, use {LONGEST_PENALTY:?} or less"
            );
            refusals.push(Refusal::new("load.failure_penalty", why));
        }
        if slow_start > LONGEST {
            let why = format!("is {slow_start:?}; use {LONGEST:?} or less");
            refusals.push(Refusal::new("load.slow_start", why));
        }
        let EjectConfig { consecutive, base, max, .. } = self.eject;
        if consecutive == 0 {
            refusals.push(Refusal::new("eject.consecutive", "is 0; use 1 or more, or `mode = \"off\"`"));
        }
        if base < SHORTEST_EJECT {
            let why = format!("is {base:?}; nobody gets well sooner, use {SHORTEST_EJECT:?} or more");
            refusals.push(Refusal::new("eject.base", why));
        }
        if max < base {
            let why = format!("is {max:?}, less than `base` ({base:?})");
            refusals.push(Refusal::new("eject.max", why).and("eject.base"));
        }
        if max > LONGEST_EJECT {
            let why = format!("is {max:?}; use {LONGEST_EJECT:?} or less, because the way back is a try");
            refusals.push(Refusal::new("eject.max", why));
        }
        refusals
    }
}

/// A count, or `none`.
mod count_or_none {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::ref_option, reason = "serde asks for a reference")]
    pub(super) fn serialize<S: Serializer>(count: &Option<u32>, serializer: S) -> Result<S::Ok, S::Error> {
        match count {
            Some(count) => serializer.serialize_u32(*count),
            None => serializer.serialize_str(NONE),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged, expecting = "a number of endpoints, or \"none\"")]
        enum Written {
            Count(u32),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Count(count) => Ok(Some(count)),
            Written::Word(word) if word == NONE => Ok(None),
            Written::Word(word) => {
                Err(D::Error::custom(format!("\"{word}\" is neither a number of endpoints nor \"{NONE}\"")))
            }
        }
    }

    const NONE: &str = "none";
}

/// May a header be called so: letters, digits and the signs of RFC 9110?
fn is_header(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(sound)
}

const TENANT: &str = "tenant";
/// gRPC's own default, and a stream to each endpoint that is asked is a price that somebody should want to pay.
const HEALTH: Mode = Mode::Off;
/// Finagle's least aperture: enough to choose from, and a client's connections stay countable.
const SUBSET: u32 = 12;
/// One, and another for a repeat.
const FEWEST: u32 = 2;
/// Longer than a look at a registry, shorter than a caller's patience.
const EMPTY_WAIT: Duration = Duration::from_secs(1);
/// Finagle's: longer than a hiccup, and a minute after a failure somebody looks again.
const EWMA: Duration = Duration::from_secs(10);
/// A hundred ordinary latencies, so that a failure outweighs any queue; half a second was enough in storm S2, and 50 ms
/// was not.
const FAILURE_PENALTY: Duration = Duration::from_secs(5);
/// Caches, pools and just-in-time compilers warm up within that; Envoy's users choose as much.
const SLOW_START: Duration = Duration::from_secs(30);
/// Envoy's, and most people's: one in a thousand of those that fail a quarter of all gets there by chance.
const CONSECUTIVE: u32 = 5;
/// Envoy's: long enough for a restart.
const EJECT_BASE: Duration = Duration::from_secs(30);
/// Envoy's: who is sick for longer is removed by somebody.
const EJECT_MAX: Duration = Duration::from_secs(300);
/// A zone of three may be lost, and what is left carries twice its load.
const EJECT_SHARE: Ratio = Ratio::of(0.5);
/// Envoy's.
const PANIC: Ratio = Ratio::of(0.5);
/// A shorter absence is none.
const SHORTEST_EJECT: Duration = Duration::from_secs(1);
/// Beyond that a registry should know.
const LONGEST_EJECT: Duration = Duration::from_secs(3600);
/// Shorter than that, and it is the last sample and no average.
const SHORTEST_EWMA: Duration = Duration::from_millis(100);
/// What is older says nothing about now.
const LONGEST: Duration = Duration::from_secs(600);
/// As long as the longest delay that a target may ask for.
const LONGEST_PENALTY: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_read_as_the_contract_writes_it() {
        let text = "[defaults.balance]\npick = \"round_robin\"\nset = { empty_wait = \"250ms\" }";
        let read = |text: &str| {
            let config = platform_core::config::Config::builder().toml(text).load().unwrap();
            config.section::<Config>("defaults.balance")
        };
        let set = Set { empty_wait: Duration::from_millis(250), ..Set::default() };
        assert_eq!(read(text).unwrap(), Config { pick: Picker::RoundRobin, set, ..Config::default() });
        assert_eq!(read("").unwrap(), Config::default());
        let error = read("[defaults.balance]\npick = \"p3c\"").unwrap_err();
        assert!(error.detail().contains("p2c"), "{error}");
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let text = r#"
            [defaults.balance]
            pick = "p2c"
            set = { empty_wait = "1s", panic = 0.5 }
            load = { ewma = "10s", failure_penalty = "5s", slow_start = "30s" }
            eject = { mode = "enforce", consecutive = 5, base = "30s", max = "300s", max_share = 0.5 }
            health = { mode = "off", service = "" }
        "#;
        let config = platform_core::config::Config::builder().toml(text).load().unwrap();
        assert_eq!(config.section::<Config>("defaults.balance").unwrap(), Config::default());
    }

    #[test]
    fn what_would_make_no_sense_is_refused_by_its_key() {
        let (load, eject) = (LoadConfig::default(), EjectConfig::default());
        let seconds = Duration::from_secs;
        let table = [
            ("load.ewma", LoadConfig { ewma: Duration::from_millis(99), ..load }),
            ("load.ewma", LoadConfig { ewma: Duration::from_secs(601), ..load }),
            ("load.failure_penalty", LoadConfig { failure_penalty: Duration::from_secs(301), ..load }),
            ("load.slow_start", LoadConfig { slow_start: Duration::from_secs(601), ..load }),
        ];
        let check =
            |config: &Config| platform_core::config::Config::default().check("defaults.balance", config);
        for (key, load) in table {
            let error = check(&Config { load, ..Config::default() }).unwrap_err();
            assert!(error.detail().contains(&format!("`defaults.balance.{key}`")), "{error}");
        }
        let table = [
            ("eject.consecutive", EjectConfig { consecutive: 0, ..eject }),
            ("eject.base", EjectConfig { base: Duration::from_millis(999), ..eject }),
            ("eject.max", EjectConfig { max: seconds(29), ..eject }),
            ("eject.max", EjectConfig { max: seconds(3_601), ..eject }),
        ];
        for (key, eject) in table {
            let error = check(&Config { eject, ..Config::default() }).unwrap_err();
            assert!(error.detail().contains(&format!("`defaults.balance.{key}`")), "{error}");
        }
        let load = LoadConfig { slow_start: Duration::ZERO, ..load };
        check(&Config { load, ..Config::default() }).unwrap();
        check(&Config::default()).unwrap();
    }
}
