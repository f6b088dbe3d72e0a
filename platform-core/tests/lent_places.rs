//! A request that waits for its caller lends its place, and has it again when the caller goes on: in paused time, behind
//! a limit of one.

use std::{future::poll_fn, sync::Arc, time::Duration};

use platform_core::{
    Context, Outcome, Tick,
    config::Mode,
    context::{self, Notes},
    identity::Identity,
    stack::{Entry, Lender, ServerGuards, ServerPolicy, Slot},
    telemetry::Metrics,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

/// A server that serves one request at a time.
struct Server {
    guards: Arc<ServerGuards>,
    metrics: Metrics,
}

impl Server {
    fn in_mode(mode: Mode) -> Arc<Self> {
        let mut policy = ServerPolicy::default();
        let concurrency = &mut policy.concurrency;
        (concurrency.mode, concurrency.start, concurrency.min, concurrency.max) = (mode, 1, 1, 1);
        let metrics = Metrics::new(&Identity::default());
        Arc::new(Server { guards: ServerGuards::new(&policy, &[], &metrics, Instant::now()), metrics })
    }

    fn new() -> Arc<Self> {
        Server::in_mode(Mode::Enforce)
    }

    /// One that found a place, after a wait if need be.
    async fn served(&self) -> Option<Slot> {
        let mut context = Context::root(Tick::now());
        match self.guards.enter(0, &context) {
            Entry::Now(entered) => entered.expect("it is let in"),
            Entry::Wait(place) => self.guards.wait(0, place, &mut context).await.expect("it is let in"),
        }
    }

    /// One whose body lends its place.
    async fn lending(&self) -> (Slot, Lender) {
        let notes = Arc::new(Notes::default());
        let mut slot = self.served().await.expect("a place");
        slot.lends(&notes);
        (slot, Lender::new(&self.guards, 0, &notes))
    }

    fn is_full(&self) -> bool {
        let context = Context::root(Tick::now());
        !matches!(self.guards.enter(0, &context), Entry::Now(Ok(Some(_))))
    }

    /// How many have a place, as the metrics tell.
    async fn in_flight(&self) -> f64 {
        self.gauge("platform_server_in_flight").await
    }

    async fn gauge(&self, name: &str) -> f64 {
        let watch = context::spawn(Arc::clone(&self.guards).watch(self.metrics.clone()));
        // Longer than from one look to the next.
        sleep(100 * MS).await;
        watch.abort();
        let text = self.metrics.encode();
        let told = text
            .lines()
            .find(|line| line.split('{').next() == Some(name) && line.contains("class=\"default\""));
        told.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok()).expect("a number")
    }
}

