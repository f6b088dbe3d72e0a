//! Who keeps a stream open?
//!
//! Followers want to hear at once when somebody has voted: each holds a stream to one instance of `ratings`, for as long
//! as that serves. An instance that stops ends its streams well, and whoever heard one opens it again, to another. A
//! stream that ends otherwise is broken.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use platform_core::{App, Result};
use platform_grpc::{Channel, channel::WaitForReady};
use tokio::{sync::watch, task::JoinSet, time::sleep};
use tonic::{Request, Status};

use crate::{
    films::FILMS,
    reasons::Reasons,
    services::film::{self, Film, ratings_client::RatingsClient},
};

/// Those who follow the first films of the list.
#[derive(Clone, Debug)]
pub(crate) struct Followers {
    ratings: RatingsClient<Channel>,
    heard: Arc<Mutex<Heard>>,
}

/// What they heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Streams that are open now.
    pub(crate) open: usize,
    /// Ratings that came.
    pub(crate) ratings: u64,
    /// Streams that ended well, and were opened again.
    pub(crate) ended: u64,
    /// Streams that ended otherwise, or could not be opened.
    pub(crate) broken: u64,
    /// How.
    pub(crate) reasons: Reasons,
}

impl Followers {
    /// So many there are.
    pub(crate) const COUNT: usize = 12;

    /// Followers who find ratings as `app` does.
    ///
    /// # Errors
    /// What the platform refuses.
    pub(crate) fn new(app: &App) -> Result<Self> {
        let ratings = Channel::builder(app, "ratings").descriptors(film::DESCRIPTORS).build()?;
        Ok(Followers { ratings: RatingsClient::new(ratings), heard: Arc::default() })
    }

    /// What they heard so far.
    pub(crate) fn heard(&self) -> Heard {
        self.lock().clone()
    }

    /// They listen until `stop`.
    pub(crate) async fn listen(self, mut stop: watch::Receiver<bool>) {
        let mut listening = JoinSet::new();
        for film in FILMS.iter().cycle().take(Followers::COUNT) {
            listening.spawn(self.clone().follow(film.id));
        }
        let _ = stop.wait_for(|stop| *stop).await;
        listening.shutdown().await;
    }

    async fn follow(mut self, film: &'static str) {
        loop {
            let mut request = Request::new(Film { id: film.to_owned() });
            // While the last of them restarts there may be nobody for a moment.
            request.extensions_mut().insert(WaitForReady(true));
            let ended = match self.ratings.follow(request).await {
                Ok(ratings) => self.hear(ratings.into_inner()).await,
                Err(status) => Err(status),
            };
            self.lock().end(ended);
            sleep(AGAIN).await;
        }
    }

    async fn hear(&self, mut ratings: tonic::Streaming<film::Rating>) -> Result<(), Status> {
        self.lock().open += 1;
        let ended = loop {
            match ratings.message().await {
                Ok(Some(_)) => self.lock().ratings += 1,
                Ok(None) => break Ok(()),
                Err(status) => break Err(status),
            }
        };
        self.lock().open -= 1;
        ended
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn end(&mut self, ended: Result<(), Status>) {
        let Err(status) = ended else {
            self.ended += 1;
            return;
        };
        self.broken += 1;
        self.reasons.count(format!("{:?}, {}", status.code(), status.message()));
    }
}

/// An instance says in the registry that it drains before it ends its streams; whoever reads that may take a moment.
const AGAIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_end_is_no_break() {
        let mut heard = Heard::default();
        heard.end(Ok(()));
        heard.end(Err(Status::unavailable("gone")));
        heard.end(Err(Status::unavailable("gone")));
        assert_eq!((heard.ended, heard.broken), (1, 2));
        assert_eq!(heard.reasons, [("Unavailable, gone", 2)].into());
    }
}
