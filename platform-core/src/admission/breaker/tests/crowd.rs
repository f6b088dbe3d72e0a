//! What a breaker does with many calls at once, with calls that are dropped, and with any calls at all.

use std::sync::Barrier;

use proptest::prelude::*;

use super::*;
use crate::{
    admission::{Gate, Place, metrics::Refusals},
    config::Mode,
    context::Deadline,
    error::ErrorKind,
};

#[test]
fn of_a_thousand_who_ask_at_the_moment_one_is_the_probe() {
    for _ in 0..20 {
        let mut bench = Bench::opened(Config::default());
        bench.sit_out();
        let (bench, barrier) = (&bench, Barrier::new(8));
        let admitted: usize = std::thread::scope(|scope| {
            let ask = || {
                barrier.wait();
                (0..125).filter_map(|_| bench.ask()).count()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 1);
    }
}

/// A backend that hangs: every call is cut off from outside, so the breaker hears of it only by the drop.
#[tokio::test(start_paused = true)]
async fn calls_that_are_cut_off_at_their_deadline_open_it() {
    let engine = Breaker::new(Config::default(), Instant::now(), Meters::default());
    let place = Place { layer: "breaker", kind: ErrorKind::BreakerOpen };
    let gate = Gate::new(engine, place, Mode::Enforce, Refusals::default());
    let call = async |length: Duration, patience: Duration| {
        let mut context = Context::root(Instant::now());
        context.narrow(Deadline::after(Instant::now(), length).unwrap());
        let permit = gate.ask(&context)?;
        let _ = tokio::time::timeout(patience, std::future::pending::<()>()).await;
        drop(permit);
        Ok::<_, crate::Error>(())
    };
    for _ in 0..20 {
        call(Duration::from_secs(1), Duration::from_millis(300)).await.unwrap();
    }
    for _ in 0..7 {
        call(Duration::from_secs(1), Duration::from_secs(1)).await.unwrap();
    }
    let refused = call(Duration::from_secs(1), Duration::from_secs(1)).await.unwrap_err();
    assert!(refused.detail().contains("7 failures in a row"), "{refused}");
    // A probe whose caller leaves frees its place.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        call(Duration::from_secs(1), Duration::from_millis(10)).await.unwrap();
    }
    call(Duration::from_secs(1), Duration::from_secs(1)).await.unwrap();
    assert!(call(Duration::from_secs(1), Duration::ZERO).await.is_err());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(u64),
    Ask,
    Report(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![0..50_u64, 300..3000_u64, 60_000..70_000_u64].prop_map(Step::Wait);
    let report =
        (0..100_usize, 0..Outcome::ALL.len()).prop_map(|(which, outcome)| Step::Report(which, outcome));
    prop_oneof![2 => wait, 6 => Just(Step::Ask), 6 => report]
}

proptest! {
    #[test]
    fn whatever_happens_one_probe_at_most_and_no_stale_word(steps in prop::collection::vec(step(), 1..300)) {
        let config = Config { consecutive: 2, min_calls: 4, slow_after: None, ..Config::default() };
        let mut bench = Bench::new(config);
        let mut under_way: Vec<Ticket> = Vec::new();
        for step in steps {
            let (before, seen) = (bench.state(), bench.breaker.word.see());
            match step {
                Step::Wait(ms) => bench.now += MS * ms as u32,
                Step::Ask => {
                    let ticket = bench.ask();
                    match before {
                        State::Closed | State::HalfOpen { probing: false, .. } => prop_assert!(ticket.is_some()),
                        State::Open { .. } => prop_assert!(ticket.is_none()),
                        _ => {}
                    }
                    under_way.extend(ticket);
                }
                Step::Report(which, outcome) if !under_way.is_empty() => {
                    let ticket = under_way.swap_remove(which % under_way.len());
                    bench.report(ticket, Outcome::ALL[outcome]);
                    if ticket.generation != seen.generation() {
                        prop_assert!(bench.breaker.word.see() == seen);
                    }
                }
                Step::Report(..) => {}
            }
            let now = bench.breaker.word.see();
            if now.phase() == Phase::Probing {
                let probes = under_way.iter().filter(|ticket| ticket.generation == now.generation());
                prop_assert_eq!(probes.count(), 1);
            }
        }
        // A target that is well again is asked again, and wholly.
        for _ in 0..20 {
            bench.now += Duration::from_secs(61);
            bench.call(Outcome::Success, MS);
        }
        prop_assert_eq!(bench.state(), State::Closed);
    }
}
