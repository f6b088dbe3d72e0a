//! How an App comes to be.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime},
};

use tokio::sync::mpsc;

use super::{
    App, ChangeKind, Changes, Inner, PLATFORM, Plan, Tasks,
    flags::{Errand, Flags, help},
    once::Once,
};
use crate::{
    config::{Config, Name},
    error::{Error, Result},
    fault::Faults,
    identity::Identity,
    lifecycle::{Drain, Health, Phases},
    ops::{Objectives, Own, Slo},
    telemetry::{self, Logs, Telemetry, catalogue::Catalogue, log::Output},
};

/// An App in the making: identity from code, configuration from wherever it is allowed to come from.
#[derive(Debug)]
pub struct Builder {
    identity: Identity,
    objectives: Objectives,
    own: Catalogue,
    config: Option<Config>,
    /// `None` until somebody says; then not even the process's own stand in.
    arguments: Option<Vec<String>>,
    environment: Vec<(String, String)>,
    /// `None` is standard output, or standard error beside what an errand prints.
    output: Option<Output>,
}

impl Builder {
    pub(super) fn new(name: &str) -> Self {
        Builder {
            identity: Identity { name: name.to_owned(), ..Identity::default() },
            objectives: Objectives::default(),
            own: Catalogue::default(),
            config: None,
            arguments: None,
            environment: Vec::new(),
            output: None,
        }
    }

    /// The service's version: `env!("CARGO_PKG_VERSION")`.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.identity.version);
        self
    }

    /// The team that is called at night.
    #[must_use]
    pub fn owner(mut self, owner: &str) -> Self {
        owner.clone_into(&mut self.identity.owner);
        self
    }

    /// Whom the owner reports to: who is called when the owner has not helped for half an hour.
    #[must_use]
    pub fn reports_to(mut self, parent: &str) -> Self {
        parent.clone_into(&mut self.identity.reports_to);
        self
    }

    /// What the service promises its users; `[slo]` is stronger. Alerts are made from it (`platform ops rules`).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use platform_core::{App, ops::Slo};
    /// App::builder("orders")
    ///     .owner("team-orders")
    ///     .slo(Slo::availability(0.999))
    ///     .slo(Slo::latency(Duration::from_millis(300), 0.99));
    /// ```
    #[must_use]
    pub fn slo(mut self, promise: Slo) -> Self {
        self.objectives.add(promise);
        self
    }

    /// What the service measures and shows that no other does: signals on
    /// [`Board::Own`](crate::telemetry::catalogue::Board::Own). `platform ops boards|rules --from PROGRAM` makes its
    /// board and its alerts of them.
    #[must_use]
    pub fn own(mut self, catalogue: Catalogue) -> Self {
        self.own = self.own.join(catalogue);
        self
    }

    /// Why the service exists.
    #[must_use]
    pub fn why(mut self, why: &str) -> Self {
        why.clone_into(&mut self.identity.why);
        self
    }

    /// Where it says what to do.
    #[must_use]
    pub fn runbook(mut self, runbook: &str) -> Self {
        runbook.clone_into(&mut self.identity.runbook);
        self
    }

    /// This configuration, instead of one from file, environment and flags: a test's.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// These arguments, without the program's name. A service with flags of its own reads those first and
    /// hands over the rest.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = String>) -> Self {
        self.arguments = Some(arguments.into_iter().collect());
        self
    }

    /// This environment.
    #[must_use]
    pub fn environment(mut self, environment: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment = environment.into_iter().collect();
        self
    }

    /// Log lines go here instead of standard output: a test reads them.
    #[must_use]
    pub fn log_to(mut self, output: Output) -> Self {
        self.output = Some(output);
        self
    }

    /// The App.
    ///
    /// # Errors
    /// A wrong flag ([`ErrorKind::Usage`](crate::ErrorKind::Usage)), a refused configuration
    /// ([`ErrorKind::Config`](crate::ErrorKind::Config)), a catalogue that [`Own::of`] refuses, or telemetry that cannot be
    /// started.
    pub async fn start(self) -> Result<App> {
        let flags = Flags::parse(self.arguments.iter().flatten().cloned())?;
        self.start_with(&flags)
    }

    /// As [`App::start`] does, with the identity of this builder: process arguments and environment, and the
    /// process ends on what it cannot start with.
    pub async fn start_process(mut self) -> Result<App> {
        // One that is no text is none of our flags, and is refused by what can be read of it.
        let arguments = self.arguments.take().unwrap_or_else(|| {
            std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect()
        });
        // A variable that is no text cannot be one of ours.
        self.environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let name = self.identity.name.clone();
        let version = self.identity.version.clone();
        let started = Flags::parse(arguments).and_then(|flags| match flags.errand {
            Some(Errand::Help) => end(&help(&name)),
            Some(Errand::Version) => end(format!("{name} {version}").trim_end()),
            _ => self.start_with(&flags),
        });
        match started {
            Ok(app) => {
                log_panics(app.logs().clone());
                Ok(app)
            }
            Err(error) => {
                complain(&error);
                process::exit(i32::from(error.kind().exit_code()))
            }
        }
    }

    fn start_with(self, flags: &Flags) -> Result<App> {
        let variable =
            |name: &str| self.environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let config = match self.config {
            Some(config) => config,
            None => load(flags, &self.environment, variable)?,
        };
        let mut identity = self.identity;
        identity.instance = variable("POD_NAME")
            .or_else(|| variable("HOSTNAME"))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| format!("{}-{:08x}", identity.name, fastrand::u32(..)));
        let identity: Arc<Identity> = Arc::new(config.overlay(&identity, "service")?);
        Name::parse(&identity.name).map_err(|why| {
            let origin = config.origin("service.name").map_or_else(|| "code".to_owned(), |o| o.to_string());
            Error::config(format!("{origin}: `service.name`: {why}"))
        })?;
        if identity.instance.is_empty() {
            return Err(Error::config("service.instance is empty; leave it out, and one is found"));
        }
        let objectives: Objectives = config.overlay(&self.objectives, "slo")?;
        config.check("slo", &objectives)?;
        let own = Own::of(&identity.name, &self.own)?;
        if (objectives.any() || own.has_alerts()) && identity.owner.is_empty() {
            let what = if objectives.any() { "objectives" } else { "alerts of its own" };
            return Err(Error::config(format!(
                "the service has {what} and no owner, so nobody could be woken; set `owner` in [service]"
            )));
        }
        let lifecycle = config.section("lifecycle")?;
        let telemetry: telemetry::Settings = config.section("telemetry")?;
        config.check("telemetry", &telemetry)?;
        // What an errand prints is read by a program; what is said on the way must not be in it.
        let output = self.output.unwrap_or_else(|| match flags.errand {
            Some(_) => Output::to(io::stderr()),
            None => Output::stdout(),
        });
        let telemetry = Telemetry::new(&telemetry, &identity, output)?;

        let phases = Phases::new();
        let (trigger, drain) = Drain::new();
        let (stop, asked) = mpsc::unbounded_channel();
        let app = App(Arc::new(Inner {
            lifecycle,
            changes: Changes::new(&telemetry.metrics),
            faults: Faults::new(&telemetry.metrics),
            health: Health::new(phases.clone()),
            phases,
            telemetry,
            started: SystemTime::now(),
            errand: flags.errand,
            in_kubernetes: variable("POD_NAME").is_some(),
            // One that is no address is nobody's; what needs it says so when it is missing.
            pod_ip: variable("POD_IP").and_then(|address| address.parse().ok()),
            once: Once::default(),
            plan: Mutex::new(Plan {
                servers: Vec::new(),
                announce: Vec::new(),
                start: Vec::new(),
                stop: Vec::new(),
                describe: Vec::new(),
                asked: Some(asked),
            }),
            bound: Mutex::default(),
            tasks: Tasks { trigger, drain: Mutex::new(Some(drain)) },
            stop,
            config,
            objectives,
            own,
            own_metrics: self.own.to_json(),
            identity,
        }));
        let identity = app.identity();
        let what = format!("{identity} started as {}", identity.instance);
        app.changes().record(ChangeKind::Start, PLATFORM, what, &identity.why);
        Ok(app)
    }
}

