//! A real etcd: members on loopback with temporary folders, started and ended by the test, by process.

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// A cluster under test. Dropping it ends its processes.
pub(crate) struct Etcd {
    pub(crate) folder: tempfile::TempDir,
    members: Vec<Member>,
    more: Vec<String>,
    scheme: &'static str,
    /// What `etcdctl` has to say beside the question.
    pub(crate) ctl: Vec<String>,
}

struct Member {
    client: u16,
    peer: u16,
    child: Option<Child>,
}

impl Etcd {
    /// A cluster of so many members; `None`, and a line, if etcd is not there and need not be.
    pub(crate) async fn start(count: usize) -> Option<Etcd> {
        Etcd::start_with(count, "http", |_| Vec::new()).await
    }

    /// The same with more flags, which may name files in the cluster's folder.
    pub(crate) async fn start_with(
        count: usize,
        scheme: &'static str,
        more: impl FnOnce(&Path) -> Vec<String>,
    ) -> Option<Etcd> {
        if !is_there("etcd") || !is_there("etcdctl") {
            let required = env::var_os("PLATFORM_REQUIRE_OUTSIDE").is_some_and(|value| value == "1");
            assert!(
                !required,
                "etcd and etcdctl are missing; on Debian: apt-get install etcd-server etcd-client"
            );
            eprintln!("skipped: etcd and etcdctl are not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports(2 * count);
        let members =
            ports.chunks(2).map(|ports| Member { client: ports[0], peer: ports[1], child: None }).collect();
        let more = more(folder.path());
        let mut etcd = Etcd { folder, members, more, scheme, ctl: Vec::new() };
        for index in 0..count {
            etcd.begin(index);
        }
        Some(etcd)
    }

    /// Waits until a question is answered.
    pub(crate) async fn ready(&self) {
        let begun = Instant::now();
        loop {
            let (good, said) = self.try_ctl(&["get", "nothing"]);
            if good {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "etcd does not answer: {said}\n{}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where members are asked.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|index| self.endpoint(index)).collect()
    }

    pub(crate) fn endpoint(&self, index: usize) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.members[index].client)
    }

    pub(crate) fn client_port(&self, index: usize) -> u16 {
        self.members[index].client
    }

    /// Starts a member, with what is left of its folder.
    pub(crate) fn begin(&mut self, index: usize) {
        let client = self.endpoint(index);
        let peers = self.members.iter().enumerate();
        let cluster = peers.map(|(index, member)| format!("m{index}=http://127.0.0.1:{}", member.peer));
        let cluster = cluster.collect::<Vec<_>>().join(",");
        let peer = format!("http://127.0.0.1:{}", self.members[index].peer);
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let child = Command::new("etcd")
            .args(["--name", &format!("m{index}")])
            .arg("--data-dir")
            .arg(self.data(index))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &cluster])
            // Leases are at least one and a half elections long.
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.members[index].child = Some(child);
    }

    /// Ends a member without a word.
    pub(crate) fn kill(&mut self, index: usize) {
        let mut child = self.members[index].child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops a member in the middle of what it does; its connections stay open.
    pub(crate) fn freeze(&self, index: usize) {
        self.signal(index, Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self, index: usize) {
        self.signal(index, Signal::CONT);
    }

    /// Removes all that a member has stored.
    pub(crate) fn wipe(&self, index: usize) {
        fs::remove_dir_all(self.data(index)).unwrap();
    }

    /// Who leads.
    pub(crate) fn leader(&self) -> usize {
        let said = self.ctl(&["endpoint", "status", "-w", "json"]);
        let all: serde_json::Value = serde_json::from_str(&said).unwrap();
        let of = |one: &serde_json::Value, path: &str| one.pointer(path).and_then(serde_json::Value::as_u64);
        let all = all.as_array().unwrap();
        let leads =
            |one: &&serde_json::Value| of(one, "/Status/leader") == of(one, "/Status/header/member_id");
        let leader = all.iter().find(leads).unwrap();
        let endpoint = leader["Endpoint"].as_str().unwrap();
        self.endpoints().iter().position(|known| known == endpoint).unwrap()
    }

    /// What `etcdctl` answers; it has to.
    pub(crate) fn ctl(&self, question: &[&str]) -> String {
        let (good, said) = self.try_ctl(question);
        assert!(good, "etcdctl {question:?}: {said}\n{}", self.log());
        said
    }

    /// What `etcdctl` answers, and whether it was content.
    pub(crate) fn try_ctl(&self, question: &[&str]) -> (bool, String) {
        let out = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.endpoints().join(",")))
            .args(["--dial-timeout=1s", "--command-timeout=2s"])
            .args(&self.ctl)
            .args(question)
            .output()
            .unwrap();
        let said = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
    }

    /// Writes all of them in one transaction; at most 128 of them, and 1.5 MiB in all.
    pub(crate) fn put_together(&self, pairs: &[(String, String)]) {
        // No condition, what is done then, and what is done otherwise, with an empty line behind each.
        let puts: String = pairs.iter().map(|(key, value)| format!("put {key} {value}\n")).collect();
        let mut child = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.endpoints().join(",")))
            .arg("txn")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(format!("\n{puts}\n\n").as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn data(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("m{index}"))
    }

    fn signal(&self, index: usize, signal: Signal) {
        let child = self.members[index].child.as_ref().unwrap();
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for child in self.members.iter_mut().filter_map(|member| member.child.as_mut()) {
            // A frozen one too; who is gone already needs neither.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn is_there(program: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// Free at this moment, each of them another.
fn free_ports(count: usize) -> Vec<u16> {
    let taken: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    taken.iter().map(|taken| taken.local_addr().unwrap().port()).collect()
}

const LIMIT: Duration = Duration::from_secs(20);
