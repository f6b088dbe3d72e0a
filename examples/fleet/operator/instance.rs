//! Who keeps one instance running?
//!
//! A task of its own per instance: it starts the process, sees it become ready, stops it when asked, and starts
//! it again when it dies by itself.

use std::{
    env, fs,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use platform_core::lifecycle::Signal;
use rustix::process::{Pid, kill_process};
use serde::Deserialize;
use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    folder::Folder,
    registry::Registry,
    scrape::{Ledger, fetch},
};
use crate::company::Post;

/// One instance, as the operator holds it.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) post: Arc<Post>,
    orders: mpsc::UnboundedSender<Order>,
    state: watch::Receiver<State>,
}

/// How an instance is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// Counted from 1 with every start.
    pub(crate) life: u32,
    /// Where it serves and where its operators look, once it is ready.
    pub(crate) addresses: Option<Addresses>,
}

/// What its record in the registry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Addresses {
    #[serde(rename = "address")]
    pub(crate) service: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// Where an instance is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Down,
    Starting,
    Ready,
    Stopping,
}

/// What happened to an instance.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// It serves.
    Ready { instance: String, life: u32, took: Duration, addresses: Addresses },
    /// It was asked to stop, and did; `how` is empty if it drained clean.
    Stopped { instance: String, took: Duration, how: String },
    /// It was killed because somebody asked for that.
    Killed { instance: String },
    /// It ended and nobody had asked.
    Died { instance: String, how: String, tail: Vec<String> },
    /// Something went wrong on purpose, or does no more.
    Fault(String),
}

/// How an instance is stopped before it is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// With SIGTERM: it drains.
    #[default]
    Asked,
    /// With SIGKILL: it says nothing to anybody.
    Killed,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Restart(Manner),
    Stop(Signal),
}

/// What every keeper needs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) folder: Arc<Folder>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    /// This program.
    pub(crate) program: PathBuf,
}

impl Instance {
    /// Starts the instance and keeps it running, on a task among `tasks`.
    pub(crate) fn keep(post: Post, place: Place, tasks: &mut JoinSet<()>) -> Self {
        let (orders, asked) = mpsc::unbounded_channel();
        let (told, state) = watch::channel(State::default());
        let post = Arc::new(post);
        tasks.spawn(Keeper { post: Arc::clone(&post), place, orders: asked, state: told }.keep());
        Instance { post, orders, state }
    }

    /// How it is.
    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Waits until it is ready in a later life than `life`.
    pub(crate) async fn ready_after(&self, life: u32) {
        let mut state = self.state.clone();
        let ready = |state: &State| state.phase == Phase::Ready && state.life > life;
        let gone = state.wait_for(ready).await.is_err();
        if gone {
            // Its keeper has stopped it for good; whoever waits is stopped as well.
            std::future::pending::<()>().await;
        }
    }

    /// Stops it and starts it again.
    pub(crate) fn restart(&self, manner: Manner) {
        // A keeper that is gone has nothing left to restart.
        let _ = self.orders.send(Order::Restart(manner));
    }

    /// Stops it for good, and waits until it is gone.
    pub(crate) async fn stop(&self, signal: Signal) {
        let _ = self.orders.send(Order::Stop(signal));
        let mut state = self.state.clone();
        // The keeper drops its end when it is done.
        while state.changed().await.is_ok() {}
    }
}

struct Keeper {
    post: Arc<Post>,
    place: Place,
    orders: mpsc::UnboundedReceiver<Order>,
    state: watch::Sender<State>,
}

/// How one life ended.
enum End {
    Asked(Order),
    Died(String),
}

