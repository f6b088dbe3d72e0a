//! Services in this process, found in a folder, and the command beside them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use axum::{Router, extract::State, routing::get};
use platform_core::{App, Result, app::Ended, config::Config, context, lifecycle::Phase, telemetry::log};
use platform_http::{Client, Problem, Server, prepare};
use tokio::task::JoinHandle;

use crate::ground::{platform, platform_in};

/// An instance of a service in this process.
pub(crate) struct Instance {
    pub(crate) app: App,
    running: JoinHandle<Result<Ended>>,
}

impl Instance {
    pub(crate) async fn start(registry: &Path, service: &str, instance: &str, zone: &str) -> Instance {
        Instance::set(registry, service, instance, zone, "").await
    }

    /// The same with more of a configuration.
    pub(crate) async fn set(
        registry: &Path,
        service: &str,
        instance: &str,
        zone: &str,
        toml: &str,
    ) -> Instance {
        let config = Config::builder()
            .toml(toml)
            .set("server.listen", "127.0.0.1:0")
            .set("admin.listen", "127.0.0.1:0")
            .set("service.instance", instance)
            .set("service.zone", zone)
            .set("service.version", "1.2.0")
            .set("lifecycle.propagation", "0ms")
            .set("discovery.start_wait", "100ms")
            .set("discovery.dir.path", registry.display().to_string());
        let config = config.load().expect("a configuration");
        let app = App::builder(service).config(config).log_to(log::Output::to(std::io::sink()));
        let app = app.start().await.expect("a start");
        let routes = if service == "orders" {
            let stock = Client::for_target(&app, "stock").expect("a client");
            Router::new().route("/", get(ask)).with_state(stock)
        } else {
            Router::new().route("/", get(|| async { "7" }))
        };
        prepare(&app, Server::new(routes)).expect("a server");
        let running = context::spawn(app.clone().run_until_stopped());
        app.phases().reached(Phase::Ready).await;
        // Announced just after that, by a file.
        let record = registry.join(service).join(format!("{instance}.json"));
        while !record.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Instance { app, running }
    }

    /// The status of its page, which asks stock.
    pub(crate) async fn page(&self) -> u16 {
        let address = self.app.address("http").expect("it listens");
        let itself = Client::builder(&self.app, "itself").target(format!("fixed://{address}"));
        let itself = itself.policy(|policy| policy.recovery = platform_core::recovery::Recovery::None);
        let itself = itself.build().expect("a client");
        itself.get("/").send().await.expect("a reply").status().as_u16()
    }

    pub(crate) async fn ended(self) -> u8 {
        self.running.await.expect("it does not panic").expect("it ends").code()
    }

    /// Stops, and nothing went wrong.
    pub(crate) async fn stop(self) {
        self.app.stop("the test", "it is over");
        assert_eq!(self.ended().await, 0);
    }
}

async fn ask(State(stock): State<Client>) -> Result<String, Problem> {
    Ok(stock.get("/").send().await?.error_for_status().await?.text().await?)
}

/// A folder with a registry and a file that names it.
pub(crate) struct Town {
    place: tempfile::TempDir,
}

impl Town {
    pub(crate) fn new() -> Town {
        let place = tempfile::tempdir().expect("a folder");
        let town = Town { place };
        let file = format!(
            "[service]\nname = \"orders\"\nowner = \"team-a\"\n[discovery]\nstart_wait = \"2s\"\ndir = {{ path = {:?} }}\n",
            town.registry()
        );
        fs::write(town.place.path().join("platform.toml"), file).expect("a file");
        town
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.place.path().join("registry")
    }

    /// Status, output and complaints of the command.
    pub(crate) async fn platform(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let (folder, arguments) = (self.place.path().to_path_buf(), owned(arguments));
        beside(move || platform_in(&folder, &each(&arguments))).await
    }

    /// The same with variables in its environment.
    pub(crate) async fn platform_with(
        &self,
        variables: &[(&'static str, &str)],
        arguments: &[&str],
    ) -> (Option<i32>, String, String) {
        let (folder, arguments) = (self.place.path().to_path_buf(), owned(arguments));
        let variables: Vec<(&str, String)> =
            variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        beside(move || platform(&folder, &each(&arguments)).envs(variables).output().expect("it was built"))
            .await
    }
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|one| (*one).to_owned()).collect()
}

fn each(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Runs the command beside the services, which must not wait for it.
async fn beside(run: impl FnOnce() -> Output + Send + 'static) -> (Option<i32>, String, String) {
    let out = tokio::task::spawn_blocking(run).await.expect("it does not panic");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}
