//! The two timelines: start, and stop.

use std::{
    panic::AssertUnwindSafe,
    process::{self, ExitCode},
    sync::PoisonError,
    thread,
    time::Duration,
};

use futures_util::{FutureExt as _, future::join_all};
use serde_json::{Value, json};
use tokio::{runtime, sync::mpsc, time::timeout};

use super::{
    Announce, App, Bound, Change, ChangeKind, Errand, Hook, PLATFORM, Serve, Served, Stage, Stop, Withdrawal,
    builder::{PATIENCE, complain, say, tell},
    servers::Servers,
};
use crate::{
    error::{Error, ErrorKind, Result},
    lifecycle::{self, Phase, Signal, Signals, panic_text},
};

/// How a run ended.
#[derive(Debug)]
#[must_use]
pub struct Ended {
    /// Requests that were cut at the end of the grace.
    pub cut: usize,
    /// What ended the process, if it was a failure.
    pub failure: Option<Error>,
}

impl Ended {
    /// 0 drained clean, 1 failed while running or requests were cut.
    pub fn code(&self) -> u8 {
        u8::from(self.cut > 0 || self.failure.is_some())
    }
}

impl App {
    /// Serves until a signal, and says with which status the process should end: 0 drained clean, 1 failed
    /// while running or requests were cut, 69 could not start, 78 configuration refused. A second signal ends
    /// the process at once with 128 more than its number.
    ///
    /// # Errors
    /// None: what goes wrong is told on standard error and in the status.
    pub async fn run(self) -> Result<ExitCode> {
        if let Some(errand) = self.0.errand {
            return Ok(self.do_errand(errand));
        }
        let signals = Signals::listen()?;
        let code = match self.run_until(signals).await {
            Ok(ended) => {
                if let Some(failure) = &ended.failure {
                    complain(failure);
                }
                ended.code()
            }
            Err(error) => {
                complain(&error);
                error.kind().exit_code()
            }
        };
        Ok(ExitCode::from(code))
    }

    /// Tells a person why the service cannot start, and says with which status the process should end.
    pub fn refuse(&self, error: &Error) -> ExitCode {
        self.logs().flush(PATIENCE);
        complain(error);
        ExitCode::from(error.kind().exit_code())
    }

    /// Serves until [`App::stop`] is called: for a test, or a program that has its own signals.
    ///
    /// # Errors
    /// What kept the process from starting.
    pub async fn run_until_stopped(self) -> Result<Ended> {
        self.live(None).await
    }

    /// Ends a program that serves nothing: background tasks, stop hooks, telemetry. What was set and read by nobody
    /// is only warned of, because the work is done.
    ///
    /// `--check` and `--describe` are answered by [`run`](Self::run), which such a program does not reach: it does
    /// its work with them too.
    ///
    /// # Errors
    /// None today; the signature is that of a `main`.
    pub async fn finish(self) -> Result<()> {
        if let Err(error) = self.refuse_unread() {
            tracing::warn!(error = error.detail(), "a part of the configuration was of no use");
        }
        let hooks = self.plan(|plan| std::mem::take(&mut plan.stop));
        self.0.phases.advance(Phase::Draining);
        self.end_quietly(hooks, self.unused()).await;
        Ok(())
    }

    /// How long an end may take that drains nothing.
    fn unused(&self) -> Duration {
        self.0.lifecycle.grace + self.0.lifecycle.flush
    }

    async fn run_until(self, signals: Signals) -> Result<Ended> {
        self.live(Some(signals)).await
    }

    async fn live(self, signals: Option<Signals>) -> Result<Ended> {
        let (servers, announce, start, asked) = self.plan(|plan| {
            (
                std::mem::take(&mut plan.servers),
                std::mem::take(&mut plan.announce),
                std::mem::take(&mut plan.start),
                plan.asked.take(),
            )
        });
        let Some(asked) = asked else {
            return Err(Error::new(ErrorKind::Internal, "this App has run already; an App runs once"));
        };
        let mut asked = Asked { signals, channel: asked };

        let (admin, service): (Vec<_>, Vec<_>) =
            servers.into_iter().partition(|server| server.stage() == Stage::Admin);
        let admin = Servers::begin(&self, admin).await;
        let begun = match &admin {
            // Whoever is dropped here has begun no server: the last thing that `begin` waits for is an address.
            Ok(_) => tokio::select! {
                begun = self.begin(start, service) => begun,
                stop = asked.next() => {
                    asked.end_at_once_on_the_next();
                    Err(interrupted(&stop))
                }
            },
            Err(error) => Err(error.clone()),
        };
        let ended = match begun {
            Ok(servers) => {
                let why = tokio::select! {
                    why = asked.next() => why,
                    never = self.tell_the_world(&announce) => match never {},
                };
                asked.end_at_once_on_the_next();
                Ok(self.end(why, servers, &announce).await)
            }
            Err(error) => {
                let hooks = self.plan(|plan| std::mem::take(&mut plan.stop));
                self.0.phases.advance(Phase::Draining);
                self.end_quietly(hooks, self.unused()).await;
                // A person who changes his mind while the process starts is no failure.
                if error.kind() == ErrorKind::Abandoned {
                    Ok(Ended { cut: 0, failure: None })
                } else {
                    Err(error)
                }
            }
        };
        if let Ok(admin) = admin {
            admin.end(ADMIN_GRACE).await;
        }
        self.0.phases.advance(Phase::Stopped);
        ended
    }

