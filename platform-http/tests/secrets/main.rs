//! A secret comes in with a request, goes out with calls, and is seen nowhere. Alone in its process, because a process has
//! one log, and this one says everything that anybody has to say.

#[cfg(feature = "otlp")]
#[path = "../../../platform-core/tests/sink/mod.rs"]
#[expect(dead_code, reason = "it is shared, and not all of it is asked here")]
mod sink;

use std::{net::SocketAddr, time::Duration};

use axum::{Json, Router, body::Body, extract::State, routing::any};
use http::{Request, StatusCode, header};
use platform_core::{
    App, ErrorKind,
    config::Config,
    context,
    lifecycle::Phase,
    telemetry::log::{Captured, Output},
};
use platform_http::{Client, Problem, Server, prepare};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// One for each place where a secret may stand.
const SECRETS: [&str; 6] =
    ["hunter2-bearer", "hunter2-cookie", "hunter2-key", "hunter2-query", "hunter2-collector", "hunter2-url"];

/// Passes on all that it was asked with, as a careless service would.
async fn pass_on(State(clients): State<Vec<Client>>, request: Request<Body>) -> Result<Json<Value>, Problem> {
    let mut last = json!(null);
    for client in clients {
        let mut call = client.get(request.uri().to_string());
        for name in [header::AUTHORIZATION.as_str(), header::COOKIE.as_str(), "x-api-key"] {
            if let Some(value) = request.headers().get(name) {
                call = call.header(name, value.clone());
            }
        }
        match call.send().await {
            Ok(reply) => last = reply.json().await.unwrap_or_else(|error| json!(error.to_string())),
            Err(error) => last = json!(error.to_string()),
        }
    }
    match request.uri().path() {
        "/fails" => Err(Problem::new(ErrorKind::Internal, "it failed")),
        "/panics" => panic!("it panicked"),
        _ => Ok(Json(last)),
    }
}

/// Says no in every way that a path asks for.
async fn callee(request: Request<Body>) -> Result<Json<Value>, Problem> {
    match request.uri().path() {
        "/refused" => Err(Problem::new(ErrorKind::Forbidden, "not you")),
        "/broken" => Err(Problem::new(ErrorKind::Internal, "broken")),
        "/slow" => {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(Json(json!("late")))
        }
        _ => Ok(Json(json!("hello"))),
    }
}

struct House {
    app: App,
    http: SocketAddr,
    admin: SocketAddr,
    log: Captured,
}

