//! What is set about finding others and being found: the `[discovery]` section.

use std::{path::PathBuf, time::Duration};

use platform_core::{
    Result,
    config::{self, Mode, Ratio, Refusal, Rules, duration, ratio},
};
use serde::{Deserialize, Serialize};

mod registries;

pub use registries::{Consul, Dns, Etcd, Kubernetes, Registry, Tls};

/// The `[discovery]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where a bare name is looked up.
    pub registry: Registry,
    /// How long a start waits for the first answer about each target.
    #[serde(with = "duration")]
    pub start_wait: Duration,
    /// What happens to endpoints that vanish without having said so.
    pub removals: Removals,
    /// The folder where the last good sets are kept for a start while the registry is down; empty is beside the
    /// registry's folder, `none` keeps nothing.
    pub snapshot: PathBuf,
    /// The directory registry.
    pub dir: Dir,
    /// DNS.
    pub dns: Dns,
    /// etcd.
    pub etcd: Etcd,
    /// Consul.
    pub consul: Consul,
    /// Kubernetes.
    pub kubernetes: Kubernetes,
    /// How this instance lets itself be found.
    pub register: Register,
}

/// What happens to endpoints that vanish without having said `draining`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Removals {
    /// How long they are still asked: a source that forgets for a moment costs nothing.
    #[serde(with = "duration")]
    pub hold: Duration,
    /// A set that loses this share of its members at once, two at least, or becomes empty, is held and alarmed until
    /// the source confirms it: above 0, at most 1. `None` (`"none"`) believes every loss after `hold`.
    #[serde(with = "ratio::or_none")]
    pub mass: Option<Ratio>,
}

/// The directory registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dir {
    /// The folder; empty is `$XDG_RUNTIME_DIR/platform/registry`, else `platform-UID/registry` in the
    /// temporary folder. It is made for one user alone (0700).
    pub path: PathBuf,
    /// How often it is looked at, 10 ms or more.
    #[serde(with = "duration")]
    pub poll: Duration,
}

/// How this instance lets itself be found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Register {
    /// Whether it registers at all; `observe` logs what would be written.
    pub mode: Mode,
    /// `IP:PORT` or `IP` under which others call; empty is the listen address, and for `0.0.0.0` the POD_IP,
    /// else 127.0.0.1.
    pub advertise: String,
    /// How long others believe the record without hearing of it again.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// How often it is renewed, give or take a tenth.
    #[serde(with = "duration")]
    pub renew: Duration,
    /// This instance's share of the traffic relative to the others.
    pub weight: u32,
}

impl Config {
    /// The section as `config` has it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](platform_core::ErrorKind::Config) where it cannot be read or contradicts itself, with the
    /// place where each value was set.
    pub fn of(config: &config::Config) -> Result<Self> {
        let section: Config = config.section(SECTION)?;
        config.check(SECTION, &section)?;
        Ok(section)
    }

    /// Refuses what contradicts itself, for a section that was made in code.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](platform_core::ErrorKind::Config), naming the key and what to do.
    pub fn check(&self) -> Result<()> {
        config::Config::default().check(SECTION, self)
    }
}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if self.dir.poll < SHORTEST_POLL {
            let why = format!(
                "is {:?}; a folder is read that often, so use {SHORTEST_POLL:?} or more",
                self.dir.poll
            );
            refusals.push(Refusal::new("dir.poll", why));
        }
        if self.removals.mass == Some(Ratio::ZERO) {
            let why =
                "is 0, which would hold back every loss; use a larger share, or \"none\" to believe them all";
            refusals.push(Refusal::new("removals.mass", why));
        }
        let Register { lease, renew, .. } = self.register;
        if renew.is_zero() {
            refusals.push(Refusal::new("register.renew", "is zero; use a third of the lease"));
        } else if lease < renew * 2 {
            let why = format!(
                "is {renew:?}, more than half of the lease ({lease:?}), so that one lost renewal would lose the \
                 instance; lower it or raise `register.lease`"
            );
            refusals.push(Refusal::new("register.renew", why).and("register.lease"));
        }
        self.dns.refusals(&mut refusals);
        self.etcd.refusals(&mut refusals);
        self.consul.refusals(&mut refusals);
        self.kubernetes.refusals(&mut refusals);
        refusals
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            registry: Registry::Dir,
            start_wait: START_WAIT,
            removals: Removals::default(),
            snapshot: PathBuf::new(),
            dir: Dir::default(),
            dns: Dns::default(),
            etcd: Etcd::default(),
            consul: Consul::default(),
            kubernetes: Kubernetes::default(),
            register: Register::default(),
        }
    }
}

