//! How is an etcd of our own kept?
//!
//! As a process of the fleet with a folder in the fleet's, on free ports of this machine. It stands behind a process
//! of this program that holds it on a leash: an etcd does not outlive its operator either.

use std::{
    collections::BTreeMap,
    env, fs,
    net::{SocketAddr, TcpListener},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, future::join_all};
use platform_core::{Error, ErrorKind, Result};
use platform_discovery::{Resolve as _, Snapshots, Target, config, source};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, Command},
    sync,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::super::{folder::Folder, instance::Addresses, instance::program, screen::seconds};
use crate::{company::Role, outage::Outage};

/// An etcd with one member.
#[derive(Debug)]
pub(crate) struct Etcd {
    folder: Arc<Folder>,
    client: String,
    peer: String,
    child: sync::Mutex<Option<Child>>,
    seen: Arc<Seen>,
    /// Ends with it.
    _following: JoinSet<()>,
}

/// What every instance says of itself, by its name.
#[derive(Debug, Default)]
struct Seen(Mutex<BTreeMap<String, Addresses>>);

impl Etcd {
    pub(super) async fn start(folder: &Arc<Folder>) -> Result<Self> {
        let folders = env::var_os("PATH").unwrap_or_default();
        if !env::split_paths(&folders).any(|folder| folder.join(PROGRAM).is_file()) {
            let what = "there is no program named etcd here; install it (Debian: apt-get install etcd-server), or leave \
                        --registry out: a folder needs no program";
            return Err(Error::new(ErrorKind::Start, what));
        }
        let [client, peer] = free_ports()?.map(|address| format!("http://{address}"));
        let seen = Arc::<Seen>::default();
        let mut etcd = Etcd {
            folder: Arc::clone(folder),
            client,
            peer,
            child: sync::Mutex::default(),
            seen: Arc::clone(&seen),
            _following: JoinSet::new(),
        };
        etcd.begin().await?;
        let settings = config::Etcd { endpoints: vec![etcd.client.clone()], ..config::Etcd::default() };
        let source = source::Etcd::of(&settings)?;
        let mut answers = Vec::new();
        for role in Role::ALL {
            answers.push(source.resolve(&Target::parse(&format!("etcd://{}", role.name()))?));
        }
        let answered = timeout(START_LIMIT, join_all(answers.iter_mut().map(first))).await;
        if answered.is_err() {
            let tail =
                folder.tail(PROGRAM, TAIL_LINES).iter().map(|line| format!("\n  {line}")).collect::<String>();
            let what =
                format!("etcd did not answer within {}; the end of its log:{tail}", seconds(START_LIMIT));
            return Err(Error::new(ErrorKind::Start, what));
        }
        for answers in answers {
            etcd._following.spawn(Arc::clone(&seen).follow(answers));
        }
        Ok(etcd)
    }

    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            // Nobody writes there; by it a process is known as one of this fleet.
            ("discovery.dir.path", self.folder.registry().display().to_string()),
            ("discovery.registry", "etcd".to_owned()),
            ("discovery.etcd.endpoints", format!("[\"{}\"]", self.client)),
        ]
    }

    pub(super) fn look(&self) -> String {
        format!("etcdctl --endpoints={} get --prefix /platform/services", self.client)
    }

    pub(super) fn addresses(&self, instance: &str) -> Option<Addresses> {
        self.seen.lock().get(instance).copied()
    }

    pub(super) async fn go_away(&self, outage: Outage, tell: impl Fn(String)) {
        sleep(outage.at).await;
        let killed = Instant::now();
        self.stop().await;
        tell(format!("Registry: etcd was killed, and stays away for {}", seconds(outage.length)));
        sleep(outage.length).await;
        match self.begin().await {
            Ok(()) => tell(format!("Registry: etcd is started again after {}", seconds(killed.elapsed()))),
            Err(error) => tell(format!("Registry: {}", error.detail())),
        }
    }

    /// Kills it with all its processes.
    pub(super) async fn stop(&self) {
        let Some(mut child) = self.child.lock().await.take() else { return };
        if let Some(pid) = pid(&child) {
            // One that has ended in this moment needs no signal.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        // It was told to end in a way that nothing survives.
        let _ = child.wait().await;
        self.folder.ended(PROGRAM);
    }

    /// Starts it on the same ports, with what it has stored.
    async fn begin(&self) -> Result<()> {
        let failed = |error| Error::new(ErrorKind::Start, "etcd cannot be started").with_source(error);
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.log(PROGRAM))
            .map_err(failed)?;
        let mut command = Command::new(program().map_err(failed)?);
        command.args(["--role", PROGRAM, "--name", "fleet"]);
        command.arg("--data-dir").arg(self.folder.path().join("etcd"));
        command.args(["--listen-client-urls", &self.client, "--advertise-client-urls", &self.client]);
        command.args(["--listen-peer-urls", &self.peer, "--initial-advertise-peer-urls", &self.peer]);
        command.args(["--initial-cluster", &format!("fleet={}", self.peer)]);
        command
            // Held, never written: as for every process of the fleet.
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(failed)?;
        if let Some(pid) = pid(&child) {
            self.folder.began(PROGRAM, pid);
        }
        *self.child.lock().await = Some(child);
        Ok(())
    }
}

impl Seen {
    /// Whoever is in the answer is where it says; an error says nothing about anybody.
    async fn follow(self: Arc<Self>, mut answers: Snapshots) {
        let mut known: Vec<String> = Vec::new();
        while let Some(answer) = answers.next().await {
            let Ok(answer) = answer else { continue };
            let mut seen = self.lock();
            for gone in known.drain(..) {
                seen.remove(&gone);
            }
            for endpoint in answer.found().iter().map(|found| &found.endpoint) {
                if let Some(admin) = endpoint.admin {
                    seen.insert(endpoint.instance.clone(), Addresses { service: endpoint.address, admin });
                    known.push(endpoint.instance.clone());
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Addresses>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until the source has answered.
async fn first(answers: &mut Snapshots) {
    while !matches!(answers.next().await, Some(Ok(_)) | None) {}
}

/// Free at this moment.
fn free_ports() -> Result<[SocketAddr; 2]> {
    let failed = |error| Error::new(ErrorKind::Start, "no free port for etcd").with_source(error);
    let listen = || TcpListener::bind("127.0.0.1:0").map_err(failed);
    let (client, peer) = (listen()?, listen()?);
    Ok([client.local_addr().map_err(failed)?, peer.local_addr().map_err(failed)?])
}

fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
}

/// The program, the role of its keeper, and the name of its log.
const PROGRAM: &str = "etcd";
/// It takes a tenth of a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Enough to see why.
const TAIL_LINES: usize = 8;