async fn house(name: &str, toml: &str, routes: impl FnOnce(&App) -> Router) -> House {
    let config = Config::builder()
        .toml(toml)
        .set("server.listen", "127.0.0.1:0")
        .set("admin.listen", "127.0.0.1:0")
        .set("discovery.register.mode", "off");
    let log = Captured::default();
    let app = App::builder(name).config(config.load().expect("TOML")).log_to(Output::to(log.clone()));
    let app = app.start().await.expect("a start");
    let routes = routes(&app);
    prepare(&app, Server::new(routes)).expect("a server");
    context::spawn(app.clone().run_until_stopped());
    app.phases().reached(Phase::Ready).await;
    let at = |server| app.address(server).expect("it listens");
    House { http: at("http"), admin: at("admin"), app, log }
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    socket.write_all(request.as_bytes()).await.expect("it is taken");
    let mut heard = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut heard)).await;
    read.expect("an end in time").expect("an end");
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_used_and_seen_nowhere() {
    #[cfg(feature = "otlp")]
    let sink = sink::Sink::start("grpc", "answer");
    #[cfg(feature = "otlp")]
    let endpoint = sink.as_ref().map(|sink| format!("http://127.0.0.1:{}", sink.port)).unwrap_or_default();
    #[cfg(not(feature = "otlp"))]
    let endpoint = String::new();
    let everything = "[telemetry]\nlog = { format = 'json', filter = 'trace' }\n";
    let catalog = house("catalog", everything, |_| Router::new().fallback(callee)).await;
    // It accepts and hangs up without a word.
    let rude = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let rude_at = rude.local_addr().expect("it is bound");
    context::spawn(async move { while rude.accept().await.is_ok() {} });
    let toml = format!(
        "{everything}
         traces = {{ endpoint = '{endpoint}', ratio = 1.0, headers = {{ authorization = 'hunter2-collector' }} }}
         [settings]
         database = 'postgres://ann:hunter2-url@db/orders'
         [server]
         show = {{ headers = ['x-cart'], query = ['page'] }}
         [defaults]
         policy = {{ attempt_timeout = '300ms', timeout = '600ms' }}
         [clients.one]
         target = 'fixed://{0}'
         [clients.two]
         target = 'fixed://{0}'
         connect = {{ protocol = 'h2' }}
         [clients.rude]
         target = 'fixed://{rude_at}'
         [clients.nobody]
         target = 'fixed://127.0.0.1:1'
         [clients.stranger]
         target = 'http://{0}'",
        catalog.http
    );
    let edge = house("edge", &toml, |app| {
        let names = ["one", "two", "rude", "nobody", "stranger"];
        let clients: Vec<_> = names.map(|name| Client::for_target(app, name).expect("a client")).into();
        app.settings::<serde_json::Map<String, Value>>().expect("settings");
        Router::new().route("/{path}", any(pass_on)).with_state(clients)
    })
    .await;

    let mut told = String::new();
    let carried = "authorization: Bearer hunter2-bearer\r\ncookie: session=hunter2-cookie\r\nx-api-key: hunter2-key\r\n\
                   x-cart: c-7\r\n";
    for path in ["hello", "refused", "broken", "slow", "fails", "panics", "no/such"] {
        let query = "page=2&token=hunter2-query";
        let request =
            format!("GET /{path}?{query} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n{carried}\r\n");
        told += &ask(edge.http, &request).await;
    }
    // What makes no sense is refused, and not repeated.
    for wrong in [
        "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n",
    ] {
        told += &ask(edge.http, &format!("{wrong}connection: close\r\n{carried}\r\n")).await;
    }
    for house in [&edge, &catalog] {
        for path in ["/", "/metrics", "/readyz?verbose", "/nowhere?token=hunter2-query"] {
            told += &ask(
                house.admin,
                &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"),
            )
            .await;
        }
        for view in ["info", "config", "stack", "targets", "changes", "faults", "state", "fleet", "pulse"] {
            let request =
                format!("GET /platform/{view} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            told += &ask(house.admin, &request).await;
        }
        // A token that nobody knows, with a change that is refused.
        let change = format!(
            "PUT /platform/log HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{carried}content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        told += &ask(house.admin, &change).await;
    }
    assert!(told.contains("postgres://***@db/orders"), "the configuration is shown");
    edge.app.stop("test", "over");
    catalog.app.stop("test", "over");
    edge.app.phases().reached(Phase::Draining).await;
    edge.app.logs().flush(Duration::from_secs(5));
    catalog.app.logs().flush(Duration::from_secs(5));
    let (log, other) = (edge.log.text(), catalog.log.text());
    // The first that starts is the process's log; the other has its own lines.
    assert!(log.len() + other.len() > 50_000, "everything was said: {} bytes", log.len() + other.len());
    assert!(
        log.contains("\"http.request.header.x-cart\":\"c-7\"") && log.contains("\"url.query.page\":\"2\""),
        "{log}"
    );
    assert_eq!(log.matches("\"message\":\"request\"").count(), 8, "each is told: {log}");
    told += &log;
    told += &other;
    #[cfg(feature = "otlp")]
    if let Some(sink) = &sink {
        let mut spans = 0;
        while spans < 30 {
            let mut span = sink.line();
            // What the exporter shows the collector, and nobody else.
            let shown = span.as_object_mut().and_then(|span| span.remove("headers"));
            assert!(shown.is_some_and(|headers| headers["authorization"] == "hunter2-collector"));
            if span["attributes"]["url.query.page"] == "2" {
                assert_eq!(span["attributes"]["http.request.header.x-cart"], "c-7");
            }
            told += &span.to_string();
            spans += 1;
        }
        assert!(told.contains("url.query.page"), "what may be seen is in a span");
        assert!(told.contains("nothing was sent"), "and why an attempt failed");
    }
    for secret in SECRETS {
        let seen = told.find(secret).map(|at| &told[at.saturating_sub(300)..(at + 100).min(told.len())]);
        assert_eq!(seen, None, "{secret} was seen");
    }
    assert!(told.contains(StatusCode::FORBIDDEN.as_str()));
}
