//! What is set of a server: what a connection may ask of us, how long it may take, and the sections of others.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use platform_core::{
    App, Result,
    config::{Refusal, Rules, duration, size},
    stack::ServerPolicy,
};
use serde::{Deserialize, Serialize};

use super::{
    TrustConfig,
    allow::{self, AllowConfig},
    classes::ClassConfig,
    no_address,
    show::ShowConfig,
    trust::Inbound,
};
use crate::bearer::BearerConfig;

/// The `[server]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: String,
    /// Who is believed.
    pub trust: TrustConfig,
    /// Its certificate, and whose it asks for.
    pub tls: TlsConfig,
    /// Whose tokens are good.
    pub bearer: BearerConfig,
    /// Whom single routes serve: names by route, as [`allow`](crate::allow()) reads them.
    pub allow: AllowConfig,
    /// Whose values are seen.
    pub show: ShowConfig,
    /// How much of everything.
    pub limits: Limits,
    /// How long.
    pub times: Times,
    /// The policy of every request.
    pub policy: ServerPolicy,
    /// Classes of requests with limits of their own ([`Server::class`](super::Server::class)).
    pub classes: BTreeMap<String, ClassConfig>,
}

/// How much of everything: `server.limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a request's body; more is answered 413.
    #[serde(with = "size")]
    pub body: u64,
    /// Bytes of a request's line and headers; more is answered 431.
    #[serde(with = "size")]
    pub headers: u64,
    /// Header fields of a request; more is answered 431.
    pub header_fields: usize,
    /// Connections at once. At the limit nobody is turned away: the next one waits in the kernel's queue until
    /// a place is free, and idle connections give theirs up sooner.
    pub connections: u32,
}

/// How long: `server.times`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Times {
    /// From the first byte of a request to the last of its headers; for a new connection from its first moment.
    #[serde(with = "duration")]
    pub header: Duration,
    /// The longest wait for the peer to send the next byte of a body, or to take the next byte of a reply.
    #[serde(with = "duration")]
    pub body_idle: Duration,
    /// How long a connection without a request stays open.
    #[serde(with = "duration")]
    pub keep_alive: Duration,
    /// How old a connection grows before its peer is asked to open another; give or take a tenth. `"none"`
    /// is for ever.
    #[serde(with = "duration::or_none")]
    pub connection_age: Option<Duration>,
}

/// TLS of the server: `server.tls`. Without `cert` it speaks cleartext.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Its certificate: a PEM file, the chain after it. Read again when it changes, as are the others.
    pub cert: PathBuf,
    /// Its key: a PEM file.
    pub key: PathBuf,
    /// Who vouches for peers: a PEM file. Empty asks nobody for a certificate.
    pub client_ca: PathBuf,
    /// Must a peer show one? Without `client_ca` it means nothing.
    pub clients: Clients,
}

/// Must a peer show a certificate: `server.tls.clients`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clients {
    /// Whoever shows none is not let in.
    #[default]
    Required,
    /// It may; routes say for whom they are ([`allow`](crate::allow())).
    Optional,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: DEFAULT_LISTEN.to_owned(),
            trust: TrustConfig::default(),
            tls: TlsConfig::default(),
            bearer: BearerConfig::default(),
            allow: AllowConfig::new(),
            show: ShowConfig::default(),
            limits: Limits::default(),
            times: Times::default(),
            policy: ServerPolicy::default(),
            classes: BTreeMap::new(),
        }
    }
}

