//! What is set for one client, and which source wins.
//!
//! Weak to strong: library defaults, the preset in `[defaults]`, `[defaults.*]`, this client's own preset, code
//! for this one client, its own section `[clients.NAME]`. So a "none" in code is not overridden by a number in
//! `[defaults]`, and what an operator writes for this client always counts.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use platform_core::{
    Error, Result,
    config::{Config, Mode, Ratio, Refusal, Rules, duration, size},
    context::Criticality,
    recovery::Recovery,
    stack::ClientPolicy,
};
use platform_discovery::balance;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// `[clients.NAME]`, and `[defaults]` for all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What is called: a name, or one of the schemes of [`Target`](platform_discovery::Target). Empty is the
    /// client's own name.
    pub target: String,
    /// The values that suit a kind of dependency.
    pub preset: Preset,
    /// The importance of these calls: `inherit`, or a class that lowers the caller's.
    #[serde(with = "importance")]
    pub criticality: Option<Criticality>,
    /// What protects the calls.
    pub policy: ClientPolicy,
    /// Which endpoint is asked.
    pub balance: balance::Config,
    /// How it is reached.
    pub connect: Connect,
    /// What single methods have of their own, by name, as it is written: a protocol that has methods reads it.
    pub methods: BTreeMap<String, serde_json::Value>,
    /// A file with what the target's owner recommends for its methods, of a protocol that has such a thing: gRPC's
    /// service config. Empty is none.
    pub service_config: PathBuf,
}

/// Values that suit a kind of dependency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// A service of our own: the defaults.
    #[default]
    Internal,
    /// Somebody waits for a page: 1 s, 250 ms an attempt, slow attempts are hedged, the throttle enforces.
    Interactive,
    /// Another company: 30 s, 10 s an attempt, 64 calls at once, and it learns the trace and nothing else.
    External,
    /// Nobody waits: 5 minutes, a minute an attempt, 5 attempts, and the first to be turned away.
    Batch,
}

/// `connect`: how an endpoint is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connect {
    /// The longest that a connection may take to be made, TLS included.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Connections that are kept.
    pub pool: Pool,
    /// What is spoken.
    pub protocol: Protocol,
    /// The longest reply that `json()`, `bytes()` and `text()` read.
    #[serde(with = "size")]
    pub max_response: u64,
    /// For `https://` targets.
    pub tls: Tls,
}

/// `connect.pool`: connections that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// How long an idle connection is kept.
    #[serde(with = "duration")]
    pub idle: Duration,
    /// How many idle connections are kept to one endpoint.
    pub per_endpoint: usize,
}

/// `connect.protocol`: what is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// What the endpoint's record says, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 by prior knowledge; on `https://` by ALPN.
    H2,
}

/// `connect.tls`: for `https://` targets, and with `ca` for those of a registry. The files are read again when they
/// changed, for the next connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Whom to believe: a PEM file; empty is what this machine believes.
    pub ca: PathBuf,
    /// Our own certificate, for servers that ask: a PEM file, the chain after it.
    pub cert: PathBuf,
    /// Its key: a PEM file.
    pub key: PathBuf,
    /// The name in the server's certificate; empty is the target's host, or its name in the registry.
    pub server_name: String,
}

/// What a client's code says about it.
#[derive(Default)]
pub(crate) struct Code {
    pub(crate) preset: Option<Preset>,
    pub(crate) edits: Vec<Edit>,
}

/// A change that code makes.
pub(crate) type Edit = Box<dyn FnOnce(&mut Settings) + Send>;

impl Default for Connect {
    fn default() -> Self {
        Connect {
            timeout: CONNECT_TIMEOUT,
            pool: Pool::default(),
            protocol: Protocol::default(),
            max_response: MAX_RESPONSE,
            tls: Tls::default(),
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Pool { idle: POOL_IDLE, per_endpoint: POOL_PER_ENDPOINT }
    }
}

impl Preset {
    /// The policy of a client that says nothing else.
    pub fn policy(self) -> ClientPolicy {
        let mut settings = Settings::default();
        self.apply(&mut settings);
        settings.policy
    }

