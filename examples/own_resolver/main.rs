//! A registry of one's own: one method.
//!
//! A company that keeps its machines in a list of its own says so with a `Resolve`. It yields whole sets, says an error
//! where it knows nothing, and repeats itself while it is in touch. All else (the last good set, what vanishes, who is
//! slow) is the platform's.

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use axum::{Router, extract::State, routing::get};
use futures_util::stream;
use platform_core::{App, Error, ErrorKind, Result};
use platform_discovery::{Endpoint, Found, Resolve, Snapshot, Snapshots, Target};
use platform_http::{Client, Problem, discovery};
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let app = App::start("shelves").await?;
    let routes = routes(&app, Machines::default());
    platform_http::serve(app, routes).await
}

/// A file of addresses, one a line, that somebody's tool writes.
struct Machines {
    file: std::path::PathBuf,
}

impl Default for Machines {
    fn default() -> Self {
        Machines { file: "machines.txt".into() }
    }
}

impl Resolve for Machines {
    fn resolve(&self, _target: &Target) -> Snapshots {
        let look = (self.file.clone(), Duration::ZERO);
        Box::pin(stream::unfold(look, |(file, pause)| async move {
            sleep(pause).await;
            let answer =
                read(&tokio::fs::read_to_string(&file).await.map_err(|error| {
                    Error::new(ErrorKind::Unreachable, format!("{}: {error}", file.display()))
                }));
            Some((answer, (file, EVERY)))
        }))
    }

    fn describe(&self, _target: &Target) -> String {
        format!("machines of {}", self.file.display())
    }
}

/// All of it or an error: half a list would look like machines that are gone.
fn read(text: &Result<String>) -> Result<Snapshot> {
    let text = text.as_ref().map_err(Clone::clone)?;
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let address: SocketAddr = line
            .trim()
            .parse()
            .map_err(|_| Error::config(format!("{line:?} is no address: write IP:PORT, one a line")))?;
        found.push(Found::new(Endpoint::at(address)));
    }
    Ok(Snapshot::new(found))
}

fn routes(app: &App, machines: Machines) -> Result<Router> {
    // Before the client is made: from then on the target is watched.
    discovery(app)?.use_source("catalog", Arc::new(machines));
    let catalog = Client::for_target(app, "catalog")?;
    Ok(Router::new().route("/", get(page)).with_state(catalog))
}

async fn page(State(catalog): State<Client>) -> Result<String, Problem> {
    Ok(catalog.get("/").send().await?.error_for_status().await?.text().await?)
}

/// Machines come and go by hand.
const EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
#[path = "../ground.rs"]
mod ground;

#[cfg(test)]
mod tests {
    use super::{ground::Running, *};

    async fn says(word: &'static str) -> Running {
        Running::start(word, "", |_| Ok(Router::new().route("/", get(move || async move { word })))).await
    }

    #[tokio::test]
    async fn whoever_is_added_to_the_list_is_asked() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("machines.txt");
        let (one, two) = (says("one").await, says("two").await);
        std::fs::write(&file, format!("{}\n", one.address)).unwrap();
        let machines = Machines { file: file.clone() };
        let service = Running::start("shelves", "", |app| routes(app, machines)).await;
        let client = service.client();
        for _ in 0..5 {
            assert_eq!(Running::ask(client.get("/")).await, (200, "one".to_owned()));
        }
        std::fs::write(&file, format!("{}\n{}\n", one.address, two.address)).unwrap();
        // Read within a quarter of a second, and asked once it is connected.
        let found = tokio::time::timeout(Duration::from_secs(20), async {
            while Running::ask(client.get("/")).await.1 != "two" {
                sleep(Duration::from_millis(5)).await;
            }
        });
        found.await.expect("the second is asked too");
        for running in [service, one, two] {
            running.stop().await;
        }
    }

    #[test]
    fn a_list_that_makes_no_sense_is_an_error_and_no_shorter_list() {
        assert_eq!(read(&Ok("10.0.0.1:80\n\n10.0.0.2:80\n".to_owned())).unwrap().found().len(), 2);
        let error = read(&Ok("10.0.0.1:80\nmachine-2\n".to_owned())).unwrap_err();
        assert!(error.to_string().contains("\"machine-2\" is no address"), "{error}");
    }
}
