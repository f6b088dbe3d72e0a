//! Who goes, and when.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::yield_now,
    time::{Instant, advance, sleep},
};

use super::*;
use crate::admission::shed::Rank;
use crate::context::{self, Criticality, Deadline};

const MS: Duration = Duration::from_millis(1);

fn line(limit: u32) -> Arc<Line> {
    let config = Config { start: limit, min: limit, max: limit, ..Config::default() };
    Arc::new(Line::new(&config, Instant::now()))
}

fn quiet(class: Criticality) -> Precedence {
    of(class, 0, false)
}

fn of(class: Criticality, tenant: u32, noisy: bool) -> Precedence {
    Precedence::of(Rank::new(class as u16 * 128, tenant), noisy)
}

fn root() -> Context {
    Context::root(Instant::now())
}

/// One who waits in a task of its own.
fn waits(line: &Arc<Line>, class: Criticality) -> tokio::task::JoinHandle<Result<Ticket, Vain>> {
    let line = Arc::clone(line);
    context::spawn(async move { line.wait(&root(), quiet(class)).await })
}

async fn settled() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_freed_is_handed_to_who_waits() {
    let line = line(1);
    assert!(line.take(Tick::now()).is_some());
    assert!(line.take(Tick::now()).is_none());
    let waiter = waits(&line, Criticality::Critical);
    settled().await;
    assert_eq!(line.waiting(), 1);
    advance(7 * MS).await;
    line.release();
    assert!(waiter.await.unwrap().is_ok());
    assert_eq!((line.waiting(), line.limit().in_flight()), (0, 1));
    line.release();
    assert!(line.take(Tick::now()).is_some());
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_refused_and_who_is_expired_hears_that() {
    let line = line(1);
    let _ = line.take(Tick::now());
    let begun = Instant::now();
    assert_eq!(line.wait(&root(), quiet(Criticality::Critical)).await, Err(Vain::TooLong));
    assert_eq!(begun.elapsed(), QUEUE_WAIT);
    let mut hurried = root();
    hurried.narrow(Deadline::at(Instant::now() + 20 * MS));
    assert_eq!(line.wait(&hurried, quiet(Criticality::Critical)).await, Err(Vain::Expired));
    assert_eq!(line.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_refused_before_those_who_are_less_important() {
    let line = line(1);
    let _ = line.take(Tick::now());
    let page = waits(&line, Criticality::Critical);
    sleep(10 * MS).await;
    // It would wait until 60 ms, so at 50 ms the page has somebody behind it.
    let batch = waits(&line, Criticality::Sheddable);
    sleep(45 * MS).await;
    assert!(!page.is_finished());
    line.release();
    assert!(page.await.unwrap().is_ok());
    assert_eq!(batch.await.unwrap(), Err(Vain::TooLong));
}

#[tokio::test(start_paused = true)]
async fn the_more_important_go_first_then_the_oldest() {
    let line = line(1);
    let _ = line.take(Tick::now());
    let order = Arc::new(Mutex::new(Vec::new()));
    for (name, class) in [
        ("first", Criticality::Critical),
        ("batch", Criticality::Sheddable),
        ("second", Criticality::Critical),
        ("payment", Criticality::CriticalPlus),
    ] {
        let (line, order) = (Arc::clone(&line), Arc::clone(&order));
        context::spawn(async move {
            if line.wait(&root(), quiet(class)).await.is_ok() {
                order.lock().unwrap().push(name);
            }
        });
        settled().await;
    }
    for _ in 0..4 {
        line.release();
        settled().await;
    }
    assert_eq!(*order.lock().unwrap(), ["payment", "first", "second", "batch"]);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_stands_is_served_from_its_end() {
    let line = line(1);
    let _ = line.take(Tick::now());
    // Somebody always waits, for longer than anybody may.
    let mut last = Vec::new();
    for _ in 0..8 {
        last.push(waits(&line, Criticality::Critical));
        sleep(10 * MS).await;
    }
    assert!(line.waiting() > 1);
    line.release();
    let newest = last.pop().unwrap();
    settled().await;
    assert!(newest.is_finished() && newest.await.unwrap().is_ok());
    assert!(!last.last().unwrap().is_finished(), "the one before waits on");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_no_slot_along() {
    let line = line(1);
    let _ = line.take(Tick::now());
    let waiter = waits(&line, Criticality::Critical);
    settled().await;
    // The slot is on its way to somebody who leaves before taking it.
    line.release();
    waiter.abort();
    settled().await;
    assert_eq!((line.waiting(), line.limit().in_flight()), (0, 0));
    assert!(line.take(Tick::now()).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_full_line_sends_the_least_important_away() {
    let line = line(2);
    line.most.store(2, Relaxed);
    assert!((0..2).all(|_| line.take(Tick::now()).is_some()));
    let (batch, page) = (waits(&line, Criticality::Sheddable), waits(&line, Criticality::Critical));
    settled().await;
    let payment = waits(&line, Criticality::CriticalPlus);
    settled().await;
    assert_eq!(batch.await.unwrap(), Err(Vain::Full));
    let more = waits(&line, Criticality::Sheddable);
    settled().await;
    assert_eq!(more.await.unwrap(), Err(Vain::Full), "nobody is less important");
    line.release();
    line.release();
    assert!(payment.await.unwrap().is_ok() && page.await.unwrap().is_ok());
}

#[test]
fn threads_lose_no_slot_and_exceed_no_limit() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    let line = line(3);
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for i in 0..400_u32 {
            let line = Arc::clone(&line);
            tasks.spawn(async move {
                for round in 0..20_u32 {
                    let class = Criticality::ALL[((i + round) % 4) as usize];
                    let got = match line.take(Tick::now()) {
                        Some(_) => true,
                        None => line.wait(&root(), quiet(class)).await.is_ok(),
                    };
                    if got {
                        assert!(line.limit().in_flight() <= 3);
                        yield_now().await;
                        line.release();
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
    assert_eq!((line.waiting(), line.limit().in_flight()), (0, 0));
}

/// The order in which they are served who came in this one, each in its place.
async fn served(all: &[(&'static str, Precedence)]) -> Vec<&'static str> {
    let line = line(1);
    let _ = line.take(Tick::now());
    let order = Arc::new(Mutex::new(Vec::new()));
    for &(name, place) in all {
        let (line, order) = (Arc::clone(&line), Arc::clone(&order));
        context::spawn(async move {
            if line.wait(&root(), place).await.is_ok() {
                order.lock().unwrap().push(name);
            }
        });
        settled().await;
    }
    for _ in all {
        line.release();
        settled().await;
    }
    let order = order.lock().unwrap();
    order.clone()
}

#[tokio::test(start_paused = true)]
async fn who_turns_out_to_be_noisy_goes_behind_all_who_are_not() {
    // The second of tenant 7 is known to be noisy, and with it the first.
    let all = [
        ("noisy, payment", of(Criticality::CriticalPlus, 7, false)),
        ("other", of(Criticality::Critical, 8, false)),
        ("noisy, another", of(Criticality::CriticalPlus, 7, true)),
        ("other, batch", of(Criticality::Sheddable, 8, false)),
    ];
    assert_eq!(served(&all).await, ["other", "other, batch", "noisy, payment", "noisy, another"]);
}

#[tokio::test(start_paused = true)]
async fn who_goes_last_takes_nothing_of_its_tenant_along() {
    let all = [
        ("payment of 7", of(Criticality::CriticalPlus, 7, false)),
        // Of the same tenant, which asks for no more than others: it is only less important than what can be served.
        ("last", Precedence::last()),
        ("other", of(Criticality::Critical, 8, false)),
        ("noisy", of(Criticality::SheddablePlus, 9, true)),
    ];
    assert_eq!(served(&all).await, ["payment of 7", "other", "noisy", "last"]);
}
