//! The fleet, run as a person runs it: real processes, real signals, one machine.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{
    fs,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep, timeout},
};

/// A fleet under test, alone on the machine and with a temporary folder of its own.
struct Fleet {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    /// Everything it printed so far.
    said: String,
    temporary: TempDir,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Fleet {
    async fn start(arguments: &[&str]) -> Fleet {
        Fleet { _alone: Some(ALONE.lock().await), ..Fleet::beside(arguments, &[]) }
    }

    /// Without waiting for others to be over.
    fn beside(arguments: &[&str], environment: &[(&str, &str)]) -> Fleet {
        let temporary = TempDir::new().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_fleet"))
            .args(arguments)
            .envs(environment.iter().copied())
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Fleet { child, out, said: String::new(), temporary, _alone: None }
    }

    /// Reads until a line contains `word`, and returns that line.
    async fn until(&mut self, word: &str) -> String {
        let read = async {
            while let Some(line) = self.out.next_line().await.unwrap() {
                self.said += &line;
                self.said.push('\n');
                if line.contains(word) {
                    return Some(line);
                }
            }
            None
        };
        match timeout(LIMIT, read).await {
            Ok(Some(line)) => line,
            _ => panic!("the fleet never said {word:?}; it said:\n{}", self.said),
        }
    }

    /// Waits for its end; what it printed, what it complained about, and how it ended.
    async fn end(&mut self) -> (ExitStatus, String, String) {
        let mut complaints = String::new();
        let mut err = self.child.stderr.take().unwrap();
        let read = async {
            while let Some(line) = self.out.next_line().await.unwrap() {
                self.said += &line;
                self.said.push('\n');
            }
            err.read_to_string(&mut complaints).await.unwrap();
            self.child.wait().await.unwrap()
        };
        let Ok(status) = timeout(LIMIT, read).await else {
            panic!("it did not end; it said:\n{}", self.said)
        };
        (status, self.said.clone(), complaints)
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Its processes: every instance names the fleet's folder in its arguments.
    fn instances(&self) -> Vec<(Pid, String)> {
        processes(self.temporary.path())
    }

    fn leaves_nothing_behind(&self) {
        assert_eq!(self.instances(), [], "processes are left");
        let left: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "files are left: {left:?}");
    }
}

fn processes(folder: &Path) -> Vec<(Pid, String)> {
    let folder = folder.to_str().unwrap();
    let all = fs::read_dir("/proc").unwrap().flatten();
    let found = all.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let arguments = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        arguments.contains(folder).then_some((pid, arguments))
    });
    found.collect()
}

#[tokio::test]
async fn instances_come_and_go_and_no_user_notices() {
    let mut fleet = Fleet::start(&["--for", "6s", "--kill-every=1s", "--rps", "50"]).await;
    let (status, said, complaints) = fleet.end().await;
    assert_eq!(status.code(), Some(0), "{said}\n{complaints}");
    assert!(said.contains(" 0 failed"), "{said}");
    assert!(said.contains("edge-1 was asked to stop and drained"), "{said}");
    assert!(said.contains("catalog-1 is back"), "{said}");
    assert!(!said.contains("Not stopped clean"), "{said}");
    let number_before = |word: &str| {
        let before = said.split(word).next().unwrap();
        before.split(' ').next_back().unwrap().parse::<u64>().unwrap()
    };
    // Whoever stops the users may be late by a moment, in which they go on at their pace.
    let sent = number_before(" requests in ");
    assert!((280..=315).contains(&sent), "open loop: 50 a second for 6 s\n{said}");
    let plain = |line: &str| line.starts_with("[  5s] users ") && line.contains(" 0 errors ");
    assert!(said.lines().any(plain), "{said}");
    // Streams to an instance that stops end well, and are opened again to another.
    assert!(number_before(" ended and were opened again, 0 broken.") > 0, "{said}");
    assert!(said.contains(" ratings over 12 streams; "), "{said}");
    fleet.leaves_nothing_behind();
}

