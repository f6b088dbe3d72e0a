//! The way from a request to the collector: how do spans leave without anybody waiting?
//!
//! The SDK's `BatchSpanProcessor` has the right idea and three gaps. Its thread waits for an exporter without
//! a limit of time, and cannot drive an HTTP client that needs a runtime. Its flush always waits up to five
//! seconds, whatever the caller can spare. Its count of dropped spans is private. So the queue and the loop
//! are ours, over the SDK's `SpanExporter`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span as OtelSpan, SpanData, SpanExporter, SpanProcessor},
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use crate::{Error, ErrorKind, Result};

/// The requests' end.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    flushes: mpsc::UnboundedSender<oneshot::Sender<()>>,
    full: Arc<Notify>,
    dropped: Arc<AtomicU64>,
}

/// The exporting thread's end.
#[derive(Debug)]
pub(super) struct Outlet {
    spans: mpsc::Receiver<SpanData>,
    flushes: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    full: Arc<Notify>,
    dropped: Arc<AtomicU64>,
}

pub(super) fn queue() -> (Queue, Outlet) {
    let (spans, spans_out) = mpsc::channel(CAPACITY);
    let (flushes, flushes_out) = mpsc::unbounded_channel();
    let (full, dropped) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
    let outlet =
        Outlet { spans: spans_out, flushes: flushes_out, full: full.clone(), dropped: dropped.clone() };
    (Queue { spans, flushes, full, dropped }, outlet)
}

impl Queue {
    /// Takes the span, or drops and counts it; never waits.
    pub(super) fn offer(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else if self.waiting() >= BATCH {
            self.full.notify_one();
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns when all that was offered before is sent or given up, at the latest after `within`.
    pub(super) async fn flush(&self, within: Duration) -> Result<()> {
        let (done, flushed) = oneshot::channel();
        let asked = self.flushes.send(done).is_ok();
        if asked && matches!(timeout(within, flushed).await, Ok(Ok(()))) {
            return Ok(());
        }
        let left = format!(
            "the traces' collector did not take the last spans within {within:?}; \
             {} were waiting behind the batch under way",
            self.waiting()
        );
        Err(Error::new(ErrorKind::Timeout, left))
    }

    fn waiting(&self) -> usize {
        self.spans.max_capacity() - self.spans.capacity()
    }
}

/// The SDK hands in what a team's own spans became.
impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut OtelSpan, _context: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        self.offer(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Outlet {
    /// Exports until every [`Queue`] is gone; no batch takes longer than `limit`.
    pub(super) async fn run(mut self, exporter: impl SpanExporter, limit: Duration, collector: &str) {
        let mut batch = Vec::new();
        let mut complaints = Complaints::default();
        loop {
            let mut flush = tokio::select! {
                biased;
                Some(done) = self.flushes.recv() => Some(done),
                received = self.spans.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        return;
                    }
                    None
                }
            };
            // Not looking at the queue while a batch gathers: a sender wakes nobody, which would cost it a
            // system call for every span.
            if flush.is_none() && batch.len() < BATCH {
                tokio::select! {
                    biased;
                    Some(done) = self.flushes.recv() => flush = Some(done),
                    () = self.full.notified() => {}
                    () = sleep(GATHER) => {}
                }
            }
            // Counted first, so that a flush ends although more spans keep coming.
            let mut due = self.spans.len();
            loop {
                while batch.len() < BATCH && due > 0 {
                    due -= 1;
                    batch.extend(self.spans.try_recv().ok());
                }
                if batch.is_empty() {
                    break;
                }
                let failed = self.export(&exporter, std::mem::take(&mut batch), limit).await;
                let dropped = self.dropped.load(Ordering::Relaxed);
                if let Some(lost) = complaints.due(dropped, Instant::now()) {
                    let reason = failed.as_deref().unwrap_or("the queue was full");
                    tracing::warn!(collector, lost, reason, "spans were not exported");
                }
            }
            if let Some(done) = flush {
                // Nobody waits any longer: its time was over.
                let _ = done.send(());
            }
        }
    }

    async fn export(
        &self,
        exporter: &impl SpanExporter,
        batch: Vec<SpanData>,
        limit: Duration,
    ) -> Option<String> {
        let size = batch.len() as u64;
        let failed = match timeout(limit, exporter.export(batch)).await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {limit:?}"),
        };
        self.dropped.fetch_add(size, Ordering::Relaxed);
        Some(failed)
    }
}