impl Default for Removals {
    fn default() -> Self {
        Removals { hold: HOLD, mass: Some(MASS) }
    }
}

impl Default for Dir {
    fn default() -> Self {
        Dir { path: PathBuf::new(), poll: POLL }
    }
}

impl Default for Register {
    fn default() -> Self {
        Register { mode: Mode::Enforce, advertise: String::new(), lease: LEASE, renew: RENEW, weight: 1 }
    }
}

/// Where these settings stand.
pub(crate) const SECTION: &str = "discovery";
/// A registry on the same machine answers in milliseconds, a busy one in a second; who waits longer is down.
const START_WAIT: Duration = Duration::from_secs(5);
/// Finagle's: longer than a registry's hiccup, shorter than a person's patience.
const HOLD: Duration = Duration::from_secs(10);
/// Deaths come one by one; what loses half of itself at once has more often lost its registry.
const MASS: Ratio = Ratio::of(0.5);
/// A change is seen in an eighth of a second on average, for four cheap looks a second.
const POLL: Duration = Duration::from_millis(250);
/// Below this the looking costs more than the waiting.
const SHORTEST_POLL: Duration = Duration::from_millis(10);
/// Three renewals: two may be lost.
const LEASE: Duration = Duration::from_secs(30);
/// A third of the lease.
const RENEW: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_contract_and_pass() {
        let config = Config::default();
        config.check().unwrap();
        assert_eq!(config.start_wait, Duration::from_secs(5));
        assert_eq!(config.removals.hold, Duration::from_secs(10));
        assert_eq!(config.removals.mass, Ratio::new(0.5));
        assert_eq!(config.snapshot, PathBuf::new());
        assert_eq!(config.dir.poll, Duration::from_millis(250));
        assert_eq!(
            (config.register.lease, config.register.renew),
            (Duration::from_secs(30), Duration::from_secs(10))
        );
    }

    #[test]
    fn a_list_from_the_command_line_is_read_and_a_wrong_one_names_its_flag() {
        let of = |text: &str| {
            let config = config::Config::builder().set("discovery.etcd.endpoints", text).load().unwrap();
            Config::of(&config).map(|config| config.etcd.endpoints)
        };
        let endpoints = of(r#"["http://etcd-0:2379", "http://etcd-1:2379"]"#).unwrap();
        assert_eq!(endpoints, ["http://etcd-0:2379", "http://etcd-1:2379"]);
        for (text, why) in [
            (r#"["etcd-0:2379"]"#, "holds \"etcd-0:2379\""),
            ("[]", "is empty"),
            ("http://etcd-0:2379", "it must be a list"),
        ] {
            let error = of(text).unwrap_err();
            let flag = "flag --set discovery.etcd.endpoints: `discovery.etcd.endpoints`";
            assert!(error.detail().contains(flag) && error.detail().contains(why), "{error}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_its_key() {
        let poll =
            Config { dir: Dir { poll: Duration::from_millis(1), ..Dir::default() }, ..Config::default() };
        assert!(poll.check().unwrap_err().detail().contains("`discovery.dir.poll`"));
        for (lease, renew) in [(10, 10), (30, 16), (30, 0)] {
            let register = Register {
                lease: Duration::from_secs(lease),
                renew: Duration::from_secs(renew),
                ..Register::default()
            };
            let error = Config { register, ..Config::default() }.check().unwrap_err();
            assert!(error.detail().contains("`discovery.register.renew`"), "{error}");
        }
    }

    #[test]
    fn the_section_is_read_as_the_contract_writes_it() {
        let text = r#"
            [discovery]
            registry = "dir"
            start_wait = "2s"
            removals = { hold = "1m", mass = 0.3 }
            snapshot = "/var/lib/lists"
            dir = { path = "/run/registry", poll = "100ms" }
            dns = { suffix = "shop.internal", port = 8080, server = "127.0.0.1:53" }
            etcd = { endpoints = ["https://etcd:2379"], prefix = "/shop", user = "orders", password_file = "/run/pw" }
            consul = { address = "https://consul:8501", token_file = "/run/token", tls = { ca = "/run/ca.pem" } }
            kubernetes = { namespace = "shop", port = "8080" }
            register = { mode = "observe", advertise = "10.0.0.1", lease = "1m", renew = "20s", weight = 2 }
        "#;
        let read = |text: &str| {
            let config = config::Config::builder().toml(text).load().unwrap();
            config.section::<Config>(SECTION)
        };
        let section = read(text).unwrap();
        assert_eq!(section.removals.hold, Duration::from_secs(60));
        assert_eq!(section.removals.mass, Ratio::new(0.3));
        assert_eq!(section.snapshot, PathBuf::from("/var/lib/lists"));
        let lifted = read("[discovery.removals]\nmass = \"none\"").unwrap();
        assert_eq!((lifted.removals.mass, lifted.removals.hold), (None, HOLD));
        assert_eq!(read("[discovery.removals]\nmass = 1").unwrap().removals.mass, Some(Ratio::ONE));
        assert_eq!(section.dir.path, PathBuf::from("/run/registry"));
        assert_eq!(section.etcd.endpoints, ["https://etcd:2379"]);
        assert_eq!(
            (section.dns.suffix.as_str(), section.kubernetes.port.as_str()),
            ("shop.internal", "8080")
        );
        assert_eq!((section.register.mode, section.register.weight), (Mode::Observe, 2));
        for (wrong, why) in [
            ("[discovery]\nregistry = \"zookeeper\"", "dir"),
            ("[discovery.removals]\nmass = 0", "`discovery.removals.mass` is 0"),
            ("[discovery.removals]\nmass = 50", "50 percent is 0.5"),
            ("[discovery.removals]\nmass = -0.1", "lies between"),
            ("[discovery.removals]\nmass = \"half\"", "a ratio such as 0.5"),
            ("[discovery]\netcd = { endpoints = [] }", "discovery.etcd.endpoints"),
            ("[discovery]\netcd = { endpoints = [\"127.0.0.1:2379\"] }", "http://HOST:PORT"),
            ("[discovery]\netcd = { prefix = \"/a/\" }", "discovery.etcd.prefix"),
            ("[discovery]\netcd = { user = \"orders\" }", "password_file"),
            ("[discovery.etcd]\ntls = { cert = \"a.pem\" }", "discovery.etcd.tls.cert"),
            ("[discovery]\nconsul = { address = \"ftp://consul\" }", "discovery.consul.address"),
            ("[discovery.consul]\ntls = { key = \"a.pem\" }", "discovery.consul.tls.cert"),
            ("[discovery]\ndns = { port = 0 }", "discovery.dns.port"),
            ("[discovery]\ndns = { server = \"ns.shop\" }", "discovery.dns.server"),
            ("[discovery]\nkubernetes = { port = \"\" }", "discovery.kubernetes.port"),
            ("[discovery]\ndir = { pol = \"1s\" }", "poll"),
            ("[discovery.register]\nlease = 30", "30s"),
        ] {
            let error = read(wrong).and_then(|config| config.check()).unwrap_err();
            assert!(error.detail().contains(why), "{error}");
        }
    }
}