#[tokio::test]
async fn ratings_fail_on_purpose_and_no_user_notices() {
    let fault = "--fault=ratings:error=100%,after=1s,for=4s";
    let mut fleet = Fleet::start(&["--for", "6s", "--rps", "100", fault]).await;
    let (status, said, complaints) = fleet.end().await;
    assert_eq!(status.code(), Some(0), "{said}\n{complaints}");
    assert!(said.contains(" 0 failed"), "{said}");
    let at = |line: &str| said.find(line).unwrap_or_else(|| panic!("no {line:?} in\n{said}"));
    assert!(at("\nFault: ratings error=100% for 4s\n") < at("\nFault: ratings error=100% is over\n"));
    let hit = at("\nFault: ratings error=100% for 4s, calls hit: ");
    let number_behind = |place: usize, word: &str| {
        let behind = said[place..].split_once(word).unwrap().1;
        behind.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert!(number_behind(hit, "calls hit: ") > 0, "{said}");
    // 45 of 100 requests ask ratings; the first few find out, the rest are told by the breaker.
    let degraded = number_behind(at("\nDegraded replies: "), "replies: ");
    assert!((90..=360).contains(&degraded), "{degraded}\n{said}");
    let plain = |line: &str| line.starts_with("[  5s] users ") && line.contains(" | to ratings: breaker ");
    assert!(said.lines().any(plain), "{said}");
    fleet.leaves_nothing_behind();
}

#[tokio::test]
async fn one_request_has_one_trace_in_every_service_it_touched() {
    let mut fleet = Fleet::start(&["--for", "2s", "--rps", "50"]).await;
    let (_, said, _) = fleet.end().await;
    let (heading, lines) = said.split_once("\nOne request: ").unwrap().1.split_once('\n').unwrap();
    let trace = heading.split_whitespace().last().unwrap();
    assert!(trace.len() == 32 && trace.chars().all(|c| c.is_ascii_hexdigit()), "{heading}");
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines.iter().all(|line| line.contains(&format!("trace_id={trace}"))), "{lines:?}");
    let touched = |service: &str| lines.iter().filter(|line| line.trim_start().starts_with(service)).count();
    let touched = ["edge-", "recommendations-", "catalog-"].map(touched);
    assert_eq!((touched, lines.len()), ([1, 1, 1], 3), "{lines:?}");
}

#[tokio::test]
async fn wrong_flags_are_explained() {
    for arguments in [&["--fro", "20s"][..], &["--for", "20"], &["--rps", "0"], &["--fault", "edge:error=1%"]]
    {
        let (status, said, complaints) = Fleet::beside(arguments, &[]).end().await;
        assert_eq!(status.code(), Some(2), "{arguments:?}");
        assert!(said.is_empty() && complaints.contains("--kill-every LENGTH"), "{complaints}");
    }
    let (status, said, _) = Fleet::beside(&["--help"], &[]).end().await;
    assert!(status.success() && said.contains("--kill-every LENGTH"), "{said}");
}

#[tokio::test]
async fn a_taken_port_is_told_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut fleet = Fleet::beside(&["--port", &port], &[]);
    let (status, said, complaints) = fleet.end().await;
    assert_eq!((status.code(), said.as_str()), (Some(69), ""));
    assert!(complaints.contains(&format!("port {port} cannot be taken")), "{complaints}");
    fleet.leaves_nothing_behind();
}

#[tokio::test]
async fn the_port_asked_for_is_served_and_a_second_fleet_runs_beside_the_first() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port().to_string();
    let mut first = Fleet::start(&["--for", "3s", "--rps", "20", "--port", &free]).await;
    first.until(&format!("http://127.0.0.1:{free}/")).await;
    let mut second = Fleet::beside(&["--for", "1s", "--rps", "20"], &[]);
    for fleet in [&mut second, &mut first] {
        let (status, said, complaints) = fleet.end().await;
        assert_eq!(status.code(), Some(0), "{said}\n{complaints}");
        fleet.leaves_nothing_behind();
    }
}

#[tokio::test]
async fn what_cannot_start_says_why_and_leaves_nothing_behind() {
    let alone = ALONE.lock().await;
    let mut fleet = Fleet::beside(&[], &[("PLATFORM__LIFECYCLE__GRACE", "a while")]);
    let (status, said, complaints) = fleet.end().await;
    drop(alone);
    assert_eq!(status.code(), Some(69), "{said}\n{complaints}");
    assert!(complaints.contains("did not start (exit status: 78)"), "{complaints}");
    assert!(complaints.contains("PLATFORM__LIFECYCLE__GRACE"), "the log's end: {complaints}");
    fleet.leaves_nothing_behind();
}

#[tokio::test]
async fn ctrl_c_ends_in_order_and_waits_for_nothing() {
    let mut fleet = Fleet::start(&["--rps", "50", "--kill-every", "500ms"]).await;
    fleet.until("was asked to stop").await;
    let asked = Instant::now();
    fleet.signal(Signal::INT);
    let (status, said, complaints) = fleet.end().await;
    assert_eq!(status.code(), Some(0), "{said}\n{complaints}");
    assert!(asked.elapsed() < Duration::from_secs(5), "took {:?}", asked.elapsed());
    assert!(said.contains(" 0 failed") && said.contains(", the edge first."), "{said}");
    fleet.leaves_nothing_behind();
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut fleet = Fleet::start(&["--rps", "50"]).await;
    fleet.until("Ready in").await;
    // One that hangs, so that the end in order takes long.
    let hung = fleet.instances().into_iter().find(|(_, line)| line.contains("service.instance=edge-1"));
    kill_process(hung.unwrap().0, Signal::STOP).unwrap();
    let asked = Instant::now();
    fleet.signal(Signal::INT);
    // Two of a kind sent in one moment may arrive as one.
    fleet.signal(Signal::TERM);
    let (status, said, _) = fleet.end().await;
    assert!(matches!(status.code(), Some(130 | 143)), "{status}\n{said}");
    assert!(!said.contains("Users:") && asked.elapsed() < Duration::from_secs(5), "{said}");
    gone(&fleet).await;
    fleet.leaves_nothing_behind();
}