    /// Start hooks, servers, ready.
    async fn begin(&self, hooks: Vec<Hook>, servers: Vec<Box<dyn Serve>>) -> Result<Servers> {
        self.refuse_unread()?;
        for hook in hooks {
            let name = hook.name.clone();
            (hook.run)().await.map_err(|error| {
                Error::new(error.kind(), format!("start hook {name:?} failed: {}", error.detail()))
                    .with_source(error)
            })?;
        }
        let servers = Servers::begin(self, servers).await?;
        if !self.0.phases.advance(Phase::Ready) {
            return Ok(servers);
        }
        let addresses: Vec<String> =
            self.bound().iter().map(|bound| format!("{} {}", bound.name, bound.address)).collect();
        let addresses = addresses.join(", ");
        self.changes().record(ChangeKind::Ready, PLATFORM, format!("ready at {addresses}"), "");
        tracing::info!(addresses, "ready");
        Ok(servers)
    }

    /// Every address that was taken, the admin's too: who looks after a fleet finds it in the registry.
    pub(super) fn bound(&self) -> Vec<Bound> {
        self.0.bound.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Draining, withdrawn, served out, tasks ended, hooks run, telemetry flushed.
    async fn end(&self, why: Why, servers: Servers, announce: &[Box<dyn Announce>]) -> Ended {
        let began = tokio::time::Instant::now();
        self.0.phases.advance(Phase::Draining);
        if !why.recorded {
            self.changes().record(ChangeKind::Drain, &why.who, "draining", &why.why);
        }
        tracing::info!(who = why.who, why = why.why, "draining");

        let lifecycle::Config { propagation, grace, flush } = self.0.lifecycle;
        let known = !announce.is_empty() || self.0.in_kubernetes;
        // Requests keep coming until everyone has noticed, and are served.
        let notice = if known && !why.by_hand { propagation } else { Duration::ZERO };
        if !notice.is_zero() {
            servers.announce(notice);
        }
        tokio::join!(withdraw(announce, Withdrawal::Draining), tokio::time::sleep(notice));
        withdraw(announce, Withdrawal::Gone).await;

        let (Served { cut }, died) = servers.end(grace).await;
        if cut > 0 {
            tracing::error!(
                cut,
                grace_ms = millis(grace),
                "requests were cut at the end of the grace (lifecycle.grace)"
            );
        }
        let hooks = self.plan(|plan| std::mem::take(&mut plan.stop));
        tracing::info!(took_ms = millis(began.elapsed()), cut, "stopped");
        self.end_quietly(hooks, (propagation + grace + flush).saturating_sub(began.elapsed())).await;
        Ended { cut, failure: why.failure.or(died) }
    }

    /// What happens after the last request: tasks, hooks in reverse, telemetry.
    ///
    /// Each has `lifecycle.flush`, and all together `left`: whoever hangs costs no more than half of that, so
    /// that those behind him still get a turn before the platform underneath loses its patience.
    async fn end_quietly(&self, hooks: Vec<Hook>, left: Duration) {
        let began = tokio::time::Instant::now();
        let flush = self.0.lifecycle.flush;
        let left = || left.saturating_sub(began.elapsed());
        drop(self.0.tasks.drain.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.0.tasks.trigger.ask();
        let limit = flush.min(left() / 2);
        if timeout(limit, self.0.tasks.trigger.finished()).await.is_err() {
            tracing::warn!(
                limit_ms = millis(limit),
                "background tasks did not end in time and are dropped (lifecycle.flush)"
            );
        }
        for hook in hooks.into_iter().rev() {
            let name = hook.name.clone();
            let limit = flush.min(left() / 2);
            // A hook that panics must not take the others and the last lines with it.
            let run = AssertUnwindSafe(async { (hook.run)().await }).catch_unwind();
            let ended = timeout(limit, run).await.map(|ended| {
                ended.unwrap_or_else(|panic| Err(Error::new(ErrorKind::Panic, panic_text(&*panic))))
            });
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(hook = name, error = ?error, "a stop hook failed"),
                Err(_) => tracing::warn!(
                    hook = name,
                    limit_ms = millis(limit),
                    "a stop hook did not end in time (lifecycle.flush)"
                ),
            }
        }
        if let Err(error) = self.0.telemetry.flush(flush.min(left())).await {
            complain(&error);
        }
    }

    /// Refuses what is set and read by nobody: a client that this service does not make, a mistyped section.
    /// A section of the platform that this service has no part for is fine, because files are shared.
    fn refuse_unread(&self) -> Result<()> {
        for section in SHARED_SECTIONS {
            self.0.config.claim(section)?;
        }
        self.0.config.refuse_unclaimed()
    }

    fn do_errand(&self, errand: Errand) -> ExitCode {
        self.logs().flush(PATIENCE);
        if let Err(error) = self.refuse_unread() {
            complain(&error);
            return ExitCode::from(error.kind().exit_code());
        }
        match errand {
            Errand::Describe => say(&format!("{:#}", self.description())),
            _ => say(&format!("configuration is fine: {}", self.identity())),
        }
        ExitCode::SUCCESS
    }

    fn description(&self) -> Value {
        let mut description = json!({
            "identity": &**self.identity(), "slo": self.objectives(), "own": self.own(),
            "config": self.config().effective(),
        });
        for (part, tell) in self.plan(|plan| std::mem::take(&mut plan.describe)) {
            description[part] = tell();
        }
        // A team's own behind the platform's, of which the protocol's crate tells.
        if let Value::Array(own) = &self.0.own_metrics
            && !own.is_empty()
        {
            match &mut description["metrics"] {
                Value::Array(all) => all.extend_from_slice(own),
                nobodys => *nobodys = json!(own),
            }
        }
        description
    }
}

/// Everything that may ask the process to stop.
struct Asked {
    signals: Option<Signals>,
    channel: mpsc::UnboundedReceiver<Stop>,
}

/// Why the process stops.
struct Why {
    who: String,
    why: String,
    /// A person waits at a terminal: nobody needs time to notice.
    by_hand: bool,
    /// It stands among the changes since it was asked for.
    recorded: bool,
    failure: Option<Error>,
}

impl Asked {
    async fn next(&mut self) -> Why {
        let signal = async {
            match &mut self.signals {
                Some(signals) => signals.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = signal => Why {
                who: PLATFORM.to_owned(),
                why: format!("{} received", signal.as_str()),
                by_hand: signal == Signal::Interrupt,
                recorded: false,
                failure: None,
            },
            stop = self.channel.recv() => match stop {
                Some(Stop::Asked(Change { who, why, .. })) => {
                    Why { who, why, by_hand: false, recorded: true, failure: None }
                }
                Some(Stop::Death(error)) => Why {
                    who: PLATFORM.to_owned(),
                    why: error.to_string(),
                    by_hand: false,
                    recorded: false,
                    failure: Some(error),
                },
                // Unreachable while the App lives, which holds a sender.
                None => std::future::pending().await,
            },
        }
    }

    /// From here on another signal means it. A thread and a runtime of its own: what hangs may be the runtime of
    /// the process, or its last worker.
    fn end_at_once_on_the_next(&mut self) {
        let Some(heard) = self.signals.take() else { return };
        let listening = runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            let entered = runtime.enter();
            let signals = Signals::listen();
            drop(entered);
            let wait = move || {
                if let Ok(mut signals) = signals {
                    let signal = runtime.block_on(signals.next());
                    tell(format!("{} again: ending at once\n", signal.as_str()));
                    process::exit(128 + i32::from(signal.number()));
                }
            };
            thread::Builder::new().name("second-signal".to_owned()).spawn(wait)
        });
        if let Err(error) = listening {
            tracing::warn!(error = ?error, "no thread to wait for a second signal; only SIGKILL ends it at once");
        }
        drop(heard);
    }
}

fn interrupted(why: &Why) -> Error {
    why.failure
        .clone()
        .unwrap_or_else(|| Error::new(ErrorKind::Abandoned, format!("stopped while starting: {}", why.why)))
}

/// All at once, and not for long: a registry that hangs must not keep the process from its end.
async fn withdraw(announce: &[Box<dyn Announce>], step: Withdrawal) {
    let each = announce.iter().map(|announcement| async move {
        let silent = |_| Err(Error::new(ErrorKind::Timeout, format!("no answer within {WITHDRAWN:?}")));
        if let Err(error) = timeout(WITHDRAWN, announcement.withdraw(step)).await.unwrap_or_else(silent) {
            tracing::warn!(error = ?error, step = ?step, "not withdrawn; the lease will end by itself");
        }
    });
    join_all(each).await;
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// A file for a whole company may set these for services that have no use for them.
const SHARED_SECTIONS: [&str; 4] = ["server", "admin", "defaults", "discovery"];
/// A registry answers in milliseconds or not at all; the lease does the rest.
const WITHDRAWN: Duration = Duration::from_secs(1);
/// A probe or a scrape under way ends in this; nothing else is asked of the admin listener.
const ADMIN_GRACE: Duration = Duration::from_millis(200);
