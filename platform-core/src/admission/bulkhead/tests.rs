//! What a bulkhead does with calls: how many go on, who waits, and that no place is lost.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::AtomicU32},
    task::{Poll, Waker},
};

use proptest::prelude::*;

use super::*;
use crate::{
    admission::{Gate, Place, metrics::Refusals},
    config::Mode,
    context::Deadline,
    error::ErrorKind,
    outcome::Outcome,
};

const MS: Duration = Duration::from_millis(1);

fn config(max_in_flight: u32, max_wait: Duration) -> Config {
    Config { max_in_flight, max_wait, ..Config::default() }
}

fn bulkhead(max_in_flight: u32, max_wait: Duration) -> Bulkhead {
    Bulkhead::new(config(max_in_flight, max_wait))
}

fn gate(config: Config) -> Gate<Bulkhead> {
    let place = Place { layer: "bulkhead", kind: ErrorKind::BulkheadFull };
    Gate::new(Bulkhead::new(config), place, config.mode, Refusals::default())
}

fn context() -> Context {
    Context::root(Instant::now())
}

fn ask(bulkhead: &Bulkhead) -> &'static str {
    match bulkhead.ask(&context()) {
        Answer::Go(()) => "go",
        Answer::Wait => "wait",
        Answer::No(_) => "no",
    }
}

type Waiting<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

fn wait(bulkhead: &Bulkhead) -> Waiting<'_> {
    Box::pin(async { matches!(bulkhead.wait(&context()).await, Answer::Go(())) })
}

fn poll(waiting: &mut Waiting<'_>) -> Poll<bool> {
    waiting.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()))
}

