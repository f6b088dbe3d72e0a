//! Who runs what hyper spawns over HTTP/2?

use std::future::Future;

use hyper::rt::Executor;

/// tokio, which is handed a box. What hyper spawns for each call is kilobytes: on a client it has room for a whole
/// connection, on a server all that serves a request is in it. tokio moves what it runs several times, and what stands in
/// a box is not moved.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Boxing;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Boxing {
    fn execute(&self, work: F) {
        #[expect(
            clippy::disallowed_methods,
            reason = "a connection outlives every request, and what serves one makes a context of its own"
        )]
        tokio::spawn(Box::pin(work));
    }
}
