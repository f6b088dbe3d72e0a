//! Services as processes.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Where this workspace is built.
pub(crate) fn target_folder() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_platform"));
    binary.ancestors().nth(2).expect("it lies in target/PROFILE").to_path_buf()
}

/// A service that runs, on free ports.
pub(crate) struct Service {
    child: Child,
    said: Arc<Said>,
    pub(crate) http: String,
    pub(crate) admin: String,
}

#[derive(Default)]
struct Said {
    lines: Mutex<Vec<Value>>,
    more: Condvar,
}

impl Service {
    /// Starts it, and waits until it is ready.
    pub(crate) fn start(executable: &str, folder: &Path, registry: &Path) -> Service {
        let mut child = Command::new(executable)
            .args(["--profile", "dev", "--set"])
            .arg(format!("discovery.dir.path={}", registry.display()))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was built");
        let said = Arc::new(Said::default());
        let (out, heard) = (child.stdout.take().expect("it is piped"), Arc::clone(&said));
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                heard.lines.lock().unwrap().push(line);
                heard.more.notify_all();
            }
        });
        let mut service = Service { child, said, http: String::new(), admin: String::new() };
        let ready = service.line(|line| line["message"] == "ready");
        // "admin 127.0.0.1:9464, http 127.0.0.1:8080"
        let addresses = ready["addresses"].as_str().unwrap().to_owned();
        let of = |name: &str| {
            addresses
                .split(", ")
                .find_map(|each| each.strip_prefix(name))
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        (service.http, service.admin) = (of("http"), of("admin"));
        service
    }

    /// The first line that is meant, waiting for it.
    pub(crate) fn line(&self, meant: impl Fn(&Value) -> bool) -> Value {
        let lines = self.said.lines.lock().unwrap();
        let none = |lines: &mut Vec<Value>| !lines.iter().any(&meant);
        let (lines, _) = self.said.more.wait_timeout_while(lines, LIMIT, none).unwrap();
        lines.iter().find(|line| meant(line)).unwrap_or_else(|| panic!("it said only {lines:#?}")).clone()
    }

    /// Waits until it knows somebody to ask for this name.
    pub(crate) fn finds(&self, target: &str) {
        self.line(|line| line["message"] == "the target has endpoints" && line["called"] == target);
    }

    /// Asks it to end, and holds it to ending well.
    pub(crate) fn drain(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Where a test fails, nothing of it stays behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status, head and body of `GET path`.
pub(crate) fn get(address: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

/// Much longer than anything takes on a machine that others use as well.
const LIMIT: Duration = Duration::from_secs(30);