impl Keeper {
    async fn keep(mut self) {
        let mut deaths = 0;
        loop {
            let born = Instant::now();
            match self.live().await {
                End::Asked(Order::Restart(_)) => deaths = 0,
                End::Asked(Order::Stop(_)) => return,
                End::Died(how) => {
                    deaths = if born.elapsed() > STEADY { 1 } else { deaths + 1 };
                    self.change(|state| *state = State { phase: Phase::Down, addresses: None, ..*state });
                    self.place.registry.forget(self.post.role, &self.post.instance);
                    let instance = self.post.instance.clone();
                    let tail = self.place.folder.tail(&instance, TAIL_LINES);
                    self.tell(Event::Died { instance, how, tail });
                    tokio::select! {
                        () = sleep(pause(deaths)) => {}
                        order = self.orders.recv() => if !matches!(order, Some(Order::Restart(_))) { return },
                    }
                }
            }
        }
    }

    /// One life, from start to end.
    async fn live(&mut self) -> End {
        let born = Instant::now();
        // What an earlier life left behind is not this one's word; the admin's port is another each time.
        let stale = self.addresses();
        let mut child = match self.start() {
            Ok(child) => child,
            Err(error) => return End::Died(format!("did not start: {error}")),
        };
        // Held, never written: an instance whose operator vanishes reads the end of it and stops.
        let leash = child.stdin.take();
        self.change(|state| *state = State { phase: Phase::Starting, life: state.life + 1, addresses: None });
        let order = {
            let mut ready = std::pin::pin!(until_ready(&self.place.registry, &self.post, stale));
            loop {
                let starting = self.state.borrow().phase == Phase::Starting;
                tokio::select! {
                    status = child.wait() => {
                        self.place.folder.ended(&self.post.instance);
                        return End::Died(describe(status));
                    }
                    order = self.orders.recv() => break order.unwrap_or(Order::Stop(Signal::Interrupt)),
                    addresses = &mut ready, if starting => {
                        self.change(|state| {
                            state.phase = Phase::Ready;
                            state.addresses = Some(addresses);
                        });
                        let life = self.state.borrow().life;
                        let instance = self.post.instance.clone();
                        self.tell(Event::Ready { instance, life, took: born.elapsed(), addresses });
                    }
                }
            }
        };
        let order = self.stop(&mut child, order).await;
        drop(leash);
        End::Asked(order)
    }

    fn start(&self) -> std::io::Result<Child> {
        let Post { role, instance, zone, version, variant, settings } = &*self.post;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.place.folder.log(instance))?;
        let mut set = vec![
            ("service.instance", instance.clone()),
            ("service.zone", (*zone).to_owned()),
            ("service.version", (*version).to_owned()),
            ("service.variant", (*variant).to_owned()),
            ("admin.listen", "127.0.0.1:0".to_owned()),
            ("lifecycle.propagation", PROPAGATION.to_owned()),
            ("telemetry.log.format", "json".to_owned()),
        ];
        set.extend(self.place.registry.settings());
        set.extend(settings.iter().cloned());
        let mut command = Command::new(&self.place.program);
        command.args(["--role", role.name()]);
        for (key, value) in set {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command
            // A platform.toml or a profile of whoever runs the fleet is meant for something else.
            .current_dir(self.place.folder.path())
            .env_remove("PLATFORM_CONFIG")
            .env_remove("PLATFORM_PROFILE")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // The terminal's Ctrl-C is the operator's; it stops the services in order.
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn()?;
        if let Some(pid) = pid(&child) {
            self.place.folder.began(instance, pid);
        }
        Ok(child)
    }

