//! What does a program say of itself? (`--describe`)

use std::{
    io::Read,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use platform_core::{
    Error, Result,
    identity::Identity,
    ops::{Objectives, Operated},
};
use serde::Deserialize;

use super::company::named;

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
    let mut child = Command::new(program)
        .args(arguments)
        .arg("--describe")
        // Held open: a program that ends with its standard input goes on.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| refused(format!("cannot be started: {error}")))?;
    let said = drain(child.stdout.take());
    let complaints = drain(child.stderr.take());
    let status = wait(&mut child).map_err(&refused)?;
    let (said, complaints) = (join(said), join(complaints));
    if !status.success() {
        return Err(refused(format!("ended with {status}: {}", complaints.trim())));
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

/// Reads to the end beside the wait: a pipe that is full would hold the program.
fn drain(pipe: Option<impl Read + Send + 'static>) -> Option<thread::JoinHandle<String>> {
    let mut pipe = pipe?;
    Some(thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was said before a pipe broke is worth reading.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }))
}

fn join(reader: Option<thread::JoinHandle<String>>) -> String {
    reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a program without a runtime waits for another one")]
fn wait(child: &mut Child) -> Result<ExitStatus, String> {
    for _ in 0..LOOKS {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => thread::sleep(LOOK),
            Err(error) => return Err(format!("cannot be waited for: {error}")),
        }
    }
    // It may have ended by itself just now; either way it is over.
    let _ = child.kill();
    let _ = child.wait();
    Err("did not end within half a minute; is it a service of this platform?".to_owned())
}

/// Looks for the end of a description: it needs no network, and a debug build on a busy machine some seconds.
const LOOKS: u32 = 3000;
const LOOK: Duration = Duration::from_millis(10);
