//! Calls in another protocol than HTTP, over the same connections and through the same page.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use http::{Request, Response};
use platform_core::{
    Result,
    call::CarryCall as _,
    stack::{Answered, Row},
};

use super::{Inner, Settings, dialect::Dialect, request::begin_trace};
use crate::Body;

/// A call under way, in the one box that it takes.
pub type Calling = Pin<Box<dyn Future<Output = Result<Answered<Response<Body>>>> + Send>>;

/// Calls one target in a dialect; what a client of another protocol rests on. Clones share everything.
pub struct Caller<D>(pub(super) Arc<Inner<D>>);

impl<D: Dialect> Caller<D> {
    /// Calls; of the request's URI the path counts. The reply's rest is to be read within the limit that is told.
    ///
    /// # Errors
    /// When there is no reply: no endpoint, no connection, no answer in time.
    pub fn call(&self, mut request: Request<Body>) -> Calling {
        begin_trace(request.body_mut().context_mut(), &self.0.wire.traces);
        self.0.call(request)
    }

    /// What is called.
    pub fn target(&self) -> &Arc<str> {
        self.0.pages.stack.target()
    }

    /// What is spoken.
    pub fn dialect(&self) -> &D {
        &self.0.wire.dialect
    }

    /// What is set.
    pub fn settings(&self) -> &Settings {
        &self.0.wire.settings
    }

    /// The order in which a call passes its layers, with what is set.
    pub fn describe(&self) -> Vec<Row> {
        self.0.describe()
    }
}

impl<D> Clone for Caller<D> {
    fn clone(&self) -> Self {
        Caller(Arc::clone(&self.0))
    }
}

impl<D: Dialect> fmt::Debug for Caller<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("target", self.target()).finish_non_exhaustive()
    }
}