    /// Asks the process to stop and waits until it has, reading its metrics to the last. A restart that is
    /// overtaken by a stop becomes one.
    async fn stop(&mut self, child: &mut Child, mut order: Order) -> Order {
        let asked = Instant::now();
        let signal = match order {
            Order::Restart(_) => Signal::Terminate,
            Order::Stop(signal) => signal,
        };
        let killed = matches!(order, Order::Restart(Manner::Killed));
        self.change(|state| state.phase = Phase::Stopping);
        if let Some(pid) = pid(child) {
            // One that has ended in this moment needs no signal.
            let _ = kill_process(pid, if killed { rustix::process::Signal::KILL } else { number(signal) });
        }
        let State { life, addresses, .. } = *self.state.borrow();
        let mut patience = std::pin::pin!(sleep(STOP_LIMIT));
        let mut impatient = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                () = &mut patience, if !impatient => {
                    impatient = true;
                    // It may have ended in this moment.
                    let _ = child.start_kill();
                }
                later = self.orders.recv(), if matches!(order, Order::Restart(_)) => {
                    order = later.unwrap_or(Order::Stop(signal));
                }
                () = sleep(LAST_READINGS) => if let Some(addresses) = addresses {
                    self.place.ledger.read(self.post.role, &self.post.instance, life, addresses.admin).await;
                },
            }
        };
        self.place.folder.ended(&self.post.instance);
        self.change(|state| *state = State { phase: Phase::Down, addresses: None, ..*state });
        let how = match &status {
            Ok(status) if status.success() => String::new(),
            _ if impatient => format!("did not end within {STOP_LIMIT:?} and was killed"),
            _ => describe(status),
        };
        let instance = self.post.instance.clone();
        self.tell(if killed {
            Event::Killed { instance }
        } else {
            Event::Stopped { instance, took: asked.elapsed(), how }
        });
        order
    }

    /// Where the instance says that it is.
    fn addresses(&self) -> Option<Addresses> {
        self.place.registry.addresses(self.post.role, &self.post.instance)
    }

    fn change(&self, edit: impl FnOnce(&mut State)) {
        self.state.send_modify(edit);
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more only when the fleet ends.
        let _ = self.place.events.send(event);
    }
}

/// The program that instances are started from: this one, as it is now.
pub(crate) fn program() -> std::io::Result<PathBuf> {
    env::current_exe()
}

/// Waits for the word of a new life and for its readiness probe.
async fn until_ready(registry: &Registry, post: &Post, stale: Option<Addresses>) -> Addresses {
    loop {
        let found = registry.addresses(post.role, &post.instance).filter(|found| Some(*found) != stale);
        if let Some(addresses) = found
            && fetch(addresses.admin, "/readyz").await.is_some()
        {
            return addresses;
        }
        sleep(LOOK).await;
    }
}

fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
}

fn number(signal: Signal) -> rustix::process::Signal {
    match signal {
        Signal::Interrupt => rustix::process::Signal::INT,
        Signal::Terminate => rustix::process::Signal::TERM,
    }
}

/// `exit status: 1`, `signal: 9 (SIGKILL)`.
fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// How long a process that keeps dying is left alone: half a second, doubling to 8 s.
fn pause(deaths: u32) -> Duration {
    Duration::from_millis(500) * 2_u32.pow(deaths.saturating_sub(1).min(4))
}

/// Registry and clients are on this machine and see a change within 250 ms.
const PROPAGATION: &str = "500ms";
/// What a stop may take by the platform's defaults, and a little: propagation, grace, flush.
const STOP_LIMIT: Duration = Duration::from_secs(26);
/// How often a stopping instance is read: what it serves while draining counts too.
const LAST_READINGS: Duration = Duration::from_millis(100);
/// How often the registry is looked at for a starting instance.
const LOOK: Duration = Duration::from_millis(20);
/// Whoever lived so long did not die of its start.
const STEADY: Duration = Duration::from_secs(30);
/// Enough to see why.
const TAIL_LINES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_keeps_dying_is_left_alone_longer_and_longer() {
        let pauses: Vec<u64> = (1..8).map(|deaths| pause(deaths).as_millis() as u64).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
    }

    #[test]
    fn addresses_are_read_from_the_record_of_the_contract() {
        let record = r#"{"name":"edge","instance":"edge-1","address":"127.0.0.1:1","admin":"127.0.0.1:2",
            "protocol":"http1","state":"ready","zone":"a","version":"1","variant":"stable","weight":1,
            "owner":"","expires_unix_ms":1}"#;
        let addresses: Addresses = serde_json::from_str(record).unwrap();
        assert_eq!(addresses.service.port(), 1);
        assert_eq!(addresses.admin.port(), 2);
    }
}