impl Config {
    /// The section of this process.
    ///
    /// # Errors
    /// A key that is unknown, or a value that cannot be meant.
    pub(crate) fn of(app: &App) -> Result<Config> {
        let config: Config = app.config().section(SECTION)?;
        app.config().check(SECTION, &config)?;
        Ok(config)
    }
}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let parts: [(&str, &dyn Rules); 7] = [
            ("trust", &self.trust),
            ("tls", &self.tls),
            ("bearer", &self.bearer),
            ("show", &self.show),
            ("limits", &self.limits),
            ("times", &self.times),
            ("policy", &self.policy),
        ];
        let parts = parts
            .into_iter()
            .flat_map(|(part, rules)| rules.refusals().into_iter().map(move |refusal| refusal.under(part)));
        let listen = no_address(&self.listen, DEFAULT_LISTEN).map(|why| Refusal::new("listen", why));
        let asks = self.tls.asks();
        let blind = (self.trust.inbound == Inbound::Mtls && !asks).then(|| {
            Refusal::new(
                "tls.client_ca",
                "is not set, and `trust.inbound = \"mtls\"` goes by peers' certificates",
            )
        });
        let classes = self.classes.iter().flat_map(|(name, class)| {
            let refusals = class.policy.refusals();
            refusals.into_iter().map(move |refusal| refusal.under(&format!("classes.{name}.policy")))
        });
        let lists = allow::refusals(&self.allow, !self.bearer.is_off(), asks);
        listen.into_iter().chain(blind).chain(parts).chain(classes).chain(lists).collect()
    }
}

impl TlsConfig {
    /// Is nothing set?
    pub(crate) fn is_off(&self) -> bool {
        self.cert.as_os_str().is_empty()
    }

    /// Are peers asked for their certificates?
    pub(crate) fn asks(&self) -> bool {
        !self.is_off() && !self.client_ca.as_os_str().is_empty()
    }
}

impl Rules for TlsConfig {
    fn refusals(&self) -> Vec<Refusal> {
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        let mut refusals = Vec::new();
        if is_set(&self.cert) && !is_set(&self.key) {
            refusals.push(Refusal::new("key", "is missing; name the file of the key that belongs to `cert`"));
        }
        if self.is_off() {
            for (key, path) in [("key", &self.key), ("client_ca", &self.client_ca)] {
                if is_set(path) {
                    refusals.push(Refusal::new(
                        key,
                        "is set and `cert` is not, so the server would speak cleartext; set `cert` or neither",
                    ));
                }
            }
        }
        refusals
    }
}

impl Rules for Limits {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if self.connections == 0 {
            refusals.push(Refusal::new("connections", "is 0 and nobody could connect; write 1 or more"));
        }
        if self.header_fields == 0 {
            refusals.push(Refusal::new("header_fields", "is 0, and even `host` is a field; write 1 or more"));
        }
        if !(LEAST_HEADERS..=MOST_HEADERS).contains(&self.headers) {
            let why =
                "must be 8KiB to 16MiB: an ordinary request fits, and a hostile one cannot fill the memory";
            refusals.push(Refusal::new("headers", why));
        }
        refusals
    }
}

impl Rules for Times {
    fn refusals(&self) -> Vec<Refusal> {
        let times = [
            ("header", Some(self.header)),
            ("body_idle", Some(self.body_idle)),
            ("keep_alive", Some(self.keep_alive)),
            ("connection_age", self.connection_age),
        ];
        times
            .into_iter()
            .filter(|(_, time)| time.is_some_and(|time| time.is_zero()))
            .map(|(key, _)| {
                Refusal::new(key, "is 0 and would end every connection at once; write a longer time")
            })
            .collect()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { body: BODY, headers: HEADERS, header_fields: HEADER_FIELDS, connections: CONNECTIONS }
    }
}

impl Default for Times {
    fn default() -> Self {
        Times {
            header: HEADER,
            body_idle: BODY_IDLE,
            keep_alive: KEEP_ALIVE,
            connection_age: Some(CONNECTION_AGE),
        }
    }
}

