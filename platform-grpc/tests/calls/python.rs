//! Programs in Python with gRPC's own implementation.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use platform_grpc::{Channel, channel::Builder};
use platform_grpc_protos::{DESCRIPTORS, echo_client::EchoClient};
use tokio::time::Instant;

use crate::house::{House, soon, word};

/// A program in Python, which ends with the test.
pub(crate) struct Python {
    child: Child,
    _descriptors: tempfile::NamedTempFile,
}

impl Python {
    /// `None`, and a line on stderr, where gRPC's modules are missing.
    pub(crate) fn start(program: &str, before: &[&str], after: &[&str]) -> Option<Python> {
        let python = python();
        let modules = ["-c", "import grpc, grpc_health.v1, grpc_reflection.v1alpha"];
        let found = Command::new(&python).args(modules).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return skipped(&format!(
                "{python} lacks the modules of .ci/python.txt (see PLATFORM_TEST_PYTHON)"
            ));
        }
        let mut descriptors = tempfile::NamedTempFile::new().expect("a file");
        descriptors.write_all(DESCRIPTORS).expect("room in it");
        let child = Command::new(python)
            .arg(format!("{}/tests/{program}", env!("CARGO_MANIFEST_DIR")))
            .args(before)
            .arg(descriptors.path())
            .args(after)
            // What it imports stands beside it, and nothing of that is left there.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python ran a moment ago");
        Some(Python { child, _descriptors: descriptors })
    }
}

impl Python {
    /// gRPC's client, over TLS with these files if there are some: the cases that went well, and what it said besides.
    pub(crate) async fn calls(address: SocketAddr, tls: &[&str]) -> Option<(Vec<String>, String)> {
        let mut python = Python::start("grpcio_client.py", &[&address.to_string()], tls)?;
        let (said, mut wrong) = python.said().await;
        if !python.child.wait().expect("it is ours").success() {
            wrong.push_str("[failed]");
        }
        let ok = said.lines().filter_map(|line| line.strip_prefix("ok ")).map(str::to_owned);
        Some((ok.collect(), wrong))
    }

    /// All that it says, and what it says of what went wrong.
    pub(crate) async fn said(&mut self) -> (String, String) {
        let printed = self.child.stdout.take().expect("it is piped");
        let wrong = self.child.stderr.take().expect("it is piped");
        let read = tokio::task::spawn_blocking(move || {
            let said = std::io::read_to_string(printed).expect("text");
            (said, std::io::read_to_string(wrong).expect("text"))
        });
        soon(read).await.expect("no panic")
    }
}

/// The interpreter that has the packages of `.ci/python.txt`.
pub(crate) fn python() -> String {
    env::var("PLATFORM_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// A program of one of these packages, beside the interpreter or where programs are; `None`, and a line on stderr,
/// where it is missing.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let beside = Path::new(&python()).with_file_name(name);
    let found = |path: &PathBuf| Command::new(path).arg("--help").output().is_ok();
    let tool = [beside, PathBuf::from(name)].into_iter().find(found);
    if tool.is_none() { skipped(&format!("{name} is missing (see .ci/python.txt)")) } else { tool }
}

/// A program is not there; where all have to be that is a failure.
pub(crate) fn skipped<T>(why: &str) -> Option<T> {
    let required = env::var_os("PLATFORM_REQUIRE_OUTSIDE").is_some_and(|value| value == "1");
    assert!(!required, "{why}");
    eprintln!("skipped: {why}");
    None
}

impl Drop for Python {
    fn drop(&mut self) {
        // Ended already if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// gRPC's server with the script of `grpcio_server.py`.
pub(crate) struct Peer {
    _python: Python,
    pub(crate) address: SocketAddr,
    pub(crate) house: House,
}

impl Peer {
    pub(crate) async fn start(options: &[&str]) -> Option<Peer> {
        let mut python = Python::start("grpcio_server.py", &[], options)?;
        let printed = python.child.stdout.take().expect("it is piped");
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(printed).read_line(&mut line).map(|_| line)
        });
        let line = soon(read).await.expect("no panic").expect("it says its port");
        let port: u16 = line.trim().parse().expect("a port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Some(Peer { _python: python, address, house: House::open("").await })
    }

    pub(crate) fn channel(&self) -> Channel {
        self.builder("peer").build().expect("a channel")
    }

    pub(crate) fn builder(&self, name: &str) -> Builder {
        let channel = Channel::builder(&self.house.app, name).target(format!("fixed://{}", self.address));
        channel.descriptors(DESCRIPTORS)
    }

    pub(crate) fn client(&self) -> EchoClient<Channel> {
        EchoClient::new(self.channel())
    }

    /// Asks until that is the answer.
    pub(crate) async fn until(&self, asks: &str, answer: &str) {
        let begun = Instant::now();
        loop {
            let said = soon(self.client().say(word(asks))).await.expect("it counts").into_inner().text;
            if said == answer {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{asks} is {said} and not {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn asked(&self, tag: &str) -> String {
        let said = soon(self.client().say(word(&format!("asked:{tag}")))).await;
        said.expect("it counts").into_inner().text
    }
}
