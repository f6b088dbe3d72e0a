//! Asked: what an attempt and its wire tell each other.

use std::sync::{Arc, OnceLock};

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
    endpoint: OnceLock<Arc<str>>,
    parent: SpanId,
    avoid: Vec<Arc<str>>,
    only_others: bool,
}

impl Asked {
    pub(super) fn first(trace: TraceParent) -> Self {
        Asked::again(trace, Vec::new())
    }

    /// An attempt that prefers others than those in `avoid`.
    pub(super) fn again(trace: TraceParent, avoid: Vec<Arc<str>>) -> Self {
        let parent = if trace.is_sampled() { innermost(trace) } else { trace.span_id() };
        Asked { endpoint: OnceLock::new(), parent, avoid, only_others: false }
    }

    /// An attempt that is not made at all if there is nobody else: a hedge.
    pub(super) fn only_others(self) -> Self {
        Asked { only_others: true, ..self }
    }

    /// This endpoint is asked.
    pub fn set(&self, endpoint: &Arc<str>) {
        self.endpoint.get_or_init(|| Arc::clone(endpoint));
    }

    /// The span that the attempt's own stands under.
    pub fn parent(&self) -> SpanId {
        self.parent
    }

    /// Who was asked before in this call; somebody else is preferred.
    pub fn avoid(&self) -> &[Arc<str>] {
        &self.avoid
    }

    /// Is nobody asked rather than one of those again?
    pub fn asks_only_others(&self) -> bool {
        self.only_others
    }

    pub(super) fn endpoint(&self) -> Option<&Arc<str>> {
        self.endpoint.get()
    }

    pub(super) fn name(&self, error: Error) -> Error {
        match self.endpoint.get() {
            Some(endpoint) if error.endpoint().is_none() => error.at_endpoint(endpoint),
            _ => error,
        }
    }
}
