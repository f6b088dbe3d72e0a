//! Work beside the requests: a background task that ends with its owner, and what may block.

use std::future::Future;

use platform_core::{Error, ErrorKind, Result};
use tokio::task::{self, AbortHandle};

/// Keeps a task alive; dropping it ends the task.
#[derive(Debug)]
pub(crate) struct Background(AbortHandle);

impl Background {
    #[expect(
        clippy::disallowed_methods,
        reason = "it belongs to a target and not to a request, and its owner ends it"
    )]
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Background(tokio::spawn(work).abort_handle())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Does it off the runtime's threads: a disk may hang, and a door may stay shut.
///
/// # Errors
///
/// [`ErrorKind::Internal`] if the process is stopping and nothing was done.
///
/// # Panics
///
/// When the work does.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => Error::new(ErrorKind::Internal, "the process is stopping").with_source(error),
    })
}
