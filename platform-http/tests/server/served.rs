//! An App with a server on a free port, and a client that speaks bytes.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use platform_core::{
    App, Result,
    app::Ended,
    config::Config,
    context,
    lifecycle::Phase,
    telemetry::log::{Captured, Output},
};
use platform_http::Server;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

/// A service under test.
pub(crate) struct Served {
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    lines: Captured,
    running: JoinHandle<Result<Ended>>,
}

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Served {
    pub(crate) async fn routes(routes: Router) -> Served {
        Served::start(Server::new(routes), "").await
    }

    /// With more configuration.
    pub(crate) async fn start(server: Server, toml: &str) -> Served {
        let config = Config::builder().toml(toml).set("server.listen", "127.0.0.1:0").load();
        let config = config.expect("a good configuration");
        let lines = Captured::default();
        let app = App::builder("orders").version("1.4.2").config(config).log_to(Output::to(lines.clone()));
        let app = app.start().await.expect("a good start");
        app.add(server);
        let running = context::spawn(app.clone().run_until_stopped());
        app.phases().reached(Phase::Ready).await;
        let address = app.address("http").expect("ready, so it listens");
        Served { app, address, lines, running }
    }

    /// Sends `request` on a connection of its own, and reads to the end.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        let mut socket = self.connect().await;
        socket.write_all(request.as_ref()).await.expect("it takes the request");
        Reply::read(&mut socket).await
    }

    /// A GET with more headers, each ended by CR LF.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> Reply {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// The canonical lines so far, once there are `count`.
    pub(crate) async fn lines(&self, count: usize) -> Vec<Value> {
        self.once(&format!("{count} canonical lines"), |log| {
            let lines: Vec<Value> = log
                .lines()
                .map(|line| serde_json::from_str(line).expect("a line is JSON"))
                .filter(|line: &Value| line["message"] == "request")
                .collect();
            (lines.len() >= count).then_some(lines)
        })
        .await
    }

    /// Until its log has said this.
    pub(crate) async fn said(&self, words: &str) {
        self.once(words, |log| log.contains(words).then_some(())).await;
    }

    /// What is found in the log, as soon as it is there.
    async fn once<T>(&self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        for _ in 0..250 {
            self.app.logs().flush(Duration::from_secs(5));
            if let Some(found) = found(&self.lines.text()) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not in the log: {what}: {}", self.lines.text())
    }

    /// The sum of all series of `metric` whose labels contain each of `labels`.
    pub(crate) fn metric(&self, metric: &str, labels: &[&str]) -> f64 {
        let text = self.app.metrics().encode();
        let fits = |line: &&str| {
            line.split(['{', ' ']).next() == Some(metric) && labels.iter().all(|label| line.contains(label))
        };
        let value = |line: &str| {
            let line = line.split(" # ").next().unwrap_or_default();
            line.rsplit(' ')
                .next()
                .and_then(|value| value.parse::<f64>().ok())
                .expect("a series ends with its value")
        };
        text.lines().filter(fits).map(value).sum()
    }

    pub(crate) async fn stop(self) -> Ended {
        self.app.stop("test", "over");
        self.running.await.expect("it does not panic").expect("it ends well")
    }
}

impl Reply {
    /// Reads a reply with a length, or until the end.
    pub(crate) async fn read(socket: &mut TcpStream) -> Reply {
        let mut bytes = Vec::new();
        let read = socket.read_to_end(&mut bytes);
        tokio::time::timeout(Duration::from_secs(10), read).await.expect("an end in time").ok();
        Reply::parse(&String::from_utf8_lossy(&bytes))
    }

    fn parse(text: &str) -> Reply {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Reply { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}
