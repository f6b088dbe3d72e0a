//! A service with an admin listener on a free port, and a person who speaks HTTP/1.1 by hand.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also where it prepares")]

use std::{net::SocketAddr, time::Duration};

use platform_core::{
    App, Result,
    app::Ended,
    config::Config,
    context,
    lifecycle::{Phase, Phases},
};
use platform_http::Admin;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

/// Whatever takes longer than this has failed.
const SOON: Duration = Duration::from_secs(10);
/// A person on this machine who may change things.
pub(crate) const ANN: (&str, &str) = ("x-platform-actor", "ann");
const JSON: (&str, &str) = ("content-type", "application/json");

pub(crate) struct House {
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    running: JoinHandle<Result<Ended>>,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// An App that listens on this machine only, on a free port.
pub(crate) async fn app(more: &str) -> App {
    app_at("127.0.0.1:0", more).await
}

pub(crate) async fn app_at(listen: &str, more: &str) -> App {
    let text = format!("lifecycle.propagation = \"0ms\"\n[admin]\nlisten = \"{listen}\"\n{more}");
    let config = Config::builder().toml(text).load().unwrap();
    let app =
        App::builder("orders").version("1.4.2").owner("team-orders").config(config).start().await.unwrap();
    app.add(Admin::new(&app).unwrap());
    app
}

/// The admin listener is up before the first start hook, which tells us where; `then` adds others.
pub(crate) async fn open(app: App, then: impl FnOnce(&App)) -> House {
    let (tell, told) = tokio::sync::oneshot::channel();
    let inner = app.clone();
    app.on_start("tell", move || async move {
        // The test that asked has failed already if it does not listen.
        let _ = tell.send(inner.address("admin").expect("the admin listener is up first"));
        Ok(())
    });
    then(&app);
    let running = context::spawn(app.clone().run_until_stopped());
    let mut address = soon(told).await.unwrap();
    if address.ip().is_unspecified() {
        address.set_ip([127, 0, 0, 1].into());
    }
    House { app, address, running }
}

pub(crate) async fn ready(app: App) -> House {
    let house = open(app, |_| {}).await;
    house.reached(Phase::Ready).await;
    house
}

impl House {
    pub(crate) async fn reached(&self, phase: Phase) {
        let phases: &Phases = self.app.phases();
        soon(phases.reached(phase)).await;
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], "").await
    }

    /// Changes something as Ann.
    pub(crate) async fn change(&self, method: &str, path: &str, body: &str) -> Reply {
        self.ask(method, path, &[ANN, JSON], body).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str(&format!("host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        self.tell(&head).await
    }

    pub(crate) async fn tell(&self, request: &str) -> Reply {
        let mut wire = soon(TcpStream::connect(self.address)).await.unwrap();
        wire.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        soon(wire.read_to_string(&mut reply)).await.unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").expect("a reply has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Reply { status: status.expect("a reply has a status"), head: head.to_owned(), body: body.to_owned() }
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(self) -> Ended {
        soon(self.running).await.unwrap().unwrap()
    }

    pub(crate) async fn stop(self) {
        self.app.stop("test", "over");
        assert_eq!(self.ended().await.code(), 0);
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// It is a problem document of this status that says this.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, detail: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let document = self.json();
        assert_eq!(document["status"], status, "{document}");
        assert_eq!(document["service"], "orders", "{document}");
        let told = document["detail"].as_str().unwrap();
        assert!(told.contains(detail), "{told:?} does not say {detail:?}");
    }
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("it takes too long")
}
