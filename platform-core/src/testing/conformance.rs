//! What a stack relies on, asked of any tower layer.
//!
//! | check | a layer that fails it |
//! |---|---|
//! | [`readiness`] | calls a service that it never polled ready: capacity is lost, or the service panics |
//! | [`clones`] | loses readiness or state when it is cloned between being readied and being called |
//! | [`cancellation`] | leaks a capacity, or never reports, when its future is dropped at an await point |
//!
//! They panic with what was wrong, so that a test is one line.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{self, Poll},
};

use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::{Ask, Told};
use crate::{
    call::Reply as _,
    context::Context,
    error::Error,
    outcome::{Outcome, Verdict},
};

/// A service that panics when it is called without having been polled ready, and counts what is under way.
///
/// Each clone has to be readied for itself, as tower's contract says.
#[derive(Debug, Default)]
pub struct Strict {
    ready: AtomicBool,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// How often a call is pending before it answers.
    pending: AtomicUsize,
    under_way: AtomicUsize,
    called: AtomicUsize,
}

impl Strict {
    /// A service whose calls are pending so often before they answer.
    pub fn pending(times: usize) -> Self {
        let strict = Strict::default();
        strict.shared.pending.store(times, SeqCst);
        strict
    }
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Strict { ready: AtomicBool::new(false), shared: Arc::clone(&self.shared) }
    }
}

impl Service<Ask> for Strict {
    type Response = Told;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Told, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        self.ready.store(true, SeqCst);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Ask) -> Self::Future {
        assert!(self.ready.swap(false, SeqCst), "called without having been polled ready");
        self.shared.called.fetch_add(1, SeqCst);
        let under_way = UnderWay::begin(&self.shared);
        let mut left = self.shared.pending.load(SeqCst);
        Box::pin(async move {
            let _under_way = under_way;
            poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            let mut told = Told::default();
            told.judge(Verdict::new(Outcome::Success, Instant::now()));
            Ok(told)
        })
    }
}

struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.under_way.fetch_add(1, SeqCst);
        UnderWay(Arc::clone(shared))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, SeqCst);
    }
}

/// The layer polls what it wraps ready before each call, also the second and the third.
///
/// # Panics
/// If it does not, or if a call fails.
pub async fn readiness<L>(layer: &L)
where
    L: Layer<Strict>,
    L::Service: Service<Ask, Response = Told>,
    <L::Service as Service<Ask>>::Error: std::fmt::Debug,
{
    let mut service = layer.layer(Strict::pending(1));
    for number in 1..=3 {
        ready(&mut service).await;
        let reply = service.call(ask()).await;
        assert!(reply.is_ok(), "call {number} failed: {:?}", reply.err());
    }
}

/// A service may be cloned before or after it was readied; whoever was readied may be called.
///
/// # Panics
/// If a clone is called unready, or a call fails.
pub async fn clones<L>(layer: &L)
where
    L: Layer<Strict>,
    L::Service: Service<Ask, Response = Told> + Clone,
    <L::Service as Service<Ask>>::Error: std::fmt::Debug,
{
    let mut first = layer.layer(Strict::pending(1));
    ready(&mut first).await;
    let mut second = first.clone();
    assert!(first.call(ask()).await.is_ok(), "the one that was readied cannot be called once it was cloned");
    ready(&mut second).await;
    assert!(second.call(ask()).await.is_ok(), "a clone that was readied for itself cannot be called");
}

/// The layer's future may be dropped at every await point: nothing stays under way, and the next calls, as many
/// as `capacity`, go on at the same time as if nothing had been.
///
/// # Panics
/// If something stays behind.
pub async fn cancellation<L>(layer: &L, capacity: usize)
where
    L: Layer<Strict>,
    L::Service: Service<Ask, Response = Told> + Clone,
    <L::Service as Service<Ask>>::Error: std::fmt::Debug,
{
    const POINTS: usize = 4;
    let strict = Strict::pending(POINTS);
    let shared = Arc::clone(&strict.shared);
    let mut service = layer.layer(strict);
    for polls in 0..=POINTS {
        // More often than there are slots, so that one leak each would be felt.
        for _ in 0..=capacity {
            ready(&mut service).await;
            let mut call = Box::pin(service.call(ask()));
            for _ in 0..polls {
                let ended = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
                assert!(!ended, "it ended after {polls} polls, before the service did");
            }
            drop(call);
            assert_eq!(shared.under_way.load(SeqCst), 0, "dropped after {polls} polls, a call goes on");
        }
    }
    let mut calls = Vec::new();
    for _ in 0..capacity {
        ready(&mut service).await;
        calls.push(Box::pin(service.call(ask())));
    }
    for (number, call) in calls.into_iter().enumerate() {
        let mut call = pin!(call);
        let reply = poll_fn(|cx| call.as_mut().poll(cx)).await;
        assert!(reply.is_ok(), "after all were dropped, call {number} failed: {:?}", reply.err());
    }
}

async fn ready<S: Service<Ask>>(service: &mut S)
where
    S::Error: std::fmt::Debug,
{
    let ready = poll_fn(|cx| service.poll_ready(cx)).await;
    assert!(ready.is_ok(), "it is not ready: {:?}", ready.err());
}

fn ask() -> Ask {
    Ask::under(Context::root(Instant::now()))
}
