//! What the person on call gets, judged by Prometheus: every question of every board is answered by the running fleet,
//! an alert fires for the right team when something really breaks, and nothing fires when nothing does.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use axum::Router;
use platform_core::{
    App, Result,
    app::Ended,
    config::Config,
    context,
    identity::Identity,
    lifecycle::Phase,
    ops::{Objectives, Operated, Places, Teams, Tree, alerts, boards},
    telemetry::log::{Captured, Output},
};
use platform_http::Server;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::Mutex,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use authority::Authority;

#[path = "../../platform-http/tests/ground/authority.rs"]
mod authority;

/// A fleet under the eyes of a Prometheus that has the fleet's own rules, sixty times faster than by night.
struct Watched {
    fleet: Child,
    prometheus: Child,
    address: String,
    letterbox: Letterbox,
    _folder: TempDir,
}

/// A service that speaks TLS, which the fleet does not.
struct Letterbox {
    admin: String,
    running: JoinHandle<Result<Ended>>,
    _certificates: Authority,
}

impl Letterbox {
    async fn open() -> Letterbox {
        let certificates = Authority::new();
        let issued = certificates.issue("letterbox", "spiffe://film/letterbox", |_| ());
        let config = Config::builder()
            .set("server.listen", "127.0.0.1:0")
            .set("admin.listen", "127.0.0.1:0")
            .set("discovery.register.mode", "off")
            .set("server.tls.cert", issued.cert.display().to_string())
            .set("server.tls.key", issued.key.display().to_string());
        let app = App::builder("letterbox").config(config.load().unwrap());
        let app = app.log_to(Output::to(Captured::default())).start().await.unwrap();
        platform_http::prepare(&app, Server::new(Router::new())).unwrap();
        let running = context::spawn(app.clone().run_until_stopped());
        timeout(LIMIT, app.phases().reached(Phase::Ready)).await.unwrap();
        let admin = app.address("admin").unwrap().to_string();
        Letterbox { admin, running, _certificates: certificates }
    }
}

impl Watched {
    async fn start(arguments: &[&str]) -> Watched {
        let folder = TempDir::new().unwrap();
        let mut fleet = Command::new(env!("CARGO_BIN_EXE_fleet"))
            .args(["--rps", "60", "--for", "120s"])
            .args(arguments)
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(fleet.stdout.take().unwrap()).lines();
        timeout(LIMIT, async {
            while !said.next_line().await.unwrap().expect("it started").contains("Ready in") {}
        })
        .await
        .expect("the fleet is ready in time");
        // Read on, so that it is not held by a full pipe.
        drop(context::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} }));

        let mut admins = admins(folder.path());
        assert_eq!(admins.len(), 11, "every instance has registered its admin listener");
        let letterbox = Letterbox::open().await;
        admins.push(letterbox.admin.clone());
        fs::write(folder.path().join("targets.json"), json!([{ "targets": admins }]).to_string()).unwrap();
        let rules = folder.path().join("rules");
        fs::create_dir(&rules).unwrap();
        for (name, text) in drill().await {
            fs::write(rules.join(name), text).unwrap();
        }
        let config = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules.join("*.yaml")],
            "scrape_configs": [{
                "job_name": "fleet",
                "file_sd_configs": [{ "files": [folder.path().join("targets.json")] }],
            }],
        });
        // JSON is YAML.
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config.to_string()).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let prometheus = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={free}"))
            .args(["--enable-feature=exemplar-storage", "--log.level=error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Watched { fleet, prometheus, address: free.to_string(), letterbox, _folder: folder }
    }

    /// The samples that answer `expr` now; `None` while nobody answers.
    async fn ask(&self, expr: &str) -> Option<Vec<Value>> {
        let path = format!("/api/v1/query?query={}", encoded(expr));
        let answer = self.get(&path).await?;
        assert_eq!(answer["status"], "success", "{expr}: {answer}");
        Some(answer["data"]["result"].as_array().unwrap().clone())
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(&self.address).await.ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.ok()?;
        serde_json::from_str(reply.split_once("\r\n\r\n")?.1).ok()
    }

    /// Waits until `expr` has an answer.
    async fn until(&self, expr: &str) -> Vec<Value> {
        let wait = async {
            loop {
                match self.ask(expr).await {
                    Some(samples) if !samples.is_empty() => return samples,
                    _ => sleep(Duration::from_millis(200)).await,
                }
            }
        };
        timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("nothing ever answered {expr}"))
    }

    /// Which alerts fire, and for whom; but for those that say how long answers take, which on a busy machine is true.
    async fn firing(&self) -> BTreeSet<[String; 4]> {
        let samples = self.ask("ALERTS{alertstate=\"firing\",slo!=\"latency\"}").await.unwrap();
        let of = |sample: &Value| {
            let label = |name: &str| sample["metric"][name].as_str().unwrap_or_default().to_owned();
            ["alertname", "service", "team", "severity"].map(label)
        };
        samples.iter().map(of).collect()
    }

    async fn end(mut self) {
        self.prometheus.kill().await.unwrap();
        // Its instances go with it.
        self.fleet.kill().await.unwrap();
        self.letterbox.running.abort();
    }
}