#[tokio::test]
async fn a_process_that_dies_is_shown_and_started_again() {
    let mut fleet = Fleet::start(&["--rps", "20"]).await;
    fleet.until("Ready in").await;
    let victim = fleet.instances().into_iter().find(|(_, line)| line.contains("service.instance=ratings-2"));
    kill_process(victim.unwrap().0, Signal::KILL).unwrap();
    fleet.until("ratings-2 died (signal: 9 (SIGKILL)) and is started again").await;
    fleet.until("ratings-2 is back").await;
    fleet.signal(Signal::TERM);
    let (_, said, _) = fleet.end().await;
    assert!(said.contains("Died by themselves and started again: 1."), "{said}");
    fleet.leaves_nothing_behind();
}

#[tokio::test]
async fn no_instance_outlives_its_operator() {
    let mut fleet = Fleet::start(&["--rps", "20"]).await;
    fleet.until("Ready in").await;
    assert_eq!(fleet.instances().len(), 11);
    fleet.signal(Signal::KILL);
    gone(&fleet).await;
}

#[tokio::test]
async fn on_etcd_instances_are_killed_and_no_user_notices() {
    if !is_there("etcd") {
        return;
    }
    let flags = ["--registry", "etcd", "--for", "6s", "--kill-every=1s", "--kill-with=kill", "--rps", "50"];
    let mut fleet = Fleet::start(&flags).await;
    let (status, said, complaints) = fleet.end().await;
    assert_eq!(status.code(), Some(0), "{said}\n{complaints}");
    assert!(said.contains(" 0 failed"), "{said}");
    for line in ["catalog-1 was killed", "catalog-1 is back after", "ratings-1 is back after"] {
        assert!(said.contains(line), "{line:?} in\n{said}");
    }
    fleet.leaves_nothing_behind();
}

#[tokio::test]
async fn a_registry_that_dies_and_comes_back_costs_no_user_anything() {
    if !is_there("etcd") {
        return;
    }
    let flags = ["--registry=etcd", "--for=9s", "--registry-down", "at=1s,for=6s", "--rps", "50"];
    let mut fleet = Fleet::start(&flags).await;
    let (status, said, complaints) = fleet.end().await;
    assert_eq!(status.code(), Some(0), "{said}\n{complaints}");
    assert!(said.contains(" 0 failed"), "{said}");
    let at = |line: &str| said.find(line).unwrap_or_else(|| panic!("no {line:?} in\n{said}"));
    assert!(at("\nRegistry: etcd was killed") < at("\nRegistry: etcd is started again"));
    assert!(said.contains("\nRegistry: killed after 1s, away for 6s."), "{said}");
    fleet.leaves_nothing_behind();
}

#[tokio::test]
async fn an_etcd_of_the_fleet_does_not_outlive_its_operator_either() {
    if !is_there("etcd") {
        return;
    }
    let mut fleet = Fleet::start(&["--registry=etcd", "--rps", "20"]).await;
    fleet.until("Ready in").await;
    // The instances, etcd, and who holds it.
    assert_eq!(fleet.instances().len(), 13);
    fleet.signal(Signal::KILL);
    gone(&fleet).await;
}

#[tokio::test]
async fn an_etcd_that_is_not_installed_is_told_before_anything_starts() {
    let mut fleet = Fleet::beside(&["--registry", "etcd"], &[("PATH", "/nonexistent")]);
    let (status, said, complaints) = fleet.end().await;
    assert_eq!((status.code(), said.as_str()), (Some(69), ""));
    assert!(complaints.contains("apt-get install etcd-server"), "{complaints}");
    fleet.leaves_nothing_behind();
}

/// Whether there is a program of others; a line, or a failure where it has to be there, if not.
fn is_there(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).any(|folder| folder.join(program).is_file());
    if !found {
        let required = std::env::var_os("PLATFORM_REQUIRE_OUTSIDE").is_some_and(|value| value == "1");
        assert!(!required, "{program} is missing; on Debian: apt-get install etcd-server");
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// Waits until no process of the fleet is left.
async fn gone(fleet: &Fleet) {
    let wait = async {
        while !fleet.instances().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(LIMIT, wait).await.is_ok(), "left: {:?}", fleet.instances());
}

/// Eleven processes each: one fleet after the other, so that a busy machine fails no user.
static ALONE: Mutex<()> = Mutex::const_new(());
/// Nothing here takes so long unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);