    /// Sets every value that tells presets apart, so that the one applied last counts.
    fn apply(self, settings: &mut Settings) {
        let plain = ClientPolicy::default();
        let (timeout, attempt_timeout) = match self {
            Preset::Internal => (plain.timeout, plain.attempt_timeout),
            Preset::Interactive => (Some(Duration::from_secs(1)), Some(Duration::from_millis(250))),
            Preset::External => (Some(Duration::from_secs(30)), Some(Duration::from_secs(10))),
            Preset::Batch => (Some(Duration::from_secs(300)), Some(Duration::from_secs(60))),
        };
        settings.preset = self;
        let policy = &mut settings.policy;
        (policy.timeout, policy.attempt_timeout) = (timeout, attempt_timeout);
        let interactive = self == Preset::Interactive;
        policy.recovery = if interactive { Recovery::Hedge } else { plain.recovery };
        policy.throttle.mode = if interactive { Mode::Enforce } else { plain.throttle.mode };
        let external = self == Preset::External;
        policy.bulkhead.max_in_flight =
            if external { EXTERNAL_IN_FLIGHT } else { plain.bulkhead.max_in_flight };
        let batch = self == Preset::Batch;
        policy.retry.max_attempts = if batch { BATCH_ATTEMPTS } else { plain.retry.max_attempts };
        policy.budget.ratio = if batch { BATCH_BUDGET } else { plain.budget.ratio };
        settings.criticality = (self == Preset::Batch).then_some(Criticality::Sheddable);
    }
}

impl Rules for Settings {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals: Vec<_> =
            self.policy.refusals().into_iter().map(|refusal| refusal.under("policy")).collect();
        refusals.extend(self.balance.refusals().into_iter().map(|refusal| refusal.under("balance")));
        if self.connect.timeout.is_zero() {
            refusals
                .push(Refusal::new("connect.timeout", "is 0ms, in which nobody can be reached; raise it"));
        }
        if self.connect.tls.cert.as_os_str().is_empty() != self.connect.tls.key.as_os_str().is_empty() {
            let why = "and `key` belong together; set both or neither";
            refusals.push(Refusal::new("connect.tls.cert", why).and("connect.tls.key"));
        }
        refusals
    }
}

/// What counts for the client `name` as far as configuration says; what a service's code adds is not in it.
///
/// # Errors
/// Every value that a section refuses, and values that contradict each other, with where they come from.
pub fn configured(config: &Config, name: &str) -> Result<Settings> {
    resolve(config, name, Code::default())
}

/// What counts for the client `name`.
///
/// # Errors
/// Every value that a section refuses, and values that contradict each other, with where they come from.
pub(crate) fn resolve(config: &Config, name: &str, code: Code) -> Result<Settings> {
    let section = format!("clients.{name}");
    let mut settings = Settings::default();
    let mut limits = Limits::default();

    let preset: Settings = config.overlay(&settings, DEFAULTS)?;
    preset.preset.apply(&mut settings);
    settings = config.overlay(&settings, DEFAULTS)?;
    if !settings.target.is_empty() {
        return Err(Error::config(format!(
            "`{DEFAULTS}.target` would send every client to \"{}\"; write it under [clients.NAME]",
            settings.target
        )));
    }
    if !settings.methods.is_empty() {
        let why = "would be for the methods of every client; write it under [clients.NAME.methods]";
        return Err(Error::config(format!("`{DEFAULTS}.methods` {why}")));
    }
    if !settings.service_config.as_os_str().is_empty() {
        let why = "would be for the methods of every client; write it under [clients.NAME]";
        return Err(Error::config(format!("`{DEFAULTS}.service_config` {why}")));
    }
    limits.file(config, DEFAULTS, Rank::Defaults);

    let own: Settings = config.overlay(&settings, &section)?;
    let written = config.has(&format!("{section}.preset")).then_some(own.preset);
    if let Some(preset) = written.or(code.preset) {
        preset.apply(&mut settings);
        limits = Limits { whole: Rank::Preset, attempt: Rank::Preset };
    }
    let before = settings.policy;
    for edit in code.edits {
        edit(&mut settings);
    }
    limits.code(&before, &settings.policy);

    settings = config.overlay(&settings, &section)?;
    limits.file(config, &section, Rank::Section);
    let before = settings.policy.attempt_timeout;
    limits.fit(&mut settings.policy);
    if settings.policy.attempt_timeout != before {
        // Read once more, so that what is shown is what counts.
        settings = config.overlay(&settings, &section)?;
    }
    config.check(&section, &settings)?;
    if settings.target.is_empty() {
        name.clone_into(&mut settings.target);
    }
    Ok(settings)
}

