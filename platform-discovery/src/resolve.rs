//! How does a source tell what it knows?

use std::{pin::Pin, sync::Arc};

use futures_core::Stream;
use platform_core::Result;

use crate::{endpoint::Found, target::Target};

/// A place that endpoints come from.
///
/// A source yields **whole sets**: a missed message cannot leave a ghost behind. It yields an error for what
/// it cannot tell, never an empty set instead, and goes on; retrying, with its own back-off, is its business.
/// A stream that ends says that its last set stays true for ever.
///
/// While it is in touch it repeats its last answer, every minute or oftener, also when nothing changed: the age of the
/// set is counted from the last answer. A loss of many at once is believed only when a further answer confirms it; a
/// source that says nothing more for a while after telling of one is resolved anew.
///
/// ```
/// use std::sync::Arc;
///
/// use futures_util::stream;
/// use platform_discovery::{Endpoint, Found, Resolve, Snapshot, Snapshots, Target};
///
/// /// Everybody runs here.
/// struct Localhost;
///
/// impl Resolve for Localhost {
///     fn resolve(&self, _target: &Target) -> Snapshots {
///         let endpoint = Endpoint::at("127.0.0.1:8080".parse().expect("an address"));
///         Box::pin(stream::iter([Ok(Snapshot::new([Found::new(endpoint)]))]))
///     }
/// }
///
/// let source: Arc<dyn Resolve> = Arc::new(Localhost);
/// # let _ = source;
/// ```
pub trait Resolve: Send + Sync + 'static {
    /// The sets of `target`, the current one first, then whenever it may have changed.
    fn resolve(&self, target: &Target) -> Snapshots;

    /// The source in a few words, for those who ask why a set is as it is.
    fn describe(&self, target: &Target) -> String {
        format!("a source of its own for {target}")
    }

    /// Whether the last good set is kept on disk (`discovery.snapshot`), for a start while this source is silent:
    /// yes for a server that may be down. The list is found again by the target and by [`describe`](Self::describe).
    fn is_remembered(&self) -> bool {
        false
    }
}

/// Whole sets, and errors between them.
pub type Snapshots = Pin<Box<dyn Stream<Item = Result<Snapshot>> + Send>>;

/// One answer of a source: all it knows.
///
/// Yielding a clone of the last one says that it is still true; that costs a pointer comparison.
#[derive(Clone, Debug)]
pub struct Snapshot {
    found: Arc<[Found]>,
    skipped: usize,
}

impl Snapshot {
    /// An answer of these endpoints.
    pub fn new(found: impl IntoIterator<Item = Found>) -> Self {
        Snapshot { found: found.into_iter().collect(), skipped: 0 }
    }

    /// The same, with the number of records that made no sense and were left out.
    #[must_use]
    pub fn skipping(self, skipped: usize) -> Self {
        Snapshot { skipped, ..self }
    }

    /// The endpoints.
    pub fn found(&self) -> &Arc<[Found]> {
        &self.found
    }

    /// How many records made no sense and were left out.
    pub fn skipped(&self) -> usize {
        self.skipped
    }
}
