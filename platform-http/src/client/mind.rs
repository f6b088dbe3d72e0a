//! What does an endpoint say of itself?
//!
//! Some protocols have a word for it that can be listened to for as long as there is an endpoint. What listens is the
//! protocol's own ([`Minds`]): one task for each endpoint that is asked. It begins with the first request to the
//! endpoint and ends with the endpoint.
//!
//! Who joins others is listened to before it is asked, so that it gets nothing while it says that it serves nobody. Of
//! very many endpoints a client asks a few (`balance.set.subset`), and all that join would be listened to for good: so
//! one that might be asked and was not within [`FRESH`] of its connection is listened to no more, until it is.

use std::{
    fmt,
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use http::HeaderValue;
use platform_discovery::balance::{Health, Link};
use tokio::{sync::Notify, task::AbortHandle, time::timeout};

use super::{reach::FRESH, slots::Rest};

/// What listens to one endpoint, for as long as there is one.
#[derive(Clone)]
pub struct Minds(Arc<dyn Fn(Minded) -> Listening + Send + Sync>);

type Listening = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An endpoint that is listened to.
#[derive(Clone, Debug)]
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
    minds: Minds,
    minded: Minded,
    asked: AtomicBool,
    /// Told once, by the first request.
    first: Arc<Notify>,
    task: OnceLock<AbortHandle>,
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
            minds: self.clone(),
            minded,
            asked: AtomicBool::new(false),
            first: Arc::default(),
            task: OnceLock::new(),
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
    pub(super) fn asked(&self) {
        if !self.asked.load(Relaxed) {
            self.first_asked();
        }
    }

    #[cold]
    fn first_asked(&self) {
        self.asked.store(true, Relaxed);
        self.first.notify_one();
        self.begin();
    }

    /// Of two who come first one begins.
    fn begin(&self) {
        self.task.get_or_init(|| {
            let (minds, minded) = (self.minds.clone(), self.minded.clone());
            #[expect(
                clippy::disallowed_methods,
                reason = "it belongs to an endpoint and not to a request, and its owner ends it"
            )]
            let task = tokio::spawn(listen(minds, minded, Arc::clone(&self.first)));
            task.abort_handle()
        });
    }
}

impl Drop for Mind {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// Listens, but for the time in which nobody wants to know.
async fn listen(minds: Minds, minded: Minded, first: Arc<Notify>) {
    let listening = (minds.0)(minded.clone());
    tokio::select! {
        () = listening => return,
        () = unwanted(&minded.link, &first) => {}
    }
    // What it said may have changed when it is asked.
    minded.link.says(Health::Unknown);
    first.notified().await;
    (minds.0)(minded).await;
}

/// Ends when the endpoint might have been asked for a while, and was not; never if it is asked before that.
async fn unwanted(link: &Link, first: &Notify) {
    link.connected().await;
    loop {
        if timeout(FRESH, first.notified()).await.is_ok() {
            return pending().await;
        }
        // Nobody asks one that takes no calls, and we have to hear when it does.
        if matches!(link.health(), Health::Serving | Health::Unknown) {
            return;
        }
    }
}

impl fmt::Debug for Minds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minds").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicU32, time::Duration};

    use http::{Request, Response};
    use platform_core::Error;
    use tokio::time::sleep;

    use super::*;
    use crate::{
        Body,
        layers::{Below, Reply},
    };

    /// Connections on which nothing comes back.
    struct Silent;

    impl Below for Silent {
        fn answer(&self, _: Request<Body>) -> Reply {
            Box::pin(pending::<Result<Response<Body>, Error>>())
        }
    }

    /// Listeners that hear `word` as soon as there is a way.
    struct Ears {
        word: Health,
        /// How many listen, and how many ever began to.
        now: AtomicU32,
        begun: AtomicU32,
    }

    impl Ears {
        fn hearing(word: Health) -> Arc<Self> {
            Arc::new(Ears { word, now: AtomicU32::new(0), begun: AtomicU32::new(0) })
        }