/// Says what was lost, but not all the time.
#[derive(Debug, Default)]
struct Complaints {
    last: Option<Instant>,
    told: u64,
}

impl Complaints {
    /// How many more spans were lost since the last complaint, if it is time for another.
    fn due(&mut self, dropped: u64, now: Instant) -> Option<u64> {
        let quiet = self.last.is_some_and(|last| now.duration_since(last) < QUIET);
        if dropped == self.told || quiet {
            return None;
        }
        self.last = Some(now);
        Some(dropped - std::mem::replace(&mut self.told, dropped))
    }
}

/// Spans that may wait, as in the SDK: a few seconds of a busy service, about 1 MiB.
const CAPACITY: usize = 2_048;
/// Spans per export, as in the SDK; a fuller queue does not wait.
const BATCH: usize = 512;
/// How long a batch gathers. The SDK waits 5 s; one second loses less when a process dies and shows a trace
/// while its developer still looks.
const GATHER: Duration = Duration::from_secs(1);
/// One complaint a minute: a collector that is down for a day is known after the first.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::{
            Mutex,
            atomic::{AtomicBool, AtomicUsize},
        },
    };

    use opentelemetry_sdk::error::OTelSdkError;
    use tracing::{Event, Subscriber, field};
    use tracing_subscriber::{
        Layer,
        layer::{Context, SubscriberExt as _},
    };

    use super::*;
    use crate::{
        context::TraceParent,
        telemetry::trace::span::{Kind, Span, Status},
    };

    /// A collector that answers, fails or hangs.
    #[derive(Clone, Debug, Default)]
    struct Scripted {
        batches: Arc<Mutex<Vec<usize>>>,
        calls: Arc<AtomicUsize>,
        fails: Arc<AtomicBool>,
        hangs: Arc<AtomicBool>,
    }

    impl SpanExporter for Scripted {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.calls.fetch_add(1, Ordering::Relaxed);
            if self.hangs.load(Ordering::Relaxed) {
                pending::<()>().await;
            }
            if self.fails.load(Ordering::Relaxed) {
                return Err(OTelSdkError::InternalFailure("refused".to_owned()));
            }
            self.batches.lock().unwrap().push(batch.len());
            Ok(())
        }
    }

    fn span() -> SpanData {
        let span = Span {
            trace: TraceParent::random().sampled(true),
            parent: None,
            kind: Kind::Internal,
            name: "work".into(),
            start: std::time::UNIX_EPOCH,
            took: Duration::ZERO,
            status: Status::Unset,
            attributes: Vec::new(),
        };
        span.into_record()
    }

    #[expect(clippy::disallowed_methods, reason = "the loop under test belongs to no request")]
    fn started() -> (Queue, Scripted) {
        let (queue, outlet) = queue();
        let collector = Scripted::default();
        let exporter = collector.clone();
        tokio::spawn(async move { outlet.run(exporter, LIMIT, "test").await });
        (queue, collector)
    }

    fn offer(queue: &Queue, spans: usize) {
        (0..spans).for_each(|_| queue.offer(span()));
    }

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_few_spans_leave_together_after_a_second() {
        let (queue, collector) = started();
        offer(&queue, 3);
        sleep(GATHER / 2).await;
        offer(&queue, 4);
        assert!(collector.batches.lock().unwrap().is_empty());
        sleep(GATHER).await;
        assert_eq!(*collector.batches.lock().unwrap(), [7]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_leaves_at_once() {
        let (queue, collector) = started();
        offer(&queue, 1);
        sleep(GATHER / 10).await;
        offer(&queue, BATCH);
        sleep(GATHER / 10).await;
        assert_eq!(*collector.batches.lock().unwrap(), [BATCH, 1]);
        assert_eq!(queue.dropped(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_sends_what_was_offered_before_it() {
        let (queue, collector) = started();
        offer(&queue, BATCH + 5);
        queue.flush(LIMIT).await.unwrap();
        assert_eq!(collector.batches.lock().unwrap().iter().sum::<usize>(), BATCH + 5);
        queue.flush(LIMIT).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_is_dropped_and_counted() {
        let (queue, outlet) = queue();
        offer(&queue, CAPACITY + 3);
        assert_eq!(queue.dropped(), 3);
        drop(outlet);
        offer(&queue, 1);
        assert_eq!(queue.dropped(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_collector_holds_one_batch_no_longer_than_the_limit() {
        let (queue, collector) = started();
        collector.hangs.store(true, Ordering::Relaxed);
        offer(&queue, 5);
        sleep(GATHER + LIMIT * 9 / 10).await;
        assert_eq!((queue.dropped(), collector.calls.load(Ordering::Relaxed)), (0, 1));

        collector.hangs.store(false, Ordering::Relaxed);
        offer(&queue, 6);
        sleep(LIMIT).await;
        assert_eq!(queue.dropped(), 5);
        assert_eq!(*collector.batches.lock().unwrap(), [6]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_ends_in_its_own_time_although_the_collector_hangs() {
        let (queue, collector) = started();
        collector.hangs.store(true, Ordering::Relaxed);
        offer(&queue, BATCH + 7);
        let asked = Instant::now();
        let error = queue.flush(Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(asked.elapsed(), Duration::from_secs(3));
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.detail().contains("7 were waiting"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn spans_that_the_collector_refuses_are_counted() {
        let (queue, collector) = started();
        collector.fails.store(true, Ordering::Relaxed);
        offer(&queue, 9);
        queue.flush(LIMIT).await.unwrap();
        assert_eq!(queue.dropped(), 9);
    }

    /// Keeps what warnings say.
    #[derive(Clone, Debug, Default)]
    struct Warnings(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Warnings {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut text = String::new();
            event.record(&mut |field: &field::Field, value: &dyn std::fmt::Debug| {
                text += &format!("{field}={value:?} ");
            });
            self.0.lock().unwrap().push(text);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_is_down_is_logged_once_a_minute_with_the_reason() {
        let warnings = Warnings::default();
        let subscriber = tracing_subscriber::registry().with(warnings.clone());
        let _subscriber = tracing::subscriber::set_default(subscriber);
        let (queue, collector) = started();
        collector.fails.store(true, Ordering::Relaxed);
        for _ in 0..90 {
            offer(&queue, 2);
            sleep(GATHER).await;
        }
        sleep(GATHER).await;
        assert_eq!(queue.dropped(), 180);
        let told = warnings.0.lock().unwrap().clone();
        assert_eq!(told.len(), 2, "{told:?}");
        for part in ["collector=\"test\"", "refused", "spans were not exported"] {
            assert!(told.iter().all(|text| text.contains(part)), "{told:?} does not say {part}");
        }
    }

    #[test]
    fn a_loss_is_told_once_a_minute_and_adds_up() {
        let start = Instant::now();
        let mut complaints = Complaints::default();
        for (after, dropped, told) in [
            (0, 0, None),
            (1, 5, Some(5)),
            (2, 8, None),
            (60, 9, None),
            (61, 9, Some(4)),
            (200, 9, None),
            (201, 10, Some(1)),
        ] {
            let now = start + Duration::from_secs(after);
            assert_eq!(complaints.due(dropped, now), told, "after {after} s");
        }
    }
}
