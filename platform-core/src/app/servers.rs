//! The servers of a process, from their addresses to their end.

use std::{panic::AssertUnwindSafe, sync::PoisonError, time::Duration};

use futures_util::{FutureExt as _, future::join_all};
use tokio::{task::JoinHandle, time::timeout};

use super::{App, Bound, Serve, Served, Stop, spawn};
use crate::{
    error::{Error, ErrorKind, Result},
    lifecycle::{Drain, Trigger, panic_text},
};

/// Servers under way.
pub(super) struct Servers {
    serving: Vec<JoinHandle<Result<Served>>>,
    drain: Trigger,
}

impl Servers {
    /// Takes every address before any server serves.
    pub(super) async fn begin(app: &App, mut servers: Vec<Box<dyn Serve>>) -> Result<Self> {
        let mut bound = Vec::with_capacity(servers.len());
        for server in &mut servers {
            bound.push(server.bind(app).await?);
        }
        let (trigger, drain) = Drain::new();
        let serving = servers
            .into_iter()
            .zip(&bound)
            .map(|(server, Bound { name, .. })| {
                let (stop, name) = (app.0.stop.clone(), name.clone());
                let (drain, grace) = (drain.clone(), app.0.lifecycle.grace);
                spawn(async move {
                    let served = outlive(&name, server, drain, grace).await;
                    if let Err(error) = &served {
                        // The receiver is gone only when the process has stopped already.
                        let _ = stop.send(Stop::Death(error.clone()));
                    }
                    served
                })
            })
            .collect();
        app.0.bound.lock().unwrap_or_else(PoisonError::into_inner).extend(bound);
        Ok(Servers { serving, drain: trigger })
    }

    /// Tells all that they will be asked to end after `length`.
    pub(super) fn announce(&self, length: Duration) {
        self.drain.announce(length);
    }

    /// Asks all to end and waits; a server that outlives the grace is dropped. With the first failure.
    pub(super) async fn end(self, grace: Duration) -> (Served, Option<Error>) {
        self.drain.ask();
        let ends = join_all(self.serving.into_iter().map(|serving| async move {
            let abort = serving.abort_handle();
            match timeout(grace + LATE, serving).await {
                Ok(Ok(Ok(served))) => (served, None),
                Ok(Ok(Err(error))) => (Served::default(), Some(error)),
                // Its panic was caught, and nobody else aborts it.
                Ok(Err(_)) => (Served::default(), None),
                Err(_) => {
                    abort.abort();
                    (Served { cut: 1 }, None)
                }
            }
        }));
        let ends = ends.await;
        let cut = ends.iter().map(|(served, _)| served.cut).sum();
        (Served { cut }, ends.into_iter().find_map(|(_, died)| died))
    }
}

/// Serves until the drain; a server that ends before it leaves a process that looks well and answers nobody,
/// so any such end is a failure, a panic included.
async fn outlive(name: &str, server: Box<dyn Serve>, drain: Drain, grace: Duration) -> Result<Served> {
    let asked = drain.clone();
    let serving = AssertUnwindSafe(async move { server.serve(drain, grace).await });
    let error = match serving.catch_unwind().await {
        Ok(Ok(served)) if asked.is_asked() => return Ok(served),
        Ok(Ok(_)) => return Err(Error::new(ErrorKind::Internal, format!("server {name:?} ended by itself"))),
        Ok(Err(error)) => error,
        Err(panic) => Error::new(ErrorKind::Panic, panic_text(&*panic)),
    };
    Err(Error::new(error.kind(), format!("server {name:?} died")).with_source(error))
}

/// A server ends itself at the grace; it is given this much more before it is dropped.
const LATE: Duration = Duration::from_secs(1);
