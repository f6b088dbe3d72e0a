//! Who runs, and what do they answer?
//!
//! A command acts on a service: on every instance that discovery knows, by the admin address in each one's record.
//! Discovery is found as services find it: `platform.toml` here, the environment, `--set`.

mod ask;
mod say;
mod who;

use std::{
    collections::HashMap,
    env,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::join_all;
use http::Method;
use platform_core::{
    Error, ErrorKind, Result,
    config::{Config, Name},
    identity::{DEFAULT_VARIANT, Identity},
    telemetry::Metrics,
};
use platform_discovery::{Balance, Discovery, Endpoint, Target, balance};
use platform_http::{admin, asking::Asker};
use serde_json::Value;

pub(crate) use self::{
    ask::{Question, ask_at},
    say::{paint, table},
    who::Who,
};
use crate::{
    arguments::{Arguments, Flag},
    usage,
};

/// The flags of every command that asks services.
pub(crate) const FLAGS: [Flag; 11] = [
    Flag::Valued("--config"),
    Flag::Valued("--set"),
    Flag::Valued("--instance"),
    Flag::Valued("--as"),
    Flag::Valued("--token-file"),
    Flag::Valued("--ca"),
    Flag::Valued("--cert"),
    Flag::Valued("--key"),
    Flag::Valued("--server-name"),
    Flag::Alone("--json"),
    Flag::Alone("--help"),
];

/// How they are told in a command's help.
pub(crate) const FLAGS_HELP: &str = "
  --instance NAME     only this one (may be given again)
  --json              for a script
  --token-file FILE   shown to listeners that are not on this machine (a line NAME:TOKEN, or the token);
                      else the token in PLATFORM_ADMIN_TOKEN
  --ca FILE           whom to believe where a listener speaks TLS; no token leaves this machine in cleartext then
  --cert FILE, --key FILE
                      who you are, for listeners that ask for a certificate
  --server-name NAME  the name in their certificates ({service}); these four are admin.fleet in a file
  --as NAME           who asks, where no token is needed (your login)
  --config FILE       where discovery is set (./platform.toml if it is there)
  --set KEY=VALUE     stronger than the file and the environment: --set discovery.registry=etcd
";

/// Flags that are keys.
const REACHING: [(&str, &str); 4] = [
    ("--ca", "admin.fleet.ca"),
    ("--cert", "admin.fleet.cert"),
    ("--key", "admin.fleet.key"),
    ("--server-name", "admin.fleet.server_name"),
];

/// The services, as somebody at a terminal reaches them.
pub(crate) struct Fleet {
    discovery: Discovery,
    /// Whom somebody asked about: it is watched from then on.
    watched: Mutex<HashMap<String, Balance<()>>>,
    registry: String,
    only: Vec<String>,
    who: Who,
    asker: Asker,
}

/// What one instance answered.
pub(crate) struct Answer {
    pub(crate) service: String,
    pub(crate) instance: Arc<Endpoint>,
    pub(crate) said: Result<Said>,
}

/// The body of a good answer.
pub(crate) enum Said {
    Json(Value),
    Text(String),
}

impl Fleet {
    /// # Errors
    /// A configuration that cannot be read, a token that is none.
    pub(crate) fn new(arguments: &Arguments) -> Result<Self> {
        let config = config(arguments)?;
        let discovery: platform_discovery::Config = config.section("discovery")?;
        let registry = config
            .effective()
            .into_iter()
            .find(|one| one.key == "discovery.registry")
            .map_or_else(String::new, |one| one.value.as_str().unwrap_or_default().to_owned());
        let identity = Identity { name: "platform".to_owned(), ..Identity::default() };
        let file = arguments.value("--token-file").map(Path::new);
        let who = Who::of(file, arguments.value("--as"))?;
        let asker = asker(&config)?;
        // What somebody has just typed is looked at now; what stands in a file only where a listener asks for it.
        if REACHING.iter().any(|(flag, _)| arguments.has(flag)) {
            asker.check()?;
        }
        Ok(Fleet {
            discovery: Discovery::of(discovery, &identity, &Metrics::new(&identity))?,
            watched: Mutex::default(),
            registry,
            only: arguments.values("--instance").map(str::to_owned).collect(),
            who,
            asker,
        })
    }

    /// Every instance of a service that is known now, the draining ones too.
    ///
    /// # Errors
    /// Nobody is known, or nobody of the name that was given.
    pub(crate) async fn instances(&self, service: &str) -> Result<Vec<Arc<Endpoint>>> {
        let name = Name::parse(service).map_err(usage)?;
        let target = Target::parse(name.as_str())?;
        // Watched like any target that is called, so that its source may say why it does not answer.
        let watched = self.discovery.balance(&target, &balance::Config::default(), |_| ())?;
        self.watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(service.to_owned())
            .or_insert(watched);
        let followed = self.discovery.follow(&target)?;
        let missing = self.discovery.ready(self.discovery.start_wait()).await;
        let set = followed.endpoints();
        let known: Vec<Arc<Endpoint>> = set.endpoints().to_vec();
        if known.is_empty() {
            let why = missing.into_iter().find(|one| &*one.target == name.as_str()).map(|one| one.why);
            return Err(Error::new(
                ErrorKind::NoEndpoints,
                format!(
                    "nobody answers for {service} in the registry `{}`{}; is it running, and is [discovery] set here as it \
                     is there (--config, --set)?",
                    self.registry,
                    why.map(|why| format!(" ({why})")).unwrap_or_default()
                ),
            ));
        }
        if self.only.is_empty() {
            return Ok(known);
        }
        let meant: Vec<_> = known.iter().filter(|one| self.only.contains(&one.instance)).cloned().collect();
        if meant.len() < self.only.len() {
            let known: Vec<&str> = known.iter().map(|one| one.instance.as_str()).collect();
            return Err(usage(format!("--instance: {service} has {}", known.join(", "))));
        }
        Ok(meant)
    }

    /// The names of all services that the registry knows, in order.
    ///
    /// # Errors
    /// A registry that cannot say, or does not answer.
    pub(crate) async fn services(&self) -> Result<Vec<String>> {
        Ok(self.discovery.services().await?.iter().map(ToString::to_string).collect())
    }

    /// What the registry is called.
    pub(crate) fn registry(&self) -> &str {
        &self.registry
    }

    /// Asks one instance of a service.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub(crate) async fn ask_one(
        &self,
        service: &str,
        instance: &Endpoint,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Said> {
        ask::ask(&self.asker, service, instance, &self.who, Question { method, path, body }).await
    }

    /// Asks every instance of a service at once.
    ///
    /// # Errors
    /// As [`instances`](Self::instances); what goes wrong with one of them is its answer.
    pub(crate) async fn ask(
        &self,
        service: &str,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Vec<Answer>> {
        let instances = self.instances(service).await?;
        Ok(join_all(instances.into_iter().map(|instance| async move {
            let said = self.ask_one(service, &instance, method, path, body).await;
            Answer { service: service.to_owned(), instance, said }
        }))
        .await)
    }
}

/// The version of an instance, and its variant where it is not the ordinary one.
pub(crate) fn version(instance: &Endpoint) -> String {
    let variant = if instance.variant == DEFAULT_VARIANT { "" } else { instance.variant.as_str() };
    format!("{} {variant}", instance.version).trim().to_owned()
}

/// What is set here, as a service that started here would read it.
///
/// # Errors
/// What cannot be read.
pub(crate) fn config(arguments: &Arguments) -> Result<Config> {
    let variables = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut builder = Config::builder().env(variables);
    builder = match arguments.value("--config") {
        Some(file) => builder.file(PathBuf::from(file)),
        None => builder.file_if_present("platform.toml"),
    };
    for pair in arguments.values("--set") {
        builder = builder.flag(pair)?;
    }
    for (flag, key) in REACHING {
        if let Some(value) = arguments.value(flag) {
            builder = builder.set(key, value);
        }
    }
    // Whoever acts wants to know who is there now, and not who was there some hours ago.
    builder.set("discovery.snapshot", "none").load()
}

/// The way to admin listeners, as it is set here.
///
/// # Errors
/// What cannot be meant.
pub(crate) fn asker(config: &Config) -> Result<Asker> {
    let admin: admin::Config = config.section("admin")?;
    config.check("admin", &admin)?;
    Ok(Asker::new(admin.fleet))
}

/// Runs a command's questions.
///
/// # Errors
/// Those of `work`.
pub(crate) fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::new(ErrorKind::Start, format!("no runtime: {error}")))?;
    runtime.block_on(work)
}
