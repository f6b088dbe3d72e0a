//! What only a whole process shows: signals, exit statuses, and the two standard streams.
//!
//! Without a harness: the program starts itself again as the process under test, as the scenario of that name.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{
    env,
    ffi::OsStr,
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, net::UnixStream},
    },
    process::{Child, Command, ExitCode, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use platform_core::{
    App, Error, ErrorKind,
    lifecycle::OnDeath,
    telemetry::catalogue::{Catalogue, GaugeSpec, Spec as _},
};

/// What only the smallest process measures.
static PARCELS: GaugeSpec<()> = GaugeSpec::new("parcels_waiting", "Parcels that wait to be fetched");

fn main() -> ExitCode {
    match env::var(SCENARIO).as_deref() {
        Ok("serves") => serves(),
        Ok("tells") => tells(),
        Ok("hangs") => hangs(),
        Ok("own-flags") => own_flags(),
        Ok("panics") => panics(),
        Ok("refuses") => refuses(),
        Ok(other) => unreachable!("{other}"),
        Err(_) => {
            for (name, test) in TESTS {
                test();
                println!("test {name} ... ok");
            }
            ExitCode::SUCCESS
        }
    }
}

const TESTS: [(&str, fn()); 9] = [
    ("what_an_errand_prints_is_all_that_is_printed", what_an_errand_prints_is_all_that_is_printed),
    (
        "what_nobody_read_is_told_at_the_end_of_a_program_that_serves_nothing",
        what_nobody_read_is_told_at_the_end_of_a_program_that_serves_nothing,
    ),
    ("a_reader_who_has_seen_enough_is_no_failure", a_reader_who_has_seen_enough_is_no_failure),
    ("what_was_said_before_an_early_end_is_written", what_was_said_before_an_early_end_is_written),
    ("an_argument_that_is_no_text_is_a_wrong_flag", an_argument_that_is_no_text_is_a_wrong_flag),
    ("flags_of_the_services_own_are_not_read_again", flags_of_the_services_own_are_not_read_again),
    ("a_signal_ends_it_in_order_with_status_zero", a_signal_ends_it_in_order_with_status_zero),
    ("a_second_signal_ends_what_no_worker_can", a_second_signal_ends_what_no_worker_can),
    ("streams_that_nobody_reads_hold_up_no_stop", streams_that_nobody_reads_hold_up_no_stop),
];

/// The smallest process: nothing to serve, and it says when it runs.
#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn serves() -> ExitCode {
    let parcels = Catalogue::default().room("parcels", vec![PARCELS.declared()], Vec::new());
    let app = App::builder("orders").own(parcels).start_process().await.unwrap();
    // As the protocol's crate does.
    app.describe("metrics", || serde_json::json!([{ "name": "everybodys_total" }]));
    tracing::warn!("said on the way");
    app.run().await.unwrap()
}

/// The same for whom nobody hears: it says on its standard input, which is a socket here, that it listens for signals,
/// because whatever is asked before a start comes after that.
#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn tells() -> ExitCode {
    let app = App::start("orders").await.unwrap();
    app.on_start("tells", || async {
        let input = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        UnixStream::from(input).write_all(b"!").unwrap();
        Ok(())
    });
    app.run().await.unwrap()
}

/// Whoever blocks the only worker while the process stops.
#[tokio::main(flavor = "current_thread")]
async fn hangs() -> ExitCode {
    let app = App::start("orders").await.unwrap();
    app.on_stop("blocks", || async {
        eprintln!("{BLOCKED}");
        loop {
            thread::park();
        }
    });
    app.spawn("idle", OnDeath::End, |drain| async move {
        drain.asked().await;
        Ok(())
    });
    app.run().await.unwrap()
}

/// A service with a flag of its own, which hands over the rest.
#[tokio::main(flavor = "current_thread")]
async fn own_flags() -> ExitCode {
    let rest = env::args().skip(1).filter(|argument| argument != "--films");
    let app = App::builder("orders").arguments(rest).start_process().await.unwrap();
    app.finish().await.unwrap();
    ExitCode::SUCCESS
}

/// A mistake in `main`, before anything runs.
#[tokio::main(flavor = "current_thread")]
async fn panics() -> ExitCode {
    let _app = App::start("orders").await.unwrap();
    panic!("no such table")
}

/// What a service cannot do without is not there.
#[tokio::main(flavor = "current_thread")]
async fn refuses() -> ExitCode {
    let app = App::start("orders").await.unwrap();
    tracing::warn!("no such table");
    app.refuse(&Error::new(ErrorKind::Start, "no database"))
}

fn what_was_said_before_an_early_end_is_written() {
    for (scenario, status) in [("panics", 101), ("refuses", 69)] {
        let mut child = Process::start(scenario, Stdio::piped(), Stdio::piped(), &[]);
        assert_eq!(child.status(), Some(status), "{scenario}");
        assert!(child.rest().contains("no such table"), "{scenario}");
    }
}

fn an_argument_that_is_no_text_is_a_wrong_flag() {
    let argument = OsStr::from_bytes(b"--\xff");
    let mut child = Process::start("serves", Stdio::piped(), Stdio::piped(), &[argument]);
    assert_eq!(child.status(), Some(2), "{}", child.complaint());
    assert!(child.complaint().starts_with("error: usage: unknown argument"), "{}", child.complaint());
}

fn a_reader_who_has_seen_enough_is_no_failure() {
    for flag in ["--help", "--version", "--describe", "--check"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = Process::start("serves", Stdio::from(writer), Stdio::piped(), &[OsStr::new(flag)]);
        assert_eq!(child.status(), Some(0), "{flag}: {}", child.complaint());
    }
}

