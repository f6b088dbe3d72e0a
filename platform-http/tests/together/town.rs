//! A registry in a folder of its own, and services that find each other in it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    response::IntoResponse as _,
    routing::get,
};
use http::HeaderMap;
use platform_core::{
    App, Result,
    app::Ended,
    config::Config,
    context::{self, Item},
    fallback::OrDegraded as _,
    lifecycle::Phase,
    telemetry::log::{Captured, Output},
};
use platform_http::{Client, Problem, Server};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

/// Where services of one test find each other.
pub(crate) struct Town {
    folder: tempfile::TempDir,
}

/// One service, its admin listener and its lines.
pub(crate) struct House {
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
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

/// A team's own value that travels.
#[derive(Debug, PartialEq)]
struct Basket(String);

impl Item for Basket {
    const KEY: &'static str = "basket";

    fn encode(&self) -> String {
        self.0.clone()
    }

    fn decode(text: &str) -> Option<Self> {
        Some(Basket(text.to_owned()))
    }
}

impl Town {
    pub(crate) fn new() -> Town {
        Town { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    /// Starts an instance; `routes` makes its clients.
    pub(crate) async fn open(
        &self,
        names: (&str, &str),
        toml: &str,
        routes: impl FnOnce(&App) -> Router,
    ) -> House {
        self.open_at("127.0.0.1:0", names, toml, routes).await
    }

    /// The same with an admin listener at an address that is known before.
    pub(crate) async fn open_at(
        &self,
        admin: &str,
        (name, instance): (&str, &str),
        toml: &str,
        routes: impl FnOnce(&App) -> Router,
    ) -> House {
        let registry = self.registry();
        let config = Config::builder()
            .toml(toml)
            .set("service.instance", instance)
            .set("server.listen", "127.0.0.1:0")
            .set("admin.listen", admin)
            .set("discovery.dir.path", registry.to_str().expect("a temporary folder's path is text"))
            .set("discovery.dir.poll", "20ms")
            // Ten looks of every client.
            .set("lifecycle.propagation", "200ms")
            .load()
            .expect("a good configuration");
        let lines = Captured::default();
        let app = App::builder(name).version("1.4.2").config(config).log_to(Output::to(lines.clone()));
        let app = app.start().await.expect("a good start");
        let routes = routes(&app);
        platform_http::prepare(&app, Server::new(routes)).expect("a good server");
        let running = context::spawn(app.clone().run_until_stopped());
        soon(app.phases().reached(Phase::Ready)).await;
        let address = |server| app.address(server).expect("ready, so it listens");
        House { address: address("http"), admin: address("admin"), app, lines, running }
    }

    /// Says what it was asked with.
    pub(crate) async fn catalog(&self, instance: &str, toml: &str) -> House {
        self.open(("catalog", instance), toml, |_| {
            Router::new().route("/films/{id}", get(film)).with_state(instance.to_owned())
        })
        .await
    }

    /// Asks the catalog, and says what it said.
    pub(crate) async fn edge(&self, toml: &str) -> House {
        self.edge_named("edge-1", toml).await
    }

    pub(crate) async fn another_edge(&self, instance: &str) -> House {
        self.edge_named(instance, "").await
    }

    async fn edge_named(&self, instance: &str, toml: &str) -> House {
        self.edge_at("127.0.0.1:0", instance, toml).await
    }

    /// The same with an admin listener at an address that is known before.
    pub(crate) async fn edge_at(&self, admin: &str, instance: &str, toml: &str) -> House {
        let house = self
            .open_at(admin, ("edge", instance), toml, |app| {
                let catalog = Client::for_target(app, "catalog").expect("a client");
                Router::new()
                    .route("/films/{id}", get(pass_on))
                    .route("/maybe/{id}", get(do_without))
                    .with_state(catalog)
                    .route("/hello", get(|| async { "hello" }))
            })
            .await;
        // Its first look may have been before the others registered.
        for _ in 0..200 {
            if house.get("/films/1", "").await.status == 200 {
                return house;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the edge never finds a catalog: {}", house.lines.text())
    }
}

async fn film(State(instance): State<String>, headers: HeaderMap) -> Json<Value> {
    // Long enough for a drain to meet requests in flight.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let context = context::current().expect("a request is served");
    Json(json!({
        "instance": instance,
        "left_ms": context.deadline().map(|deadline| deadline.remaining(context.now()).as_millis() as u64),
        "tenant": context.tenant().map(ToString::to_string),
        "criticality": context.criticality().as_str(),
        "basket": context.item::<Basket>().map(|basket| basket.0),
        "client": headers.get("user-agent").and_then(|agent| agent.to_str().ok()),
    }))
}

async fn pass_on(
    State(catalog): State<Client>,
    request: Request<Body>,
) -> axum::response::Result<Json<Value>> {
    let reply = catalog.get(request.uri().path()).send().await;
    let film: Result<Value> = match reply {
        Ok(reply) => reply.json().await,
        Err(error) => Err(error),
    };
    Ok(Json(film.map_err(|error| Problem::from(error).into_response())?))
}

/// The film, or a page without one.
async fn do_without(
    State(catalog): State<Client>,
    axum::extract::Path(id): axum::extract::Path<String>,
) -> Result<Json<Value>, Problem> {
    let film = async { catalog.get(format!("/films/{id}")).send().await?.json::<Value>().await };
    Ok(Json(film.await.or_degraded("catalog", |_| json!(null))?))
}

impl House {
    /// A GET on a connection of its own, with more headers, each ended by CR LF.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> Reply {
        ask(self.address, path, headers).await
    }

    /// The canonical lines of requests for the catalog's route so far, once there are `count`.
    pub(crate) async fn lines(&self, trace: &str, count: usize) -> Vec<Value> {
        for _ in 0..200 {
            self.app.logs().flush(Duration::from_secs(5));
            let text = self.lines.text();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
            let ours: Vec<_> =
                lines.filter(|line| line["message"] == "request" && line["trace_id"] == trace).collect();
            if ours.len() >= count {
                return ours;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("there are no {count} lines of {trace}: {}", self.lines.text())
    }

    pub(crate) fn stop(self) -> JoinHandle<Result<Ended>> {
        self.app.stop("test", "over");
        self.running
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(self) -> Ended {
        soon(self.running).await.expect("it does not panic").expect("it ends well")
    }

    /// Stops, and nothing went wrong.
    pub(crate) async fn end(self) {
        let ended = soon(self.stop()).await.expect("it does not panic").expect("it ends well");
        assert_eq!(ended.code(), 0, "{ended:?}");
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Asks whoever may be gone; what it said does not matter.
pub(crate) async fn try_ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    told(address, path, "").await
}

async fn told(address: SocketAddr, path: &str, headers: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n");
    let mut text = String::new();
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(request.as_bytes()).await?;
    socket.read_to_string(&mut text).await?;
    Ok(text)
}

pub(crate) async fn ask(address: SocketAddr, path: &str, headers: &str) -> Reply {
    let text = soon(told(address, path, headers)).await.expect("it answers");
    let (head, body) = text.split_once("\r\n\r\n").expect("a reply has a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Reply { status: status.expect("a reply has a status"), head: head.to_owned(), body: body.to_owned() }
}

pub(crate) async fn soon<F: Future>(work: F) -> F::Output {
    timeout(SOON, work).await.expect("it takes far too long")
}

/// Whatever takes longer than this has failed.
const SOON: Duration = Duration::from_secs(20);