async fn back(lender: &mut Lender) {
    poll_fn(|cx| lender.poll_back(cx)).await;
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_place_that_is_lent_is_free_and_comes_back() {
    let server = Server::new();
    let (slot, mut lender) = server.lending().await;
    assert!(server.is_full());
    back(&mut lender).await;
    lender.lend();
    lender.lend();
    assert!(!server.is_full(), "it was let go once");
    back(&mut lender).await;
    assert!(server.is_full());
    drop(lender);
    assert!(server.is_full(), "whoever reads no further works on");
    drop(slot);
    assert!(!server.is_full());
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_has_the_next_place_before_all_who_wait() {
    let server = Server::new();
    let (slot, mut lender) = server.lending().await;
    lender.lend();
    let other = server.served().await;
    let (said, mut order) = mpsc::unbounded_channel();
    let (outside, out) = (Arc::clone(&server), said.clone());
    let waits = context::spawn(async move {
        let slot = outside.served().await;
        out.send("from outside").expect("it is read");
        drop(slot);
    });
    sleep(MS).await;
    let returns = context::spawn(async move {
        back(&mut lender).await;
        said.send("back").expect("it is read");
        sleep(10 * MS).await;
        drop((lender, slot));
    });
    sleep(10 * MS).await;
    assert!(order.try_recv().is_err(), "nobody is served beyond the limit");
    drop(other);
    assert_eq!((order.recv().await, order.recv().await), (Some("back"), Some("from outside")));
    waits.await.expect("it ends");
    returns.await.expect("it ends");
    assert!(!server.is_full(), "all is free");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_is_refused_nothing_however_long_that_takes() {
    let server = Server::new();
    let (slot, mut lender) = server.lending().await;
    lender.lend();
    let other = server.served().await;
    let long = timeout(Duration::from_secs(30), back(&mut lender)).await;
    assert!(long.is_err(), "six hundred times what anybody outside may wait, and it waits on");
    drop(other);
    timeout(MS, back(&mut lender)).await.expect("at once");
    assert!(server.is_full());
    drop((lender, slot));
    assert!(!server.is_full());
}

#[tokio::test(start_paused = true)]
async fn no_way_of_ending_loses_a_place_or_frees_one_twice() {
    // What is dropped first, and whether its place is lent, and whether it stands in line for it.
    for (slot_first, lent, in_line) in [false, true].into_iter().flat_map(|slot_first| {
        [(false, false), (true, false), (true, true)].map(|(lent, in_line)| (slot_first, lent, in_line))
    }) {
        let server = Server::new();
        let (slot, mut lender) = server.lending().await;
        let mut other = None;
        if lent {
            lender.lend();
        }
        if in_line {
            other = server.served().await;
            assert!(timeout(MS, back(&mut lender)).await.is_err());
        }
        if slot_first {
            drop(slot);
            drop(lender);
        } else {
            drop(lender);
            drop(slot);
        }
        drop(other);
        let what = format!("slot first {slot_first}, lent {lent}, in line {in_line}");
        assert!(!server.is_full(), "{what}: its place is gone");
        let held = server.served().await;
        assert!(server.is_full(), "{what}: there is one more than there was");
        drop(held);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_was_handed_over_to_nobody_goes_on() {
    let server = Server::new();
    let (slot, mut lender) = server.lending().await;
    lender.lend();
    let other = server.served().await;
    assert!(timeout(MS, back(&mut lender)).await.is_err(), "it stands in line");
    // It is handed over, and nobody looks.
    drop(other);
    drop(lender);
    drop(slot);
    assert!(!server.is_full());
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_out_before_its_body_is_read_holds_nothing() {
    let server = Server::new();
    let (slot, mut lender) = server.lending().await;
    lender.lend();
    assert!(slot.into_guard().is_none(), "nothing to free");
    back(&mut lender).await;
    assert!(!server.is_full());
    drop(lender);
    assert!(!server.is_full());
}

#[tokio::test(start_paused = true)]
async fn a_stream_takes_no_place_with_it_whether_lent_or_not() {
    for lent in [false, true] {
        let server = Server::new();
        let (mut slot, mut lender) = server.lending().await;
        if lent {
            lender.lend();
        }
        slot.stream();
        slot.stream();
        assert!(!server.is_full());
        drop((slot, lender));
        let held = server.served().await;
        assert!(server.is_full() && held.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn in_observe_nobody_waits_for_his_place() {
    let server = Server::in_mode(Mode::Observe);
    let (slot, mut lender) = server.lending().await;
    lender.lend();
    let other = server.served().await.expect("a place");
    timeout(MS, back(&mut lender)).await.expect("at once");
    assert!((server.in_flight().await - 2.0).abs() < 0.5, "both are under way");
    drop((slot, lender, other));
    assert!(server.in_flight().await.abs() < 0.5);
}

/// What callers do in some windows, each of a hundred requests that take 10 ms.
#[derive(Clone, Copy, PartialEq)]
enum Caller {
    Fast,
    /// They take a second, which the limit is told.
    Slow,
    /// Likewise, and nobody says whose second it was.
    SlowUntold,
}

/// The limit after some windows with fast callers, and some with such.
async fn limit_after(caller: Caller) -> f64 {
    let metrics = Metrics::new(&Identity::default());
    let guards = ServerGuards::new(&ServerPolicy::default(), &[], &metrics, Instant::now());
    let server = Server { guards, metrics };
    for window in 0..8 {
        for _ in 0..6 {
            // Nearly as many as may be under way, and for a moment others have their places.
            let mut all = Vec::new();
            for _ in 0..18 {
                all.push(server.lending().await);
            }
            if window > 3 && caller != Caller::Fast {
                all.iter_mut().for_each(|(_, lender)| lender.lend());
                sleep(Duration::from_secs(1)).await;
                for (_, lender) in &mut all {
                    if caller == Caller::Slow {
                        lender.waited(Duration::from_secs(1));
                    }
                    back(lender).await;
                }
            }
            sleep(10 * MS).await;
            for (slot, _) in all {
                slot.report(Outcome::Success, Tick::now());
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
    server.gauge("platform_server_concurrency_limit").await
}

#[tokio::test(start_paused = true)]
async fn no_limit_learns_from_what_a_caller_took() {
    let (fast, slow) = (limit_after(Caller::Fast).await, limit_after(Caller::Slow).await);
    assert!((fast - slow).abs() < 0.5, "{fast} and {slow}");
    let untold = limit_after(Caller::SlowUntold).await;
    assert!(untold < fast, "{untold}, and {fast} with fast callers: else this proves nothing");
}
