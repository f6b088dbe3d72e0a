//! What is one service?
//!
//! An [`App`] is one process that serves: its identity, its configuration, its telemetry, its health, and the
//! order in which it starts and stops. Everything else asks the App for what it needs.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use platform_core::{App, Result};
//!
//! # async fn main_() -> Result<ExitCode> {
//! let app = App::start("orders").await?;
//! // clients, routes, background tasks …
//! app.run().await
//! # }
//! ```
//!
//! # What `main` returns by `?`
//! A process that ends with an error from `main` ends with status 1, whatever its kind: Rust knows no other. Where the
//! status must say that the configuration was refused (78), [`App::refuse`] says it:
//!
//! ```no_run
//! # use std::process::ExitCode;
//! # use platform_core::{App, Result};
//! # fn parts(app: &App) -> Result<()> { Ok(()) }
//! # async fn main_() -> Result<ExitCode> {
//! # let app = App::start("orders").await?;
//! // Clients, `[settings]`: everything of one's own that may refuse its section.
//! match parts(&app) {
//!     Ok(_) => app.run().await,
//!     Err(error) => Ok(app.refuse(&error)),
//! }
//! # }
//! ```
//!
//! # Long streams
//! Server-sent events and WebSockets that nobody ends are cut at the end of the grace, and requests that were cut make
//! the exit status 1. So whoever writes one ends it when [`App::phases`] has reached
//! [`Phase::Draining`](crate::lifecycle::Phase::Draining).
//!
//! # Traps
//! Reading an environment variable by yourself: it has no name in the configuration, no default and no place
//! on the admin page. Put it under `[settings]` and read it with [`App::settings`].

mod announced;
mod builder;
mod changes;
mod flags;
mod once;
mod run;
mod serve;
mod servers;

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::mpsc;

pub use builder::Builder;
pub(crate) use changes::{CHANGES, signals};
pub use changes::{Change, ChangeKind, Changes, PLATFORM};
pub use run::Ended;
pub use serve::{Announce, Bound, Boxed, Serve, Served, Stage, Withdrawal};

use self::{flags::Errand, once::Once};
use crate::{
    config::Config,
    error::{Error, Result},
    fault::Faults,
    identity::Identity,
    lifecycle::{self, Drain, Health, OnDeath, Phases, Trigger},
    ops::{Objectives, Own},
    telemetry::{Logs, Metrics, Telemetry, Traces},
};

/// One process that serves; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    identity: Arc<Identity>,
    objectives: Objectives,
    own: Own,
    /// What only it measures, as `--describe` tells it.
    own_metrics: Value,
    config: Config,
    telemetry: Telemetry,
    lifecycle: lifecycle::Config,
    phases: Phases,
    health: Health,
    changes: Changes,
    faults: Faults,
    started: SystemTime,
    errand: Option<Errand>,
    /// Propagation matters where somebody else routes to us.
    in_kubernetes: bool,
    pod_ip: Option<IpAddr>,
    once: Once,
    plan: Mutex<Plan>,
    bound: Mutex<Vec<Bound>>,
    tasks: Tasks,
    stop: mpsc::UnboundedSender<Stop>,
}

/// What was added before the run; taken by it.
struct Plan {
    servers: Vec<Box<dyn Serve>>,
    announce: Vec<Box<dyn Announce>>,
    start: Vec<Hook>,
    stop: Vec<Hook>,
    describe: Vec<(String, Box<dyn FnOnce() -> Value + Send>)>,
    asked: Option<mpsc::UnboundedReceiver<Stop>>,
}

struct Hook {
    name: String,
    run: Box<dyn FnOnce() -> Boxed<'static, Result<()>> + Send>,
}

/// Background tasks and the drain they look at.
struct Tasks {
    trigger: Trigger,
    drain: Mutex<Option<Drain>>,
}

/// Why the process should stop.
enum Stop {
    /// Somebody asked, and the change is recorded.
    Asked(Change),
    /// A background task died that the process cannot do without.
    Death(Error),
}

impl App {
    /// Starts a service as its `main` does: reads the flags and the environment, loads the configuration and
    /// starts telemetry.
    ///
    /// Like any command-line program it ends the process for `--help`, `--version`, a wrong flag (status 2), a
    /// refused configuration (78) and what cannot be started (69), with an explanation on standard error.
    /// [`App::builder`] returns errors instead.
    pub async fn start(name: &str) -> Result<App> {
        App::builder(name).start_process().await
    }

