//! Feed: one text a second for everybody who looks, made once and only while somebody does.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use platform_core::{Error, ErrorKind, Result, lifecycle::Drain};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};

/// What is shown, as it changes.
#[derive(Debug)]
pub(super) struct Feed {
    latest: watch::Sender<Bytes>,
    opened: Notify,
}

/// How many may look at once, at whatever feed.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Semaphore>);

/// Somebody who looks.
struct Reader {
    texts: watch::Receiver<Bytes>,
    drain: Drain,
    /// When it took the last text.
    took: Option<Instant>,
    _place: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new() -> Self {
        Places(Arc::new(Semaphore::new(READERS)))
    }

    fn take(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            Error::new(
                ErrorKind::Overloaded,
                format!("{READERS} pages look at this process already; close one, or read /platform/state"),
            )
        })
    }
}

impl Feed {
    pub(super) fn new() -> Self {
        Feed { latest: watch::Sender::new(Bytes::new()), opened: Notify::new() }
    }

    /// Does anybody look?
    pub(super) fn is_read(&self) -> bool {
        self.latest.receiver_count() > 0
    }

    /// Waits until somebody looks.
    pub(super) async fn opened(&self) {
        while !self.is_read() {
            self.opened.notified().await;
        }
    }

    /// Shows `json` to everybody who looks, under the event's name.
    pub(super) fn show(&self, event: &str, json: &str) {
        self.latest.send_replace(Bytes::from(format!("event: {event}\ndata: {json}\n\n")));
    }

    /// The texts from now on, as server-sent events: the latest one only, so that who reads slowly misses some and
    /// nothing piles up. Ends with the drain, and for a reader that did not come for the next one in [`SLOW`].
    pub(super) fn read(
        &self,
        places: &Places,
        drain: Drain,
    ) -> Result<impl Stream<Item = Result<Bytes, Infallible>> + Send + use<>> {
        let mut texts = self.latest.subscribe();
        // What was shown to others may be hours old.
        texts.mark_unchanged();
        let reader = Reader { texts, drain, took: None, _place: places.take()? };
        self.opened.notify_one();
        Ok(stream::unfold(reader, |mut reader| async move {
            let text = reader.next().await?;
            Some((Ok(text), reader))
        }))
    }
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        let text = tokio::select! {
            biased;
            () = self.drain.asked() => return None,
            changed = self.texts.changed() => {
                changed.ok()?;
                self.texts.borrow_and_update().clone()
            }
        };
        let now = Instant::now();
        let took = self.took.replace(now);
        // There is a text every second, so whoever comes so late was not ready for those before.
        took.is_none_or(|took| now - took <= SLOW).then_some(text)
    }
}

/// The people of an incident, each with a page or two; every one of them costs a text a second.
const READERS: usize = 16;
/// Ten texts missed. A page that comes back after its computer slept begins anew in any case.
const SLOW: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_misses_some_and_at_last_is_let_go() {
        let (feed, places, (trigger, drain)) = (Feed::new(), Places::new(), Drain::new());
        assert!(!feed.is_read());
        let mut reader = Box::pin(feed.read(&places, drain).unwrap());
        assert!(feed.is_read());
        for number in 0..5 {
            feed.show("state", &number.to_string());
        }
        assert_eq!(reader.next().await.unwrap().unwrap(), "event: state\ndata: 4\n\n");
        assert!(reader.next().now_or_never().is_none(), "nothing is shown twice");
        feed.show("state", "5");
        tokio::time::sleep(SLOW + Duration::from_millis(1)).await;
        assert!(reader.next().await.is_none());
        drop(reader);
        assert!(!feed.is_read());
        drop(trigger);
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_ends_every_reader() {
        let (feed, places, (trigger, drain)) = (Feed::new(), Places::new(), Drain::new());
        let mut reader = Box::pin(feed.read(&places, drain).unwrap());
        trigger.ask();
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn one_reader_too_many_is_told_so() {
        let (feed, places, (_trigger, drain)) = (Feed::new(), Places::new(), Drain::new());
        let mut readers: Vec<_> =
            (0..READERS).map(|_| feed.read(&places, drain.clone()).ok().unwrap()).collect();
        let refused = feed.read(&places, drain.clone()).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
        readers.pop();
        assert!(feed.read(&places, drain).is_ok());
    }
}
