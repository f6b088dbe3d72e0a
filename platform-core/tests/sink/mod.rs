//! A collector made of OpenTelemetry's own Python messages (`otlp_sink.py`), shared by the tests of this crate and
//! of those above it.

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

/// The collector; ends with the test.
pub(crate) struct Sink {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// Where it listens on loopback.
    pub(crate) port: u64,
}

impl Sink {
    /// A collector that speaks `grpc` or `http` and does what `mode` says: `answer`, `hang`, `refuse`. `None`, and
    /// a line on stderr, where the Python modules are missing.
    pub(crate) fn start(protocol: &str, mode: &str) -> Option<Sink> {
        let python = env::var("PLATFORM_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let modules = "import grpc; from opentelemetry.proto.collector.trace.v1 import trace_service_pb2";
        let found = Command::new(&python)
            .args(["-c", modules])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !found {
            let required = env::var_os("PLATFORM_REQUIRE_OUTSIDE").is_some_and(|value| value == "1");
            assert!(!required, "{python} lacks the modules of .ci/python.txt");
            eprintln!("skipped: {python} lacks the modules of .ci/python.txt (see PLATFORM_TEST_PYTHON)");
            return None;
        }
        // Beside this crate or one of its neighbours.
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../platform-core/tests/otlp_sink.py");
        let mut child = Command::new(python)
            .args([program, protocol, mode])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python ran a moment ago");
        let printed = BufReader::new(child.stdout.take().expect("it is piped"));
        let (line, lines) = mpsc::channel();
        thread::spawn(move || printed.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        let mut sink = Sink { child, lines, port: 0 };
        sink.port = sink.line()["port"].as_u64().expect("it says its port first");
        Some(sink)
    }

    /// What the collector says next.
    pub(crate) fn line(&self) -> Value {
        let text = self.lines.recv_timeout(ENOUGH).expect("the collector says more");
        serde_json::from_str(&text).expect("it says JSON")
    }

    /// Whether nothing was left to say. Ask after everything was flushed: what is exported arrives before a flush
    /// ends.
    pub(crate) fn says_no_more(&self) -> bool {
        self.lines.recv_timeout(Duration::from_millis(300)).is_err()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }
}

/// Longer than anything here takes.
pub(crate) const ENOUGH: Duration = Duration::from_secs(20);