#[test]
fn as_many_as_there_are_places_go_on() {
    for (max_wait, full) in [(Duration::ZERO, "no"), (MS, "wait")] {
        let bulkhead = bulkhead(3, max_wait);
        let answers: Vec<_> = (0..5).map(|_| ask(&bulkhead)).collect();
        assert_eq!(answers, ["go", "go", "go", full, full]);
        assert_eq!(bulkhead.in_flight(), 3);
        bulkhead.release();
        assert_eq!((ask(&bulkhead), ask(&bulkhead)), ("go", full));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_the_rule_and_comes_no_later_than_promised() {
    let soon = Some(Duration::from_millis(4));
    let table = [
        (Duration::ZERO, None, 0, ""),
        (MS * 10, None, 10, ", and none ended within 10ms"),
        (MS * 10, soon, 4, ", and none ended within 4ms"),
        (MS * 2, soon, 2, ", and none ended within 2ms"),
    ];
    for (max_wait, deadline, waits, words) in table {
        let gate = gate(config(1, max_wait));
        let mut context = context();
        let began = Instant::now();
        if let Some(length) = deadline {
            context.narrow(Deadline::after(began, length).unwrap());
        }
        let _held = gate.enter(&mut context).await.unwrap();
        let refused = gate.enter(&mut context).await.err().unwrap();
        let waited = (Instant::now() - began).as_millis();
        assert!(waited >= waits && waited <= waits + 1, "{waited}");
        assert_eq!(refused.kind(), ErrorKind::BulkheadFull);
        let text = format!("1 call is under way (bulkhead.max_in_flight = 1){words}");
        assert!(refused.detail().contains(&text), "{refused}");
        assert_eq!((gate.engine().in_flight(), gate.engine().waiting()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_held_until_the_reply_has_been_read() {
    let gate = gate(config(1, Duration::ZERO));
    let verdict = Verdict::new(Outcome::Success, Instant::now());
    let kept = gate.ask(&context()).unwrap().report(&verdict);
    assert_eq!(gate.engine().in_flight(), 1);
    assert!(gate.ask(&context()).is_err());
    drop(kept);
    assert_eq!(gate.engine().in_flight(), 0);
    drop(gate.ask(&context()).unwrap());
    assert_eq!(gate.engine().in_flight(), 0, "a call that was dropped holds nothing");
}

#[tokio::test(start_paused = true)]
async fn who_waits_goes_on_in_turn_and_is_not_overtaken() {
    let bulkhead = bulkhead(2, Duration::from_secs(1));
    assert_eq!((ask(&bulkhead), ask(&bulkhead)), ("go", "go"));
    let (mut first, mut second) = (wait(&bulkhead), wait(&bulkhead));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    bulkhead.release();
    assert_ne!(ask(&bulkhead), "go", "the place is the first one's");
    assert!(poll(&mut second).is_pending());
    assert_eq!(poll(&mut first), Poll::Ready(true));
    bulkhead.release();
    assert_eq!(poll(&mut second), Poll::Ready(true));
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_line_takes_no_turn_with_him() {
    let bulkhead = bulkhead(3, Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!(ask(&bulkhead), "go");
    }
    let mut line: Vec<_> = (0..3).map(|_| wait(&bulkhead)).collect();
    assert!(line.iter_mut().all(|waiting| poll(waiting).is_pending()));
    bulkhead.release();
    // Called, and gone before it heard.
    drop(line.remove(0));
    assert_eq!(poll(&mut line[0]), Poll::Ready(true));
    drop(line.remove(0));
    drop(line.remove(0));
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (3, 0));
    bulkhead.release();
    assert_eq!(ask(&bulkhead), "go");
}

#[tokio::test(start_paused = true)]
async fn who_is_called_and_does_not_come_keeps_nobody_out() {
    let bulkhead = bulkhead(1, MS * 10);
    assert_eq!(ask(&bulkhead), "go");
    let mut asleep = wait(&bulkhead);
    assert!(poll(&mut asleep).is_pending());
    bulkhead.release();
    bulkhead.configure(config(2, MS * 10));
    for _ in 0..2 {
        assert!(wait(&bulkhead).await, "there was a free place all the time");
    }
    drop(asleep);
}

#[tokio::test(start_paused = true)]
async fn the_line_is_no_longer_than_there_are_places() {
    let bulkhead = bulkhead(2, Duration::from_secs(1));
    assert_eq!((ask(&bulkhead), ask(&bulkhead)), ("go", "go"));
    let mut line: Vec<_> = (0..3).map(|_| wait(&bulkhead)).collect();
    assert!(poll(&mut line[0]).is_pending() && poll(&mut line[1]).is_pending());
    assert_eq!(poll(&mut line[2]), Poll::Ready(false));
    let Answer::No(refusal) = bulkhead.ask(&context()) else { panic!("the line is full") };
    assert!(refusal.why.ends_with(", and 2 wait already"), "{}", refusal.why);
}

#[tokio::test(start_paused = true)]
async fn new_values_count_from_now_on() {
    let bulkhead = bulkhead(2, Duration::from_secs(1));
    assert_eq!((ask(&bulkhead), ask(&bulkhead)), ("go", "go"));
    let mut line: Vec<_> = (0..2).map(|_| wait(&bulkhead)).collect();
    assert!(line.iter_mut().all(|waiting| poll(waiting).is_pending()));
    bulkhead.configure(config(4, Duration::from_secs(1)));
    assert!(line.iter_mut().all(|waiting| poll(waiting) == Poll::Ready(true)));
    bulkhead.configure(config(1, Duration::ZERO));
    for under_way in [3, 2, 1] {
        bulkhead.release();
        assert_eq!((bulkhead.in_flight(), ask(&bulkhead)), (under_way, "no"));
    }
    bulkhead.release();
    assert_eq!(ask(&bulkhead), "go");
}

#[tokio::test(start_paused = true)]
async fn in_mode_observe_nobody_waits_and_nobody_is_refused() {
    let gate = gate(Config { mode: Mode::Observe, ..config(1, MS) });
    let permits = [gate.enter(&mut context()).await.unwrap(), gate.enter(&mut context()).await.unwrap()];
    assert_eq!(permits.each_ref().map(|permit| permit.is_known()), [true, false]);
    assert_eq!(gate.engine().in_flight(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_stress_no_place_is_lost_and_none_is_made() {
    const MAX: u32 = 3;
    let gate = Arc::new(gate(config(MAX, MS * 2)));
    let (inside, most, admitted) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let counts = Arc::new((inside, most, admitted));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..12_u64 {
        let (gate, counts) = (Arc::clone(&gate), Arc::clone(&counts));
        tasks.spawn(async move {
            let (inside, most, admitted) = &*counts;
            let mut dice = fastrand::Rng::with_seed(task);
            for _ in 0..400 {
                let mut context = context();
                let entering = gate.enter(&mut context);
                // Some leave the line of their own.
                let patience = if dice.u8(..) < 64 { Duration::from_micros(50) } else { MS * 50 };
                let Ok(Ok(permit)) = tokio::time::timeout(patience, entering).await else { continue };
                most.fetch_max(inside.fetch_add(1, Relaxed) + 1, Relaxed);
                admitted.fetch_add(1, Relaxed);
                for _ in 0..dice.u8(..3) {
                    tokio::task::yield_now().await;
                }
                inside.fetch_sub(1, Relaxed);
                match dice.bool() {
                    true => drop(permit),
                    false => drop(permit.report(&Verdict::new(Outcome::Success, Instant::now()))),
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let (_, most, admitted) = &*counts;
    assert_eq!((gate.engine().in_flight(), gate.engine().waiting()), (0, 0));
    assert!(most.load(Relaxed) <= MAX && admitted.load(Relaxed) > 0);
    for _ in 0..MAX {
        assert_eq!(ask(gate.engine()), "go");
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    Stand,
    Poll(usize),
    Leave(usize),
    Release,
    Bound(u32),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Ask),
        4 => Just(Step::Stand),
        6 => (0..9_usize).prop_map(Step::Poll),
        2 => (0..9_usize).prop_map(Step::Leave),
        5 => Just(Step::Release),
        1 => (1..6_u32).prop_map(Step::Bound),
        1 => (0..12_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn never_more_than_there_are_places_and_nobody_sleeps_beside_a_free_one(
        steps in prop::collection::vec(step(), 1..150)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _entered = runtime.enter();
        let bulkhead = bulkhead(3, MS * 10);
        let mut line: Vec<Waiting<'_>> = Vec::new();
        let (mut held, mut max) = (0_u32, 3);
        for step in steps {
            let before = held;
            match step {
                Step::Ask => held += u32::from(ask(&bulkhead) == "go"),
                Step::Stand => line.push(wait(&bulkhead)),
                Step::Poll(which) if !line.is_empty() => {
                    let which = which % line.len();
                    if let Poll::Ready(admitted) = poll(&mut line[which]) {
                        held += u32::from(admitted);
                        drop(line.remove(which));
                    }
                }
                Step::Leave(which) if !line.is_empty() => drop(line.remove(which % line.len())),
                Step::Release if held > 0 => {
                    bulkhead.release();
                    held -= 1;
                }
                Step::Bound(to) => {
                    bulkhead.configure(config(to, MS * 10));
                    max = to;
                }
                Step::Pass(ms) => runtime.block_on(tokio::time::advance(MS * ms as u32)),
                Step::Poll(_) | Step::Leave(_) | Step::Release => {}
            }
            prop_assert_eq!(bulkhead.in_flight(), held);
            // A lower bound ends no call, but it admits none either.
            prop_assert!(held <= max || held <= before, "{held} of {max}");
        }
        // Whoever still waits is let in or refused, and then all places are there.
        for _ in 0..=line.len() {
            line.retain_mut(|waiting| match poll(waiting) {
                Poll::Ready(admitted) => {
                    held += u32::from(admitted);
                    false
                }
                Poll::Pending => true,
            });
        }
        prop_assert!(line.is_empty() || held >= max, "{} wait beside a free place", line.len());
        drop(line);
        prop_assert_eq!((bulkhead.waiting(), bulkhead.in_flight()), (0, held));
        for _ in 0..held {
            bulkhead.release();
        }
        for _ in 0..max {
            prop_assert_eq!(ask(&bulkhead), "go");
        }
    }
}
