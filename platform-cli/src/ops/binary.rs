//! What does a program say of itself? (`--describe`)

use std::{path::Path, process::Stdio, time::Duration};

use platform_core::{
    Error, Result,
    identity::Identity,
    ops::{Objectives, Operated, Own},
};
use serde::Deserialize;
use tokio::{process::Command, time::timeout};

use super::company::named;
use crate::fleet;

/// As much of a description as is asked here.
#[derive(Deserialize)]
struct Described {
    identity: Identity,
    slo: Objectives,
    #[serde(default)]
    own: Own,
    #[serde(default)]
    stack: Vec<Client>,
}

/// As much of a row of the stack as is asked here; a server's page calls nobody.
#[derive(Deserialize)]
pub(super) struct Client {
    target: Option<String>,
    #[serde(default)]
    layers: Vec<Layer>,
}

/// A layer of its page.
#[derive(Deserialize)]
struct Layer {
    layer: String,
}

impl Client {
    /// The service that is called; what ends in a function of its own, such as a question to a database, is none.
    fn service(&self) -> Option<String> {
        let is_function = self.layers.iter().any(|one| one.layer == FUNCTION);
        named(self.target.as_ref().filter(|_| !is_function)?)
    }
}

/// Asks a program, given by its path, or by a command line with arguments.
///
/// # Errors
/// A program that cannot be started, does not end, or describes nothing.
pub(super) fn read(command: &str) -> Result<Operated> {
    let refused = |why: String| Error::config(format!("{command} --describe {why}"));
    let mut words = command.split_whitespace();
    let (program, arguments): (&str, Vec<&str>) = if Path::new(command).exists() {
        (command, Vec::new())
    } else {
        (words.next().unwrap_or_default(), words.collect())
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg("--describe")
        // Held open: a program that ends with its standard input goes on.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let ended = fleet::run(async {
        let mut child = command.spawn().map_err(|error| refused(format!("cannot be started: {error}")))?;
        let input = child.stdin.take();
        let ended = timeout(LIMIT, child.wait_with_output()).await;
        drop(input);
        let late =
            |_| refused("did not end within half a minute; is it a service of this platform?".to_owned());
        ended.map_err(late)?.map_err(|error| refused(format!("cannot be waited for: {error}")))
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complaints) = (text(&ended.stdout), text(&ended.stderr));
    if !ended.status.success() {
        return Err(refused(format!("ended with {}: {}", ended.status, complaints.trim())));
    }
    let Described { identity, slo, own, stack } = serde_json::from_str(&said)
        .map_err(|error| refused(format!("printed no description of a service on this platform: {error}")))?;
    Ok(Operated { own, ..operated(identity, slo, &stack) })
}

/// Whom a service calls stands in its stack.
pub(super) fn operated(identity: Identity, objectives: Objectives, stack: &[Client]) -> Operated {
    let mut calls: Vec<String> = stack.iter().filter_map(Client::service).collect();
    calls.sort();
    calls.dedup();
    Operated { identity, objectives, calls, own: Own::default() }
}

/// A description needs no network, and a debug build on a busy machine some seconds.
const LIMIT: Duration = Duration::from_secs(30);
/// What the page of an `Around` ends with, where those of others choose an endpoint.
const FUNCTION: &str = "function";

#[cfg(test)]
mod tests {
    use platform_core::{
        App,
        stack::{Around, ClientPolicy},
    };

    use super::*;

    #[tokio::test]
    async fn what_is_a_function_is_nobody_in_the_catalog() {
        let app = App::builder("orders").start().await.unwrap();
        let _films = Around::of(&app, "films-db", ClientPolicy::default()).unwrap();
        let _stock = platform_http::Client::for_target(&app, "stock").unwrap();
        let stack: Vec<serde_json::Value> = platform_core::stack::Targets::of(&app)
            .described()
            .into_iter()
            .map(|(target, layers)| serde_json::json!({ "target": &*target, "layers": layers }))
            .collect();
        assert_eq!(stack.len(), 2, "{stack:?}");
        let stack: Vec<Client> = serde_json::from_value(stack.into()).unwrap();
        assert_eq!(operated(Identity::default(), Objectives::default(), &stack).calls, ["stock"]);
    }
}