    /// A service whose identity is set in code, or a test's.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    /// Whose this is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.0.identity
    }

    /// What is promised: `[slo]`, over what the code says.
    pub fn objectives(&self) -> &Objectives {
        &self.0.objectives
    }

    /// What it measures and shows that no other does ([`Builder::own`]).
    pub fn own(&self) -> &Own {
        &self.0.own
    }

    /// What is set.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The team's own `[settings]`.
    ///
    /// # Errors
    /// If a key is unknown or a value of the wrong type.
    pub fn settings<T: Serialize + DeserializeOwned + Default>(&self) -> Result<T> {
        self.0.config.section("settings")
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.0.telemetry.metrics
    }

    /// Where lines go.
    pub fn logs(&self) -> &Logs {
        &self.0.telemetry.logs
    }

    /// Where spans go.
    pub fn traces(&self) -> &Traces {
        &self.0.telemetry.traces
    }

    /// The checks.
    pub fn health(&self) -> &Health {
        &self.0.health
    }

    /// Where the process is on its way.
    pub fn phases(&self) -> &Phases {
        &self.0.phases
    }

    /// What changed lately.
    pub fn changes(&self) -> &Changes {
        &self.0.changes
    }

    /// What goes wrong on purpose.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// When the process started.
    pub fn started(&self) -> SystemTime {
        self.0.started
    }

    /// How long a stop may take.
    pub fn lifecycle(&self) -> &lifecycle::Config {
        &self.0.lifecycle
    }

    /// The one thing of this type and name in the process; `make` is asked if there is none yet.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn once<T, F>(&self, name: &str, make: F) -> Result<Arc<T>>
    where
        T: Send + Sync + 'static,
        F: FnOnce() -> Result<T>,
    {
        self.0.once.of(name, make)
    }

    /// Where the server of this name listens, once it does: `http`, `admin`.
    pub fn address(&self, server: &str) -> Option<SocketAddr> {
        let bound = self.0.bound.lock().unwrap_or_else(PoisonError::into_inner);
        bound.iter().find(|bound| bound.name == server).map(|bound| bound.address)
    }

    /// The address that Kubernetes gave this process (`POD_IP`): where others reach it when it listens on every
    /// address.
    pub fn pod_ip(&self) -> Option<IpAddr> {
        self.0.pod_ip
    }

    /// Adds a server for [`run`](Self::run).
    pub fn add(&self, server: impl Serve) {
        self.plan(|plan| plan.servers.push(Box::new(server)));
    }

    /// Tells the world about this instance while it is ready.
    pub fn announce(&self, announce: impl Announce) {
        self.plan(|plan| plan.announce.push(Box::new(announce)));
    }

    /// Runs `hook` while starting, in the order of addition, before the service listens. Its error stops the
    /// start.
    pub fn on_start<F, Fut>(&self, name: impl Into<String>, hook: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.plan(|plan| plan.start.push(Hook::new(name, hook)));
    }

    /// Runs `hook` while stopping, in the reverse order of addition, after requests and tasks have ended.
    pub fn on_stop<F, Fut>(&self, name: impl Into<String>, hook: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.plan(|plan| plan.stop.push(Hook::new(name, hook)));
    }

    /// Adds a part to what `--describe` prints.
    pub fn describe(&self, part: impl Into<String>, tell: impl FnOnce() -> Value + Send + 'static) {
        self.plan(|plan| plan.describe.push((part.into(), Box::new(tell))));
    }

    /// Runs a background task for the life of the process; `on_death` says what its death means.
    ///
    /// `start` is given the drain: a task that has something to finish looks at it and returns, within
    /// `lifecycle.flush`. What is left then is dropped.
    pub fn spawn<F, Fut>(&self, name: impl Into<String>, on_death: OnDeath, start: F)
    where
        F: Fn(Drain) -> Fut + Send + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let name = name.into();
        let Some(drain) = self.0.tasks.drain.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
            return; // The process has stopped; nothing new begins.
        };
        let (health, stop, changes) = (self.0.health.clone(), self.0.stop.clone(), self.0.changes.clone());
        let task = async move {
            if let Err(error) = lifecycle::supervise(&name, on_death, &health, drain, start).await {
                changes.record(
                    ChangeKind::Task,
                    PLATFORM,
                    format!("background task {name} died"),
                    error.to_string(),
                );
                // The receiver is gone only when the process has stopped already.
                let _ = stop.send(Stop::Death(error));
            }
        };
        spawn(task);
    }

    /// Asks the process to stop, in order; the change is recorded at once.
    pub fn stop(&self, who: impl Into<String>, why: impl Into<String>) -> Change {
        let change = self.changes().record(ChangeKind::Drain, who, "draining", why);
        // The receiver is gone only when the process has stopped already.
        let _ = self.0.stop.send(Stop::Asked(change.clone()));
        change
    }

    fn plan<T>(&self, edit: impl FnOnce(&mut Plan) -> T) -> T {
        edit(&mut self.0.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Hook {
    fn new<F, Fut>(name: impl Into<String>, hook: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        Hook { name: name.into(), run: Box::new(move || Box::pin(hook())) }
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("identity", &self.0.identity)
            .field("phase", &self.0.phases.current())
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "background work of the process has no request whose context it could lose"
)]
fn spawn<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    tokio::spawn(task)
}