fn what_an_errand_prints_is_all_that_is_printed() {
    let mut child = Process::start("serves", Stdio::piped(), Stdio::piped(), &[OsStr::new("--describe")]);
    assert_eq!(child.status(), Some(0), "{}", child.complaint());
    let printed = child.rest();
    let described: serde_json::Value = serde_json::from_str(&printed).expect(&printed);
    assert_eq!(described["identity"]["name"], "orders");
    let measured = described["metrics"].as_array().unwrap();
    let names: Vec<_> = measured.iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["everybodys_total", "parcels_waiting"], "its own behind those of all");
    assert!(child.complaint().contains("said on the way"), "beside it, and not lost");
}

fn what_nobody_read_is_told_at_the_end_of_a_program_that_serves_nothing() {
    let arguments = ["--set", "clients.inventry.target=inventory"].map(OsStr::new);
    let mut child = Process::start("own-flags", Stdio::piped(), Stdio::piped(), &arguments);
    assert_eq!(child.status(), Some(0), "{}", child.complaint());
    assert!(child.rest().contains("no client named `inventry`"));
}

fn flags_of_the_services_own_are_not_read_again() {
    let argument = OsStr::new("--films");
    let mut child = Process::start("own-flags", Stdio::piped(), Stdio::piped(), &[argument]);
    assert_eq!(child.status(), Some(0), "{}", child.complaint());
}

fn a_signal_ends_it_in_order_with_status_zero() {
    for signal in ["TERM", "INT"] {
        let mut child = Process::start("serves", Stdio::piped(), Stdio::piped(), &[]);
        child.wait_for("ready");
        child.signal(signal);
        assert_eq!(child.status(), Some(0), "{signal}");
        assert!(child.rest().contains("\"message\":\"stopped\""), "the last line is written");
    }
}

fn a_second_signal_ends_what_no_worker_can() {
    for (second, status) in [("TERM", 143), ("INT", 130)] {
        let mut child = Process::start("hangs", Stdio::piped(), Stdio::piped(), &[]);
        child.wait_for("ready");
        child.signal("TERM");
        child.wait_for_complaint(BLOCKED);
        child.signal(second);
        assert_eq!(child.status(), Some(status), "{second}");
    }
}

fn streams_that_nobody_reads_hold_up_no_stop() {
    let (reader, writer) = full_pipe();
    let streams = (Stdio::from(writer.try_clone().unwrap()), Stdio::from(writer));
    let (mut told, tells) = UnixStream::pair().unwrap();
    let arguments = ["--set", "lifecycle.flush=500ms"].map(OsStr::new);
    let mut child =
        Process::hearing(Stdio::from(OwnedFd::from(tells)), "tells", streams.0, streams.1, &arguments);
    // A process that ends before it says so closes its side, and this fails.
    told.read_exact(&mut [0]).unwrap();
    child.signal("TERM");
    assert_eq!(child.status(), Some(0));
    drop(reader);
}

/// A pipe into which not one byte more goes.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    let (filled, full) = mpsc::channel();
    let mut copy = writer.try_clone().unwrap();
    thread::spawn(move || {
        // Ends with an error when the reader goes.
        while copy.write_all(&[b'x'; 1]).is_ok() {
            let _ = filled.send(());
        }
    });
    // It is full when nothing more goes in for a while.
    while full.recv_timeout(Duration::from_millis(300)).is_ok() {}
    (reader.into(), writer.into())
}

/// The process under test; killed when the test is over.
struct Process {
    child: Child,
    seen: String,
}

impl Process {
    fn start(scenario: &str, stdout: Stdio, stderr: Stdio, arguments: &[&OsStr]) -> Self {
        Process::hearing(Stdio::null(), scenario, stdout, stderr, arguments)
    }

    fn hearing(stdin: Stdio, scenario: &str, stdout: Stdio, stderr: Stdio, arguments: &[&OsStr]) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(arguments)
            .env(SCENARIO, scenario)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        Process { child, seen: String::new() }
    }

    fn wait_for(&mut self, message: &str) {
        let wanted = format!("\"message\":\"{message}\"");
        while !self.seen.contains(&wanted) {
            let mut bytes = [0; 4096];
            let read = self.child.stdout.as_mut().unwrap().read(&mut bytes).unwrap();
            assert!(read > 0, "it ended before it said {message:?}: {}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    fn wait_for_complaint(&mut self, wanted: &str) {
        let mut heard = String::new();
        while !heard.contains(wanted) {
            let mut bytes = [0; 4096];
            let read = self.child.stderr.as_mut().unwrap().read(&mut bytes).unwrap();
            assert!(read > 0, "it ended before it said {wanted:?}: {heard}");
            heard.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    fn rest(&mut self) -> String {
        let mut text = std::mem::take(&mut self.seen);
        self.child.stdout.as_mut().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn complaint(&mut self) -> &str {
        self.child.stderr.as_mut().unwrap().read_to_string(&mut self.seen).unwrap();
        &self.seen
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end; one that does not come is made by a watch, and told.
    fn status(&mut self) -> Option<i32> {
        let (ended, watched) = mpsc::channel::<()>();
        let pid = self.child.id().to_string();
        let watch = thread::spawn(move || {
            let late = watched.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout);
            if late {
                Command::new("kill").args(["-KILL", &pid]).status().unwrap();
            }
            late
        });
        let status = self.child.wait().unwrap();
        drop(ended);
        assert!(!watch.join().unwrap(), "it did not end within {LIMIT:?}");
        status.code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Much longer than a process takes to end.
const LIMIT: Duration = Duration::from_secs(10);
const SCENARIO: &str = "PLATFORM_CORE_SCENARIO";
/// What the process says when its only worker is blocked.
const BLOCKED: &str = "the only worker is blocked";
