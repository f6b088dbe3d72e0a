//! Leash: a process of the fleet does not outlive its operator.
//!
//! The operator holds the other end of standard input and never writes. When it is gone, however it went, the end
//! of input is read here, and the process ends as if it had been asked to.

use std::{
    io::{self, Read as _},
    process::{ExitCode, Stdio},
    thread,
};

use platform_core::{Error, ErrorKind, Result};
use rustix::process::{Signal, getpid, kill_process};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

/// Stops this process with SIGTERM when standard input ends.
pub(crate) fn hold() -> io::Result<()> {
    let wait = || {
        let mut nothing = [0; 64];
        let mut input = io::stdin().lock();
        while input.read(&mut nothing).is_ok_and(|read| read > 0) {}
        // A process can always signal itself.
        let _ = kill_process(getpid(), Signal::TERM);
    };
    thread::Builder::new().name("leash".to_owned()).spawn(wait).map(drop)
}

/// Runs a program of others, which knows no leash, and ends it when it is time.
pub(crate) async fn walk(program: &str, arguments: Vec<String>) -> Result<ExitCode> {
    let failed =
        |error| Error::new(ErrorKind::Start, format!("{program} cannot be started")).with_source(error);
    let mut asked = signal(SignalKind::terminate()).map_err(failed)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    tokio::select! {
        status = child.wait() => Ok(ExitCode::from(u8::from(!status.is_ok_and(|status| status.success())))),
        _ = asked.recv() => {
            // What it has stored goes with the fleet.
            let _ = child.kill().await;
            Ok(ExitCode::SUCCESS)
        }
    }
}
