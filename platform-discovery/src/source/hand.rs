//! A source driven by hand, for tests.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream;
use platform_core::{Error, Result};
use tokio::sync::mpsc;

use crate::{
    endpoint::{Endpoint, Found},
    resolve::{Resolve, Snapshot, Snapshots},
    target::Target,
};

/// A source that says what a test tells it to say.
///
/// Clones are the same source. What is said before anybody watches is heard by the first who does.
#[derive(Clone, Debug, Default)]
pub struct Hand {
    said: Arc<Mutex<Said>>,
    remembered: bool,
}

#[derive(Debug, Default)]
struct Said {
    last: Option<Result<Snapshot>>,
    listeners: Vec<mpsc::UnboundedSender<Result<Snapshot>>>,
}

impl Hand {
    /// A source that has said nothing yet.
    pub fn new() -> Self {
        Hand::default()
    }

    /// The same, and its last good set is kept on disk.
    #[must_use]
    pub fn remembered(self) -> Self {
        Hand { remembered: true, ..self }
    }

    /// Answers with these endpoints.
    pub fn say(&self, endpoints: impl IntoIterator<Item = Endpoint>) {
        self.answer(Ok(Snapshot::new(endpoints.into_iter().map(Found::new))));
    }

    /// Fails.
    pub fn fail(&self, error: Error) {
        self.answer(Err(error));
    }

    /// Whether anybody watches.
    pub fn is_heard(&self) -> bool {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.listeners.iter().any(|listener| !listener.is_closed())
    }

    /// Answers with this, leases and all.
    pub fn answer(&self, answer: Result<Snapshot>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.listeners.retain(|listener| listener.send(answer.clone()).is_ok());
        said.last = Some(answer);
    }
}

impl Resolve for Hand {
    fn resolve(&self, _target: &Target) -> Snapshots {
        let (listener, answers) = mpsc::unbounded_channel();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = said.last.clone() {
            // The receiver is in this function.
            let _ = listener.send(last);
        }
        said.listeners.push(listener);
        Box::pin(stream::unfold(answers, |mut answers| async { Some((answers.recv().await?, answers)) }))
    }

    fn describe(&self, _target: &Target) -> String {
        "a test".to_owned()
    }

    fn is_remembered(&self) -> bool {
        self.remembered
    }
}
