//! What does a program say of itself? (`--describe`)

use std::{path::Path, process::Stdio, time::Duration};

use platform_core::{
    Error, Result,
    identity::Identity,
    ops::{Objectives, Operated},
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
    stack: Vec<Client>,
}

/// As much of a row of the stack as is asked here; a server's page calls nobody.
#[derive(Deserialize)]
pub(super) struct Client {
    pub(super) target: Option<String>,
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
    let Described { identity, slo, stack } = serde_json::from_str(&said)
        .map_err(|error| refused(format!("printed no description of a service on this platform: {error}")))?;
    Ok(operated(identity, slo, &stack))
}

/// Whom a service calls stands in its stack.
pub(super) fn operated(identity: Identity, objectives: Objectives, stack: &[Client]) -> Operated {
    let mut calls: Vec<String> = stack.iter().filter_map(|client| named(client.target.as_ref()?)).collect();
    calls.sort();
    calls.dedup();
    Operated { identity, objectives, calls }
}

/// A description needs no network, and a debug build on a busy machine some seconds.
const LIMIT: Duration = Duration::from_secs(30);
