//! tower's balancer in the same town: two chosen at random, compared by their peak EWMA times what is pending.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use tokio::{sync::Mutex, time::Instant};
use tower::{
    Service,
    balance::p2c,
    discover::Change,
    load::{CompleteOnResponse, PeakEwma},
    util::rng::Rng,
};

use super::town::{Answer, Town, die};

/// tower's balancer over the replicas. It is asked through `&mut`, so a lock stands where its users put a buffer.
pub(crate) struct Tower {
    balance: Mutex<p2c::Balance<Known, Option<Instant>>>,
    known: Arc<AtomicUsize>,
}

impl Tower {
    /// The settings are Finagle's and tower's own examples: a new one is taken for 30 ms, a peak is remembered for 10 s.
    pub(crate) fn to(town: &Town) -> Self {
        let known = Arc::new(AtomicUsize::new(town.len()));
        let list = Known { town: town.clone(), told: 0, known: Arc::clone(&known) };
        Tower { balance: Mutex::new(p2c::Balance::from_rng(list, Dice)), known }
    }

    /// From now on the registry names the first so many.
    pub(crate) fn knows(&self, replicas: usize) {
        self.known.store(replicas, Relaxed);
    }

    pub(crate) async fn ask(&self, deadline: Option<Instant>) -> Option<Answer> {
        let answer = {
            let mut balance = self.balance.lock().await;
            poll_fn(|cx| balance.poll_ready(cx)).await.ok()?;
            balance.call(deadline)
        };
        answer.await.ok()
    }
}

/// The replicas as they become known. The balancer looks before each call, so nobody need be woken.
struct Known {
    town: Town,
    told: usize,
    known: Arc<AtomicUsize>,
}

impl Stream for Known {
    type Item = Result<Change<usize, PeakEwma<Replica>>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let index = self.told;
        if index >= self.known.load(Relaxed) {
            return Poll::Pending;
        }
        self.told += 1;
        let replica = Replica { town: self.town.clone(), index };
        let decay = Duration::from_secs(10).as_nanos() as f64;
        let service = PeakEwma::new(replica, Duration::from_millis(30), decay, CompleteOnResponse::default());
        Poll::Ready(Some(Ok(Change::Insert(index, service))))
    }
}

struct Replica {
    town: Town,
    index: usize,
}

impl Service<Option<Instant>> for Replica {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, deadline: Option<Instant>) -> Self::Future {
        let (town, index) = (self.town.clone(), self.index);
        Box::pin(async move { Ok(town.ask(index, deadline).await) })
    }
}

/// The town's dice, so that a seed is a seed.
struct Dice;

impl Rng for Dice {
    fn next_u64(&mut self) -> u64 {
        die()
    }
}