/// The admin listeners of whoever has registered.
fn admins(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "json")
                && path.components().any(|part| part.as_os_str() == "registry")
            {
                let record: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
                found.push(record["admin"].as_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// The rules of every service, as each describes itself, in sixtieths of their windows.
async fn drill() -> Vec<(String, String)> {
    let mut services = Vec::new();
    for role in ["edge", "catalog", "ratings", "recommendations"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fleet"))
            .args(["--role", role, "--describe"])
            // A service of the fleet ends with its standard input.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let _open = child.stdin.take();
        let out = child.wait_with_output().await.unwrap();
        let described: Value = serde_json::from_slice(&out.stdout).unwrap();
        let identity: Identity = serde_json::from_value(described["identity"].clone()).unwrap();
        let objectives: Objectives = serde_json::from_value(described["slo"].clone()).unwrap();
        services.push(Operated { identity, objectives, ..Operated::default() });
    }
    let tree = Tree::of(&services, &Teams::default()).unwrap();
    let places = Places { shorten: 60, ..Places::default() };
    let catalogue = platform_grpc::joined_catalogue();
    let of = |service: &Operated| {
        let rules = alerts(service, &catalogue, &tree, &places).unwrap();
        (format!("{}.yaml", service.identity.name), rules.yaml())
    };
    services.iter().map(of).collect()
}

#[tokio::test]
async fn a_broken_dependency_calls_the_right_team_and_every_panel_shows_something() {
    if !is_there("prometheus") {
        return;
    }
    let _alone = ALONE.lock().await;
    // The home page cannot be made without the catalog; without ratings it is degraded.
    let faults =
        ["--fault", "catalog:error=100%,after=3s,for=2m", "--fault", "ratings:error=60%,after=3s,for=2m"];
    let watched = Watched::start(&faults).await;
    let began = Instant::now();
    let fired = watched
        .until("ALERTS{alertname=\"ErrorBudgetBurn\",alertstate=\"firing\",severity=\"page\",team=\"team-home\"}")
        .await;
    let took = began.elapsed();
    eprintln!("it fired {took:?} after Prometheus was started, 3 s at most before the fault");
    assert!(took < Duration::from_secs(60), "{took:?}");
    let metric = &fired[0]["metric"];
    for (label, value) in [("service", "edge"), ("owner", "team-home"), ("slo", "availability")] {
        assert_eq!(metric[label], value, "{metric}");
    }
    // Half a minute of the drill is half an hour of the night.
    let parents =
        watched.until("ALERTS{alertname=\"ErrorBudgetBurn\",alertstate=\"firing\",team=\"product\"}").await;
    assert_eq!(parents[0]["metric"]["escalation"], "parent");
    assert_eq!(parents[0]["metric"]["owner"], "team-home", "whoever owns it still does");

    // What a person reads.
    let alerts = watched.get("/api/v1/alerts").await.unwrap();
    let alerts = alerts["data"]["alerts"].as_array().unwrap();
    let burn = alerts
        .iter()
        .find(|one| one["labels"]["alertname"] == "ErrorBudgetBurn" && one["labels"]["service"] == "edge");
    let told = &burn.unwrap()["annotations"];
    assert_eq!(told["worst_version"], "1.4.2", "{told}");
    assert!(told["admin"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{told}");
    assert!(told["summary"].as_str().unwrap().starts_with("edge breaks its promise that 99.9 %"), "{told}");
    // Nobody is called who did nothing wrong: the fault hits the edges' calls and not the services called.
    let firing = watched.firing().await;
    let wrong: Vec<_> = firing.iter().filter(|[_, service, ..]| service != "edge").collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(firing.iter().any(|[name, ..]| name == "BreakerOpen"), "{firing:?}");

    let mut silent = Vec::new();
    let mut asked = 0;
    for board in boards(&platform_grpc::joined_catalogue()) {
        let value: Value = serde_json::from_str(&board.text).unwrap();
        for panel in value["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expr = target["expr"].as_str().unwrap();
                let expr = expr.replace("$__rate_interval", "10s");
                let expr = ["$service", "$version", "$zone"]
                    .iter()
                    .fold(expr, |expr, name| expr.replace(name, ".*"));
                asked += 1;
                if watched.ask(&expr).await.unwrap().is_empty() {
                    silent.push(format!("{}: {}: {expr}", board.name, panel["title"]));
                }
            }
        }
    }
    eprintln!("{asked} questions of the boards were asked");
    assert!(asked > 40, "{asked}");
    assert!(silent.is_empty(), "nothing answers\n{}", silent.join("\n"));
    watched.end().await;
}

#[tokio::test]
async fn nobody_is_called_while_nothing_is_wrong() {
    if !is_there("prometheus") {
        return;
    }
    let _alone = ALONE.lock().await;
    let watched = Watched::start(&[]).await;
    // It is awake: it judges what is promised, and nothing burns.
    watched.until("platform:slo_burn:ratio_1h{service_name=\"edge\",slo=\"availability\"}").await;
    let mut ever = BTreeSet::new();
    let end = Instant::now() + QUIET;
    while Instant::now() < end {
        ever.extend(watched.firing().await);
        sleep(Duration::from_millis(500)).await;
    }
    assert!(ever.is_empty(), "{ever:?}");
    let burns = watched.ask("platform:slo_burn:ratio_1h{slo=\"availability\"}").await.unwrap();
    let services: BTreeSet<_> =
        burns.iter().map(|burn| burn["metric"]["service_name"].as_str().unwrap()).collect();
    assert_eq!(services, BTreeSet::from(["catalog", "edge", "ratings"]), "all that have promised something");
    assert!(burns.iter().all(|burn| burn["value"][1] == "0"), "{burns:?}");
    watched.end().await;
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Whether there is a program of others; a line, or a failure where it has to be there, if not.
fn is_there(program: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&folders).map(|folder: PathBuf| folder.join(program)).any(|file| file.is_file());
    if !found {
        let required = env::var_os("PLATFORM_REQUIRE_OUTSIDE").is_some_and(|value| value == "1");
        assert!(!required, "{program} is missing; on Debian: apt-get install {program}");
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// Eleven processes each: one fleet after the other.
static ALONE: Mutex<()> = Mutex::const_new(());
/// Nothing here takes so long unless it hangs.
const LIMIT: Duration = Duration::from_secs(90);
/// As long as the broken fleet needs to call somebody, and the parent.
const QUIET: Duration = Duration::from_secs(35);
