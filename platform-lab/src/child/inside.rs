//! The server's side: one worker thread that serves, and the main thread that answers the lab.

use std::{
    future::Future,
    io::{self, BufRead},
    sync::mpsc,
};

use tokio::runtime::Builder;

use super::counting;

/// Where a server says which port it listens on, once it does.
pub(crate) type Listening = mpsc::Sender<u16>;

/// Runs a server on one worker thread and answers the lab's questions until it closes our standard input.
///
/// Answers go to standard error: standard output belongs to the service's own log.
///
/// # Errors
/// The server's own, if it ends before it listens; or a lost standard input.
pub(crate) fn answer<F>(serve: impl FnOnce(Listening) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (listening, port) = mpsc::channel();
    let server = runtime.spawn(serve(listening));
    let Ok(port) = port.recv() else {
        return runtime.block_on(server).map_err(io::Error::other)?;
    };
    eprintln!("listening {port}");
    for question in io::stdin().lock().lines() {
        match question?.as_str() {
            "allocations" => eprintln!("allocations {}", counting::allocations()),
            other => eprintln!("no answer to {other:?}"),
        }
    }
    runtime.shutdown_background();
    Ok(())
}
