//! What goes over HTTP, as it is written and as every version has written it.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::Path,
    routing::{get, post},
};
use platform_core::{
    App, Error, ErrorKind, Mark, Outcome, app::Ended, call::CarryReply as _, config::Config, context,
    fallback::OrDegraded as _, lifecycle::Phase, recovery::Recovery, telemetry::log::Output,
};
use platform_http::{Client, Problem, Server, discovery, prepare};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};

#[path = "../../platform-core/tests/golden/mod.rs"]
mod golden;

struct Service {
    app: App,
    address: SocketAddr,
    ended: JoinHandle<platform_core::Result<Ended>>,
}

async fn service() -> Service {
    let config = Config::builder()
        .toml(
            "[server]\nlisten = \"127.0.0.1:0\"\npolicy = { rate_limit = { mode = \"enforce\", per_second = 1, burst = 100 } }\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n[discovery]\nregister = { mode = \"off\" }\n",
        )
        .load()
        .expect("a good configuration");
    let app = App::builder("orders").version("1.4.2").config(config).log_to(Output::to(std::io::sink()));
    let app = app.start().await.expect("a good start");
    let routes =
        Router::new().route("/well", get(async || "well")).route("/fails/{kind}", post(fails)).route(
            "/degraded",
            get(async || {
                let gone = || Err::<u32, _>(Error::new(ErrorKind::Unreachable, "refused"));
                let mut known = gone().or_degraded("ratings", |_| 0)?;
                known += gone().or_degraded("reviews", |_| 0)?;
                Ok::<_, Problem>(known.to_string())
            }),
        );
    prepare(&app, Server::new(routes)).expect("it can be served");
    let ended = context::spawn(app.clone().run_until_stopped());
    app.phases().reached(Phase::Ready).await;
    let address = app.address("http").expect("it listens");
    Service { app, address, ended }
}

/// With everything that an error can have.
async fn fails(Path(kind): Path<String>) -> Result<(), Problem> {
    let kind = ErrorKind::parse(&kind).expect("a kind");
    let error = Error::new(kind, "why").at_layer("layer").at_target(&"target".into());
    let error = if delays(kind) { error.retry_after(Duration::from_millis(1_200)) } else { error };
    Err(error.into())
}

fn delays(kind: ErrorKind) -> bool {
    kind.mark() == Some(Mark::Safe)
}

/// Those that a request can end with; the others end a process, or are told to nobody.
fn told() -> impl Iterator<Item = ErrorKind> {
    let never = [ErrorKind::Config, ErrorKind::Start, ErrorKind::Usage, ErrorKind::Abandoned];
    ErrorKind::ALL.into_iter().filter(move |kind| !never.contains(kind))
}

impl Service {
    /// What is said to a request, without what no two have in common.
    async fn reply(&self, line: &str) -> String {
        let mut socket = TcpStream::connect(self.address).await.expect("it listens");
        let request = format!(
            "{line} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\ncontent-length: 0\r\nx-request-id: r-7\r\n\
             baggage: platform-tenant=acme\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.expect("it takes a request");
        let mut reply = String::new();
        socket.read_to_string(&mut reply).await.expect("text, and an end");
        let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
        let mut lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
        lines.retain(|line| !line.starts_with("date: ") && !line.starts_with("connection: "));
        for line in &mut lines {
            // How busy it is differs from one to the next.
            if let Some((name, _)) = line.split_once(",named_metrics.latency_ms=") {
                *line = format!("{name},named_metrics.latency_ms=12.5");
            }
            if line.starts_with("ratelimit: ") {
                "ratelimit: \"tenant\";r=42;t=1".clone_into(line);
            }
        }
        lines[1..].sort();
        format!("{}\n\n{body}\n", lines.join("\n"))
    }

    async fn stop(self) {
        self.app.stop("the test", "it is over");
        let ended = self.ended.await.expect("it does not panic").expect("it ran");
        assert_eq!(ended.code(), 0, "drained clean");
    }
}

#[tokio::test]
async fn replies_are_written_as_ever() {
    let service = service().await;
    let mut problems = String::new();
    for kind in told() {
        problems += &format!("{}== {kind}\n", if problems.is_empty() { "" } else { "\n" });
        problems += &service.reply(&format!("POST /fails/{kind}")).await;
    }
    golden::is("problems.http.txt", &problems);
    let mut replies = String::new();
    for path in ["/well", "/degraded"] {
        replies += &format!("== GET {path}\n{}\n", service.reply(&format!("GET {path}")).await);
    }
    // The tenant's rate, at last.
    let refused = loop {
        let reply = service.reply("GET /well").await;
        if !reply.contains("200 OK") {
            break reply;
        }
    };
    // When the next may come is known to the millisecond, and another one each time; a load is told now and then.
    let (head, body) = refused.split_once("\n\n").expect("a head");
    let differs =
        |line: &&str| line.starts_with("content-length: ") || line.starts_with("endpoint-load-metrics: ");
    let head: Vec<&str> = head.lines().filter(|line| !differs(line)).collect();
    let mut body: Value = serde_json::from_str(body).expect("a problem document");
    body["detail"] = "as long as that".into();
    body["retry_after_ms"] = 413.into();
    replies += &format!("== GET /well, and its tenant asks too often\n{}\n\n{body}\n", head.join("\n"));
    golden::is("replies.http.txt", &replies);
    service.stop().await;
}

/// A peer that says `reply` to whoever asks, and passes on what it heard.
async fn peer(reply: String) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (tell, heard) = mpsc::unbounded_channel();
    drop(context::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut bytes = vec![0; 16 * 1024];
            let mut len = 0;
            // A head, and the body of a few bytes that comes with it.
            while !String::from_utf8_lossy(&bytes[..len]).contains("\r\n\r\n") {
                match socket.read(&mut bytes[len..]).await {
                    Ok(more) if more > 0 => len += more,
                    _ => break,
                }
            }
            if len > 0 && tell.send(String::from_utf8_lossy(&bytes[..len]).into_owned()).is_ok() {
                let _ = socket.write_all(reply.as_bytes()).await;
            }
        }
    }));
    (address, heard)
}

