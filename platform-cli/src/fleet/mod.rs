//! Who runs, and what do they answer?
//!
//! A command acts on a service: on every instance that discovery knows, by the admin address in each one's record.
//! Discovery is found as services find it: `platform.toml` here, the environment, `--set`.

mod ask;
mod say;

use std::{
    collections::HashMap,
    env, fs,
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
use serde_json::Value;

pub(crate) use self::{
    ask::ask_at,
    say::{paint, table},
};
use crate::{
    arguments::{Arguments, Flag},
    usage,
};

/// The flags of every command that asks services.
pub(crate) const FLAGS: [Flag; 7] = [
    Flag::Valued("--config"),
    Flag::Valued("--set"),
    Flag::Valued("--instance"),
    Flag::Valued("--as"),
    Flag::Valued("--token-file"),
    Flag::Alone("--json"),
    Flag::Alone("--help"),
];

/// How they are told in a command's help.
pub(crate) const FLAGS_HELP: &str = "
  --instance NAME     only this one (may be given again)
  --json              for a script
  --token-file FILE   shown to listeners that are not on this machine (a line NAME:TOKEN, or the token)
  --as NAME           who asks, where no token is needed (your login)
  --config FILE       where discovery is set (./platform.toml if it is there)
  --set KEY=VALUE     stronger than the file and the environment: --set discovery.registry=etcd
";

/// The services, as somebody at a terminal reaches them.
pub(crate) struct Fleet {
    discovery: Discovery,
    /// Whom somebody asked about: it is watched from then on.
    watched: Mutex<HashMap<String, Balance<()>>>,
    registry: String,
    only: Vec<String>,
    who: Who,
}

/// Who asks.
pub(crate) enum Who {
    Named(String),
    Token(String),
}

impl Who {
    /// Who has a token in this file, else this name, else the one that this machine knows.
    ///
    /// # Errors
    /// A file without a token.
    pub(crate) fn of(token_file: Option<&Path>, name: Option<&str>) -> Result<Self> {
        if let Some(file) = token_file {
            return Ok(Who::Token(token(file)?));
        }
        let login = || env::var("USER").or_else(|_| env::var("LOGNAME")).unwrap_or_default();
        let name = name.map_or_else(login, str::to_owned);
        Ok(Who::Named(if name.is_empty() { NOBODY.to_owned() } else { name }))
    }
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
        Ok(Fleet {
            discovery: Discovery::of(discovery, &identity, &Metrics::new(&identity))?,
            watched: Mutex::default(),
            registry,
            only: arguments.values("--instance").map(str::to_owned).collect(),
            who,
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

    /// Asks one instance.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub(crate) async fn ask_one(
        &self,
        instance: &Endpoint,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Said> {
        ask::ask(instance, &self.who, method, path, body).await
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
            let said = self.ask_one(&instance, method, path, body).await;
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
    // Whoever acts wants to know who is there now, and not who was there some hours ago.
    builder.set("discovery.snapshot", "none").load()
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

/// The first token of a file of lines `NAME:TOKEN`, or of tokens alone.
///
/// # Errors
/// A file that cannot be read, and one without a token.
fn token(file: &Path) -> Result<String> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| usage(format!("--token-file {shown}: {error}")))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let token = line.map(|line| line.split_once(':').map_or(line, |(_, token)| token.trim()));
    let token = token.filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    token.map(str::to_owned).ok_or_else(|| {
        usage(format!(
            "--token-file {shown}: there is no token in it; write NAME:TOKEN, as in the listener's own file"
        ))
    })
}

/// Whoever has no name at this machine.
const NOBODY: &str = "somebody";