/// Who set the two limits last. Whoever only shortens the whole call has shortened its attempts with it; an
/// attempt that was made longer than the call, by the same hand or a stronger one, is a mistake.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    whole: Rank,
    attempt: Rank,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    #[default]
    Library,
    Defaults,
    Preset,
    Code,
    Section,
}

impl Limits {
    fn file(&mut self, config: &Config, section: &str, rank: Rank) {
        if config.has(&format!("{section}.policy.timeout")) {
            self.whole = rank;
        }
        if config.has(&format!("{section}.policy.attempt_timeout")) {
            self.attempt = rank;
        }
    }

    fn code(&mut self, before: &ClientPolicy, after: &ClientPolicy) {
        if before.timeout != after.timeout {
            self.whole = Rank::Code;
        }
        if before.attempt_timeout != after.attempt_timeout {
            self.attempt = Rank::Code;
        }
    }

    fn fit(self, policy: &mut ClientPolicy) {
        if self.whole > self.attempt
            && let (Some(whole), Some(attempt)) = (policy.timeout, policy.attempt_timeout)
        {
            policy.attempt_timeout = Some(attempt.min(whole));
        }
    }
}

/// `inherit`, or a class.
mod importance {
    use super::{Criticality, Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        class: &Option<Criticality>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(class.map_or(INHERIT, Criticality::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Criticality>, D::Error> {
        let word = String::deserialize(deserializer)?;
        if word == INHERIT {
            return Ok(None);
        }
        Criticality::parse(&word).map(Some).ok_or_else(|| {
            let words = Criticality::ALL.map(Criticality::as_str).join(", ");
            de::Error::custom(format!("\"{word}\" is no criticality; write {INHERIT}, {words}"))
        })
    }

    const INHERIT: &str = "inherit";
}

/// The section for every client.
const DEFAULTS: &str = "defaults";

/// Another company has its own idea of how much it can bear; a page's worth of calls is what one asks politely.
const EXTERNAL_IN_FLIGHT: u32 = 64;
/// Nobody waits, so patience is cheap; gRPC allows no more either.
const BATCH_ATTEMPTS: u32 = 5;
/// A batch that fails half-way costs more than a fifth of its calls.
const BATCH_BUDGET: Ratio = Ratio::of(0.2);
/// Within one data centre a connection takes a millisecond; whoever has not answered in a second is not there.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Below the server's keep-alive (75 s), so that it is us who close, and never in the middle of a request.
pub const POOL_IDLE: Duration = Duration::from_secs(60);
/// More idle connections than that are the remains of a peak.
pub const POOL_PER_ENDPOINT: usize = 32;
/// Larger replies are streams and should be read as such; memory is not the place for them.
pub const MAX_RESPONSE: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    fn resolved(toml: &str, code: Code) -> Result<Settings> {
        let config = Config::builder().toml(toml).load().expect("TOML");
        resolve(&config, "catalog", code)
    }

    fn limits(toml: &str, code: Code) -> (Option<Duration>, Option<Duration>) {
        let policy = resolved(toml, code).expect("settings").policy;
        (policy.timeout, policy.attempt_timeout)
    }

    fn code(edit: impl FnOnce(&mut Settings) + Send + 'static) -> Code {
        Code { preset: None, edits: vec![Box::new(edit)] }
    }

    #[test]
    fn each_source_is_stronger_than_the_one_before() {
        let preset = |preset| Code { preset: Some(preset), ..Code::default() };
        assert_eq!(limits("", Code::default()), (ms(10_000), ms(3_000)), "library");
        let text = "[defaults]\npreset = \"interactive\"";
        assert_eq!(limits(text, Code::default()), (ms(1_000), ms(250)), "the preset for all");
        let text = "[defaults]\npreset = \"interactive\"\n[defaults.policy]\ntimeout = \"2s\"";
        assert_eq!(limits(text, Code::default()), (ms(2_000), ms(250)), "what is set for all");
        assert_eq!(
            limits(text, preset(Preset::External)),
            (ms(30_000), ms(10_000)),
            "its own preset, in code"
        );
        let own = format!("{text}\n[clients.catalog]\npreset = \"batch\"");
        assert_eq!(limits(&own, preset(Preset::External)), (ms(300_000), ms(60_000)), "or in its section");
        let by_hand = || code(|settings| settings.policy.timeout = ms(5_000));
        assert_eq!(limits(text, by_hand()), (ms(5_000), ms(250)), "code");
        let own = format!("{text}\n[clients.catalog.policy]\ntimeout = \"7s\"");
        assert_eq!(limits(&own, by_hand()), (ms(7_000), ms(250)), "its own section");
    }

    #[test]
    fn a_none_in_code_is_not_overridden_by_a_number_for_all() {
        let never = || code(|settings| settings.policy.timeout = None);
        let text = "[defaults.policy]\ntimeout = \"2s\"";
        assert_eq!(limits(text, never()).0, None);
        let own = format!("{text}\n[clients.catalog.policy]\ntimeout = \"4s\"");
        assert_eq!(limits(&own, never()).0, ms(4_000), "what is written for this client counts");
        let none = "[clients.catalog.policy]\ntimeout = \"none\"";
        assert_eq!(limits(none, Code::default()).0, None);
    }

    #[test]
    fn who_only_shortens_the_call_shortens_its_attempts() {
        let text = "[clients.catalog.policy]\ntimeout = \"800ms\"";
        assert_eq!(limits(text, Code::default()), (ms(800), ms(800)));
        let by_hand = code(|settings| settings.policy.timeout = ms(500));
        assert_eq!(limits("", by_hand), (ms(500), ms(500)));

        let config = Config::builder().toml(text).load().unwrap();
        resolve(&config, "catalog", Code::default()).unwrap();
        let shown = config.effective();
        let attempt = shown.iter().find(|one| one.key == "clients.catalog.policy.attempt_timeout").unwrap();
        assert_eq!(attempt.value, "800ms", "what is shown is what counts");
    }

    #[test]
    fn an_attempt_longer_than_the_call_is_refused_with_both_sources() {
        let text = "[clients.catalog.policy]\ntimeout = \"800ms\"\nattempt_timeout = \"1s\"";
        let error = resolved(text, Code::default()).unwrap_err();
        assert_eq!(error.kind(), platform_core::ErrorKind::Config);
        for part in
            ["clients.catalog.policy.attempt_timeout", "is 1s", "800ms", "clients.catalog.policy.timeout"]
        {
            assert!(error.detail().contains(part), "{part}: {error}");
        }
        let text = "[clients.catalog.policy]\nattempt_timeout = \"20s\"";
        assert!(resolved(text, Code::default()).is_err(), "the call has only 10 s by default");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let table = [
            ("[clients.catalog]\ntimeout = \"1s\"", "timeout"),
            ("[clients.catalog.policy]\ntimout = \"1s\"", "did you mean"),
            ("[clients.catalog]\npreset = \"fast\"", "preset"),
            ("[clients.catalog]\ncriticality = \"high\"", "is no criticality; write inherit"),
            ("[clients.catalog.connect.tls]\ncert = \"/a\"", "belong together"),
            ("[clients.catalog.connect]\ntimeout = \"0ms\"", "raise it"),
            ("[defaults]\ntarget = \"dir://a\"", "[clients.NAME]"),
            ("[defaults]\nservice_config = \"a.json\"", "[clients.NAME]"),
        ];
        for (text, part) in table {
            let error = resolved(text, Code::default()).unwrap_err();
            assert!(error.detail().contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_target_is_the_clients_name_unless_somebody_says_otherwise() {
        assert_eq!(resolved("", Code::default()).unwrap().target, "catalog");
        let text = "[clients.catalog]\ntarget = \"dir://films\"";
        let by_hand = || code(|settings| settings.target = "dir://movies".to_owned());
        assert_eq!(resolved("", by_hand()).unwrap().target, "dir://movies");
        assert_eq!(resolved(text, by_hand()).unwrap().target, "dir://films");
    }

    #[test]
    fn a_batch_is_the_first_to_be_turned_away() {
        let text = "[clients.catalog]\npreset = \"batch\"";
        assert_eq!(resolved(text, Code::default()).unwrap().criticality, Some(Criticality::Sheddable));
        let text = "[clients.catalog]\npreset = \"batch\"\ncriticality = \"inherit\"";
        assert_eq!(resolved(text, Code::default()).unwrap().criticality, None);
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let json = serde_json::to_value(Settings::default()).unwrap();
        assert_eq!(json["connect"]["timeout"], "1s");
        assert_eq!(json["connect"]["pool"], serde_json::json!({"idle": "1m", "per_endpoint": 32}));
        assert_eq!(json["connect"]["max_response"], "64MiB");
        assert_eq!(json["criticality"], "inherit");
        assert_eq!(json["preset"], "internal");
    }
}
