//! Which services does a registry know?
//!
//! For those who look at all of them: the fleet view, and a person at a terminal who does not know a name yet. Nobody
//! who serves or calls asks it.

use std::{collections::BTreeSet, pin::Pin, sync::Arc, time::Duration};

use platform_core::{Error, ErrorKind, Result, config::Name};
use tokio::time;

use crate::task::aside;

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

/// What the registry says that this opens, which may block.
///
/// # Errors
/// What either says, and [`ErrorKind::Timeout`] where that takes longer than [`PATIENCE`].
pub(crate) async fn services(
    open: impl FnOnce() -> Result<Arc<dyn List>> + Send + 'static,
) -> Result<BTreeSet<Arc<str>>> {
    let said = async { aside(open).await??.services().await };
    time::timeout(PATIENCE, said).await.unwrap_or_else(|_| {
        let silent = format!("the registry does not say within {PATIENCE:?} which services it knows");
        Err(Error::new(ErrorKind::Timeout, silent))
    })
}

/// The names among these.
pub(crate) fn names<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<Arc<str>> {
    texts
        .into_iter()
        .filter_map(|text| Name::parse(text).ok())
        .map(|name| Arc::clone(name.shared()))
        .collect()
}

/// A registry that is well answers in milliseconds; somebody waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// A registry that says nothing, ever.
    struct Silent;

    impl List for Silent {
        fn services(&self) -> Listing {
            Box::pin(pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_is_silent_or_cannot_be_opened_says_so() {
        let begun = time::Instant::now();
        let error = services(|| Ok(Arc::new(Silent))).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::Timeout, PATIENCE));
        let error = services(|| Err(Error::config("no such file"))).await.unwrap_err();
        assert_eq!((error.kind(), error.detail()), (ErrorKind::Config, "no such file"));
    }
}