/// A JSON request is far smaller; an upload belongs to a route that streams.
const BODY: u64 = 8 * 1024 * 1024;
/// Cookies and tokens of a busy browser fit four times over.
const HEADERS: u64 = 64 * 1024;
/// Twice what proxies and browsers add together; also as many as are parsed without an allocation.
pub(super) const HEADER_FIELDS: usize = 100;
/// An idle connection costs about 10 KiB: 100 MiB when all are open, and well below usual file limits.
const CONNECTIONS: u32 = 10_000;
/// Headers fit into few packets: ten seconds survive several lost ones, and are short for who trickles bytes.
const HEADER: Duration = Duration::from_secs(10);
/// As long as a phone changes networks.
const BODY_IDLE: Duration = Duration::from_secs(30);
/// Longer than the 60 s that clients and load balancers keep theirs, so that the client closes first and no
/// request meets a closing connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Often enough that new instances get their share of long-lived connections, rare enough to cost nothing.
const CONNECTION_AGE: Duration = Duration::from_secs(600);
/// hyper's smallest buffer; also what a browser with a few cookies needs.
const LEAST_HEADERS: u64 = 8 * 1024;
/// The largest list an HTTP/2 peer can be told of is 4 GiB; this is past any use.
const MOST_HEADERS: u64 = 16 * 1024 * 1024;

/// The section.
const SECTION: &str = "server";
/// Every address, because a container's peers come from outside; the port of the contract.
const DEFAULT_LISTEN: &str = "0.0.0.0:8080";

#[cfg(test)]
mod tests {
    use platform_core::config::Config;

    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let (limits, times) = (Limits::default(), Times::default());
        assert_eq!((limits.body, limits.headers), (8 << 20, 64 << 10));
        assert_eq!((limits.header_fields, limits.connections), (100, 10_000));
        assert_eq!((times.header.as_secs(), times.body_idle.as_secs()), (10, 30));
        assert_eq!((times.keep_alive.as_secs(), times.connection_age.unwrap().as_secs()), (75, 600));
    }

    #[test]
    fn they_read_as_the_contract_writes_them() {
        let text = r#"
            [server.limits]
            body = "8MiB"
            headers = "64KiB"
            header_fields = 100
            connections = 10000
            [server.times]
            header = "10s"
            body_idle = "30s"
            keep_alive = "75s"
            connection_age = "10m"
        "#;
        let config = Config::builder().toml(text).load().unwrap();
        assert_eq!(config.section::<Limits>("server.limits").unwrap(), Limits::default());
        assert_eq!(config.section::<Times>("server.times").unwrap(), Times::default());

        let forever = Config::builder().toml("[server.times]\nconnection_age = \"none\"").load().unwrap();
        assert_eq!(forever.section::<Times>("server.times").unwrap().connection_age, None);
    }

    #[test]
    fn tls_is_all_or_nothing() {
        let wrong = |toml: &str| {
            let config = Config::builder().toml(format!("[server]\ntls = {toml}")).load().unwrap();
            let tls: TlsConfig = config.section("server.tls").unwrap();
            config.check("server.tls", &tls).err().map(|error| error.to_string()).unwrap_or_default()
        };
        for fine in [
            "{}",
            "{ cert = 'a', key = 'b' }",
            "{ cert = 'a', key = 'b', client_ca = 'c', clients = 'optional' }",
        ] {
            assert_eq!(wrong(fine), "", "{fine}");
        }
        assert!(wrong("{ cert = 'a' }").contains("`server.tls.key` is missing"));
        assert!(wrong("{ key = 'a' }").contains("`server.tls.key` is set and `cert` is not"));
        assert!(wrong("{ client_ca = 'a' }").contains("`server.tls.client_ca` is set and `cert` is not"));
    }

    #[test]
    fn values_that_cannot_work_are_refused_by_name() {
        let config = Config::builder().load().unwrap();
        let none = Duration::ZERO;
        let limits = Limits { body: 0, headers: 10, header_fields: 0, connections: 0 };
        let times = Times { header: none, body_idle: none, keep_alive: none, connection_age: Some(none) };
        let told = format!(
            "{} {}",
            config.check("server.limits", &limits).unwrap_err(),
            config.check("server.times", &times).unwrap_err()
        );
        for key in [
            "server.limits.connections",
            "server.limits.header_fields",
            "server.limits.headers",
            "server.times.header",
            "server.times.body_idle",
            "server.times.keep_alive",
            "server.times.connection_age",
        ] {
            assert!(told.contains(&format!("`{key}`")), "{key} is missing: {told}");
        }
        config.check("server.limits", &Limits::default()).unwrap();
        config.check("server.times", &Times::default()).unwrap();
    }
}