        fn to(self: &Arc<Self>, link: &Link) -> Mind {
            let ears = Arc::clone(self);
            let minds = Minds::new(move |minded: Minded| Arc::clone(&ears).listen(minded.link));
            let (label, agent) = ("127.0.0.1:1".into(), HeaderValue::from_static("edge"));
            minds.to(Minded { connections: Rest(Arc::new(Silent)), link: link.clone(), label, agent })
        }

        async fn listen(self: Arc<Self>, link: Link) {
            struct Ends(Arc<Ears>);
            impl Drop for Ends {
                fn drop(&mut self) {
                    self.0.now.fetch_sub(1, Relaxed);
                }
            }
            self.now.fetch_add(1, Relaxed);
            self.begun.fetch_add(1, Relaxed);
            let word = self.word;
            let _ends = Ends(self);
            link.connected().await;
            link.says(word);
            pending::<()>().await;
        }

        fn now_and_ever(&self) -> (u32, u32) {
            (self.now.load(Relaxed), self.begun.load(Relaxed))
        }
    }

    /// The link of one that joins others.
    fn joining() -> Link {
        let link = Link::default();
        link.set(false);
        link
    }

    async fn seconds(seconds: f64) {
        sleep(Duration::from_secs_f64(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_the_first_set_is_listened_to_from_its_first_request_on() {
        let (ears, link) = (Ears::hearing(Health::Serving), Link::default());
        let mind = ears.to(&link);
        seconds(60.0).await;
        assert_eq!((ears.now_and_ever(), link.health()), ((0, 0), Health::Unknown));
        for _ in 0..3 {
            mind.asked();
            seconds(60.0).await;
            assert_eq!((ears.now_and_ever(), link.health()), ((1, 1), Health::Serving));
        }
        drop(mind);
        seconds(0.001).await;
        assert_eq!(ears.now_and_ever(), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_joins_is_listened_to_before_it_is_asked_and_no_longer_if_it_is_not() {
        let (ears, link) = (Ears::hearing(Health::Serving), joining());
        let mind = ears.to(&link);
        // There is no way to it for long, which says nothing of whether it is wanted.
        seconds(60.0).await;
        assert_eq!((ears.now_and_ever(), link.health()), ((1, 1), Health::Awaited));
        link.set(true);
        seconds(FRESH.as_secs_f64() - 0.1).await;
        assert_eq!((ears.now_and_ever(), link.health()), ((1, 1), Health::Serving));
        seconds(0.2).await;
        assert_eq!((ears.now_and_ever(), link.health()), ((0, 1), Health::Unknown), "nobody wants to know");
        seconds(60.0).await;
        assert_eq!(ears.now_and_ever(), (0, 1));
        mind.asked();
        seconds(60.0).await;
        assert_eq!((ears.now_and_ever(), link.health()), ((1, 2), Health::Serving));
        drop(mind);
        seconds(0.001).await;
        assert_eq!(ears.now_and_ever(), (0, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_joins_and_is_asked_in_time_is_listened_to_without_a_gap() {
        // Before there is a way, when all others are away too; and when it is one of those that are asked.
        for (before, connected) in [(0.1, false), (1.0, true)] {
            let (ears, link) = (Ears::hearing(Health::Serving), joining());
            let mind = ears.to(&link);
            link.set(connected);
            seconds(before).await;
            mind.asked();
            link.set(true);
            seconds(60.0).await;
            assert_eq!((ears.now_and_ever(), link.health()), ((1, 1), Health::Serving));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_serves_nobody_is_listened_to_until_it_does() {
        let (ears, link) = (Ears::hearing(Health::NotServing), joining());
        let mind = ears.to(&link);
        link.set(true);
        seconds(600.0).await;
        assert_eq!((ears.now_and_ever(), link.health()), ((1, 1), Health::NotServing));
        link.says(Health::Serving);
        seconds(FRESH.as_secs_f64()).await;
        assert_eq!(ears.now_and_ever(), (0, 1));
        drop(mind);
    }
}
