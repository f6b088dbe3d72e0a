//! Which services does a registry know?
//!
//! For those who look at all of them: the fleet view, and a person at a terminal who does not know a name yet. Nobody
//! who serves or calls asks it.

use std::{collections::BTreeSet, pin::Pin, sync::Arc};

use platform_core::{Result, config::Name};

/// A registry that can say what it knows.
pub trait List: Send + Sync + 'static {
    /// The names of all services of which it knows an instance, as of now; those that are no names of ours are left out.
    ///
    /// # Errors
    /// The registry does not answer, or may not be asked; never an empty list instead.
    fn services(&self) -> Listing;
}

/// An answer that is on its way.
pub type Listing = Pin<Box<dyn Future<Output = Result<BTreeSet<Arc<str>>>> + Send>>;

/// The names among these.
pub(crate) fn names<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<Arc<str>> {
    texts
        .into_iter()
        .filter_map(|text| Name::parse(text).ok())
        .map(|name| Arc::clone(name.shared()))
        .collect()
}
