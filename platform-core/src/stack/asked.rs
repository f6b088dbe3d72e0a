//! Asked: what an attempt and its wire tell each other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    context::{SpanId, TraceParent},
    error::Error,
    telemetry::trace::innermost,
};

/// What an attempt and its wire tell each other.
///
/// The wire writes whom it asks, once; the attempt reads it at the end: a timeout has to name the endpoint that
/// was silent, and by then the future that knew it is gone. A repeat tells the wire whom not to ask again.
#[derive(Debug)]
pub struct Asked {
    /// Nobody else looks while it is written; a lock that is free costs less than a cell that can be set once.
    endpoint: Mutex<Option<Arc<str>>>,
    parent: SpanId,
    /// `None` for a first attempt, which has nobody to avoid and nothing to clear away.
    avoid: Option<Vec<Arc<str>>>,
    only_others: bool,
}

impl Asked {
    #[inline]
    pub(super) fn first(trace: TraceParent) -> Self {
        Asked::new(trace, None)
    }

    /// An attempt that prefers others than those in `avoid`.
    pub(super) fn again(trace: TraceParent, avoid: Vec<Arc<str>>) -> Self {
        Asked::new(trace, Some(avoid))
    }

    #[inline]
    fn new(trace: TraceParent, avoid: Option<Vec<Arc<str>>>) -> Self {
        let parent = if trace.is_sampled() { innermost(trace) } else { trace.span_id() };
        Asked { endpoint: Mutex::new(None), parent, avoid, only_others: false }
    }

    /// An attempt that is not made at all if there is nobody else: a hedge.
    pub(super) fn only_others(self) -> Self {
        Asked { only_others: true, ..self }
    }

    /// This endpoint is asked.
    #[inline]
    pub fn set(&self, endpoint: &Arc<str>) {
        self.lock().get_or_insert_with(|| Arc::clone(endpoint));
    }

    /// The span that the attempt's own stands under.
    pub fn parent(&self) -> SpanId {
        self.parent
    }

    /// Who was asked before in this call; somebody else is preferred.
    pub fn avoid(&self) -> &[Arc<str>] {
        self.avoid.as_deref().unwrap_or_default()
    }

    /// Is nobody asked rather than one of those again?
    pub fn asks_only_others(&self) -> bool {
        self.only_others
    }

    /// Whoever answers for the call, if it is somebody else than this attempt asked.
    pub(super) fn answered_by(&self, endpoint: Option<Arc<str>>) {
        *self.lock() = endpoint;
    }

    /// [`endpoint`](Self::endpoint) for the one whose it is, when nobody else looks any more: without the lock.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Arc<str>> {
        self.endpoint.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn endpoint(&self) -> Option<Arc<str>> {
        self.lock().clone()
    }

    pub(super) fn name(&self, error: Error) -> Error {
        match &*self.lock() {
            Some(endpoint) if error.endpoint().is_none() => error.at_endpoint(endpoint),
            _ => error,
        }
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        // Each change is whole before the next line that could panic.
        self.endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