fn load(
    flags: &Flags,
    environment: &[(String, String)],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Config> {
    let mut builder = Config::builder().env(environment.iter().cloned());
    builder = match flags.config.clone().or_else(|| variable("PLATFORM_CONFIG")) {
        Some(file) => builder.file(PathBuf::from(file)),
        None => builder.file_if_present(PathBuf::from(DEFAULT_FILE)),
    };
    if let Some(profile) = flags.profile.clone().or_else(|| variable("PLATFORM_PROFILE")) {
        builder = builder.profile(profile);
    }
    for (key, value) in &flags.set {
        builder = builder.set(key, value);
    }
    builder.load()
}

/// Prints what was asked for and ends.
fn end<T>(text: &str) -> T {
    say(text);
    process::exit(0)
}

/// Prints what was asked for; a reader who has seen enough (`| head`) is no failure.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Tells a person what is wrong.
pub(super) fn complain(error: &Error) {
    tell(format!("error: {error:?}\n"));
}

/// Writes to standard error and waits a moment at most: it may be a pipe that nobody reads, and the end of a
/// process must not hang on that.
pub(super) fn tell(text: String) {
    let (said, told) = std::sync::mpsc::sync_channel(1);
    let speak = move || {
        // Nobody is left to hear that nobody hears.
        let _ = io::stderr().write_all(text.as_bytes());
        let _ = said.send(());
    };
    if thread::Builder::new().name("last-words".to_owned()).spawn(speak).is_ok() {
        let _ = told.recv_timeout(PATIENCE);
    }
}

/// A panic becomes one line of the log, with its place.
fn log_panics(logs: Logs) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = crate::lifecycle::panic_text(panic.payload());
        tracing::error!(place, panic = text, "a panic");
        // The process may end here, and faster than the thread that writes.
        if cfg!(panic = "abort") || thread::current().name() == Some("main") {
            logs.flush(PATIENCE);
        }
    }));
}

/// How long a line may take that is the last before the end.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);
/// Read if it is there.
const DEFAULT_FILE: &str = "platform.toml";