/// A client that asks once.
async fn client(address: SocketAddr) -> (App, Client) {
    let config =
        Config::builder().set("discovery.register.mode", "off").load().expect("a good configuration");
    let app = App::builder("edge").version("2.0.0").config(config).log_to(Output::to(std::io::sink()));
    let app = app.start().await.expect("a good start");
    let client = Client::builder(&app, "orders").target(format!("fixed://{address}"));
    let client = client.policy(|policy| policy.recovery = Recovery::None).build().expect("a client");
    (app, client)
}

#[tokio::test]
async fn a_request_is_written_as_ever() {
    let reply = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (address, mut heard) = peer(reply.to_owned()).await;
    let (_app, client) = client(address).await;
    let call =
        client.post("/orders").header("idempotency-key", "k-1").json(&serde_json::json!({ "item": 7 }));
    call.send().await.expect("a reply");
    let heard = heard.recv().await.expect("it was asked");
    let (head, _) = heard.split_once("\r\n\r\n").expect("a head");
    let mut lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
    for line in &mut lines {
        let digits: &[char] =
            &['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        match line.split_once(": ") {
            Some((name @ "traceparent", id)) => *line = format!("{name}: {}", id.replace(digits, "0")),
            // Some of its ten seconds have passed.
            Some((name @ "platform-timeout-ms", left)) => {
                let left: u32 = left.parse().expect("whole milliseconds");
                assert!((1..=10_000).contains(&left), "{left}");
                *line = format!("{name}: 9999");
            }
            Some((name @ "host", _)) => *line = format!("{name}: 127.0.0.1:8080"),
            _ => {}
        }
    }
    lines[1..].sort();
    golden::is("call.http.txt", &(lines.join("\n") + "\n"));
}

#[tokio::test]
async fn what_every_version_replies_is_understood() {
    for (version, text) in golden::of_every_version("problems.http.txt") {
        for problem in text.split("== ").filter(|problem| !problem.is_empty()) {
            let (kind, reply) = problem.split_once('\n').expect("a name");
            let kind =
                ErrorKind::parse(kind).unwrap_or_else(|| panic!("{version}: {kind} is no kind any more"));
            let (head, body) = reply.split_once("\n\n").expect("a head");
            let wire =
                format!("{}\r\nconnection: close\r\n\r\n{}", head.replace('\n', "\r\n"), body.trim_end());
            let (address, _heard) = peer(wire).await;
            let (_app, client) = client(address).await;
            let expected = match (kind, kind.mark()) {
                (_, Some(Mark::Safe)) => Outcome::Overload,
                _ if head.starts_with("HTTP/1.1 4") => Outcome::CallerFault,
                _ => Outcome::ServerFault,
            };
            // What all guards read, and what whoever asked is told.
            let verdict = client.get("/").send().await.expect("a reply").into_http().body().verdict();
            let verdict = verdict.expect("every reply is judged");
            let after = delays(kind).then_some(Duration::from_secs(2));
            let hint = (verdict.hint.mark, verdict.hint.after);
            assert_eq!((verdict.outcome, hint), (expected, (kind.mark(), after)), "{kind} of {version}");
            let reply = client.get("/").send().await.expect("a reply");
            let error = reply.error_for_status().await.expect_err("a problem");
            assert_eq!(error.outcome(), expected, "{kind} of {version}: {error}");
            assert!(error.detail().contains("why"), "{kind} of {version}, in the peer's own words: {error}");
        }
    }
    for (version, text) in golden::of_every_version("replies.http.txt") {
        let tells = text.split("== ").find(|reply| reply.starts_with("GET /degraded\n")).expect("a good one");
        let (head, body) = tells.split_once('\n').expect("a name").1.split_once("\n\n").expect("a head");
        let wire = format!("{}\r\nconnection: close\r\n\r\n{}", head.replace('\n', "\r\n"), body.trim_end());
        let (address, _heard) = peer(wire).await;
        let (app, client) = client(address).await;
        let page = client.get("/").send().await.expect("a reply").text().await.expect("a text");
        assert_eq!(page, "0", "{version}");
        let seen = discovery(&app).expect("one").targets();
        assert_eq!(seen[0].endpoints[0].under_way, Some(0), "{version}: {seen:?}");
    }
}
