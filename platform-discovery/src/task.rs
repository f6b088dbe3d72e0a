//! A background task that ends with its owner.

use std::future::Future;

use tokio::task::AbortHandle;

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
