//! What does an endpoint say of itself?
//!
//! Some protocols have a word for it that can be listened to for as long as there is an endpoint. What listens is the
//! protocol's own ([`Minds`]): one task for each endpoint that is asked. It begins with the first request to the
//! endpoint, or at once with one that joins others and is connected before it is asked; of very many endpoints only
//! those are listened to that this client keeps to. It ends with the endpoint.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use http::HeaderValue;
use platform_discovery::balance::{Health, Link};
use tokio::task::AbortHandle;

use super::slots::Rest;

/// What listens to one endpoint, for as long as there is one.
#[derive(Clone)]
pub struct Minds(Arc<dyn Fn(Minded) -> Listening + Send + Sync>);

type Listening = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An endpoint that is listened to.
#[derive(Debug)]
pub struct Minded {
    /// Its connections, with nothing of a team in between.
    pub connections: Rest,
    /// Whether there is a way to it; and where it is told what it says ([`Link::says`]).
    pub link: Link,
    /// Its address.
    pub label: Arc<str>,
    /// Who we are, as its logs tell it: the header `user-agent`.
    pub agent: HeaderValue,
}

/// An endpoint's listener, which begins when it is needed and ends with this.
pub(super) struct Mind {
    begun: AtomicBool,
    minded: Mutex<Option<Minded>>,
    minds: Minds,
    task: Mutex<Option<AbortHandle>>,
}

impl Minds {
    /// This listens.
    pub fn new<F>(listen: impl Fn(Minded) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Minds(Arc::new(move |minded| Box::pin(listen(minded))))
    }

    /// The listener of an endpoint.
    pub(super) fn to(&self, minded: Minded) -> Mind {
        let joins = !minded.link.is_connected();
        if joins {
            // Its first word comes with its first connection, and others serve meanwhile.
            minded.link.says(Health::Awaited);
        }
        let mind = Mind {
            begun: AtomicBool::new(false),
            minded: Mutex::new(Some(minded)),
            minds: self.clone(),
            task: Mutex::default(),
        };
        if joins {
            mind.begin();
        }
        mind
    }
}

impl Mind {
    /// Somebody asks the endpoint.
    #[inline]
    pub(super) fn begin(&self) {
        if !self.begun.load(Relaxed) {
            self.spawn();
        }
    }

    #[cold]
    fn spawn(&self) {
        let minded = self.minded.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Of two who come first one begins.
        let Some(minded) = minded else { return };
        self.begun.store(true, Relaxed);
        #[expect(
            clippy::disallowed_methods,
            reason = "it belongs to an endpoint and not to a request, and its owner ends it"
        )]
        let task = tokio::spawn((self.minds.0)(minded)).abort_handle();
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
}

impl Drop for Mind {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

impl fmt::Debug for Minds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minds").finish_non_exhaustive()
    }
}
