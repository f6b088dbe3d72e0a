//! The rules of position, a promise each, on the production stack.

use std::{sync::Arc, time::Duration};

use platform_core::{
    Context, ErrorKind, Hint, Outcome,
    config::Mode,
    context::Deadline,
    recovery::Recovery,
    stack::Storey,
    testing::{Ask, Bench, Does, Target},
};
use tokio::time::{Instant, sleep};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn silent() -> Target {
    Target::new("catalog", 3, |_| Does::Nothing)
}

/// Rule 1: count everything.
#[tokio::test(start_paused = true)]
async fn a_refused_call_and_a_refused_attempt_are_on_the_graph() {
    let bench = Bench::new(silent(), |policy| {
        policy.recovery = Recovery::None;
        policy.breaker.consecutive = 1;
        policy.attempt_timeout = Some(ms(250));
    });
    let _ = bench.call().await;
    let error = bench.call().await.map(|_| ()).expect_err("the breaker is open");
    assert_eq!((error.kind(), error.layer()), (ErrorKind::BreakerOpen, "breaker"));
    assert_eq!(bench.value(&["platform_client_attempts_total{", "kind=\"first\"", "outcome=\"local\""]), 1.0);
    assert_eq!(bench.value(&["platform_client_call_duration_seconds_count{", "outcome=\"local\""]), 1.0);
    assert_eq!(bench.refusals("breaker", "enforce"), 1.0);
    assert_eq!(bench.value(&["platform_breaker_state{", "target=\"catalog\""]), 2.0);
}

/// Rule 2: cheap refusals first.
#[tokio::test(start_paused = true)]
async fn what_needs_no_state_refuses_before_what_keeps_some() {
    let bench = Bench::new(silent(), |policy| {
        policy.rate_limit.mode = Mode::Enforce;
        policy.rate_limit.per_second = 1.into();
        policy.rate_limit.burst = 1;
        policy.bulkhead.max_in_flight = 1;
    });
    let first = bench.call();
    let second = async {
        sleep(ms(1)).await;
        bench.call().await.map(|_| ()).expect_err("both are at their end")
    };
    let error = tokio::select! { _ = first => unreachable!("nobody answers"), error = second => error };
    assert_eq!((error.kind(), error.layer()), (ErrorKind::Throttled, "rate-limit"));
    assert!(error.hint().after.is_some(), "it says when");
    assert_eq!(bench.refusals("bulkhead", "enforce"), 0.0);
}

/// Rule 3: our own refusals are no evidence.
#[tokio::test(start_paused = true)]
async fn what_we_refuse_ourselves_opens_no_breaker() {
    let bench = Bench::new(silent(), |policy| {
        policy.recovery = Recovery::None;
        policy.concurrency.mode = Mode::Enforce;
        policy.concurrency.start = 1;
        policy.concurrency.max = 1;
    });
    let hold = bench.call();
    let others = async {
        sleep(ms(1)).await;
        for _ in 0..50 {
            let error = bench.call().await.map(|_| ()).expect_err("there is no room");
            assert_eq!((error.kind(), error.layer()), (ErrorKind::BulkheadFull, "concurrency"));
        }
    };
    tokio::select! { _ = hold => unreachable!("nobody answers"), () = others => {} }
    assert_eq!(bench.value(&["platform_breaker_state{"]), 0.0);
}

/// Rule 4: judges stand above what they judge. PEERS: a hung backend never opens the breakers of three crates.
#[tokio::test(start_paused = true)]
async fn silence_that_an_outer_deadline_cuts_counts_against_the_target() {
    let bench = Bench::new(silent(), |policy| policy.recovery = Recovery::None);
    for _ in 0..7 {
        let mut context = Context::root(Instant::now());
        context.narrow(Deadline::at(Instant::now() + ms(1)));
        let mut call = Box::pin(bench.ask(Ask::under(context)));
        let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx).is_pending()));
        assert!(pending.await);
        tokio::time::advance(ms(2)).await;
        drop(call);
    }
    let error = bench.call().await.map(|_| ()).expect_err("it was silent seven times");
    assert_eq!(error.kind(), ErrorKind::BreakerOpen, "{error}");
    assert_eq!(bench.attempts(), 7, "an open breaker does not ask");
}

/// Rule 5: one clock per call.
#[tokio::test(start_paused = true)]
async fn waits_and_repeats_end_with_the_calls_own_limit() {
    let bench = Bench::new(silent(), |policy| {
        policy.timeout = Some(ms(700));
        policy.attempt_timeout = Some(ms(250));
        policy.bulkhead.max_in_flight = 1;
        policy.bulkhead.max_wait = ms(5000);
    });
    let begun = Instant::now();
    let (first, second) = tokio::join!(bench.call(), bench.call());
    assert_eq!(first.map(|_| ()).expect_err("nobody answers").kind(), ErrorKind::Timeout);
    assert!(second.is_err());
    assert!(begun.elapsed() <= ms(701), "who waited for a turn had the same 700 ms: {:?}", begun.elapsed());
}

/// Rule 7: headers are written last. What the wire sees is what is left of this attempt, after every wait.
#[tokio::test(start_paused = true)]
async fn an_attempt_begins_when_its_turn_has_come() {
    let target = Target::new("catalog", 3, |_| Does::well(ms(100)));
    let bench = Bench::new(target, |policy| {
        policy.timeout = Some(ms(1000));
        policy.attempt_timeout = Some(ms(300));
        policy.bulkhead.max_in_flight = 1;
        policy.bulkhead.max_wait = ms(500);
    });
    // Each is read as it comes, so that the other's turn comes too.
    let read = async || bench.call().await.map(drop).expect("an answer");
    tokio::join!(read(), read());
    let seen = bench.target.seen();
    assert_eq!(seen.len(), 2);
    for attempt in &seen {
        // The one that waited has its whole share, and its clock is right.
        let left = attempt.context.deadline().expect("a limit").remaining(attempt.at);
        assert_eq!((left, attempt.context.now().instant()), (ms(300), attempt.at));
    }
    assert!(seen[1].at - seen[0].at >= ms(100), "it waited");
}

/// Rule 9: dead work takes no slot.
#[tokio::test(start_paused = true)]
async fn an_expired_call_is_refused_before_it_is_admitted() {
    let bench = Bench::new(silent(), |policy| {
        policy.rate_limit.mode = Mode::Enforce;
        policy.rate_limit.per_second = 1.into();
        policy.rate_limit.burst = 1;
    });
    let mut context = Context::root(Instant::now());
    context.narrow(Deadline::at(Instant::now()));
    let error = bench.ask(Ask::under(context)).await.map(|_| ()).expect_err("its time is over");
    assert_eq!((error.kind(), error.layer()), (ErrorKind::Timeout, "deadline"));
    assert_eq!(bench.refusals("rate-limit", "enforce"), 0.0, "it was not even asked");
    let mut alive = Box::pin(bench.call());
    let pending =
        std::future::poll_fn(|cx| std::task::Poll::Ready(alive.as_mut().poll(cx).is_pending())).await;
    assert!(pending, "the only token of this second is still there");
}

/// Capacity is held until the reply has been read.
#[tokio::test(start_paused = true)]
async fn a_reply_that_is_being_read_holds_its_slot() {
    let bench = Bench::new(Target::new("catalog", 3, |_| Does::well(ms(1))), |policy| {
        policy.recovery = Recovery::None;
        policy.bulkhead.max_in_flight = 1;
        policy.bulkhead.max_wait = ms(0);
    });
    let reading = bench.call().await.expect("an answer");
    let error = bench.call().await.map(|_| ()).expect_err("the slot is held");
    assert_eq!((error.kind(), error.layer()), (ErrorKind::BulkheadFull, "bulkhead"));
    drop(reading);
    bench.call().await.expect("it is free again");
}

#[test]
fn the_order_is_told_as_it_runs() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let _guard = runtime.enter();
    let bench = Bench::new(silent(), |policy| policy.breaker.mode = Mode::Observe);
    let rows = bench.stack.describe(&bench.target);
    let order: Vec<_> = rows.iter().map(|row| (row.storey, row.layer)).collect();
    assert_eq!(
        order,
        [
            (Storey::Call, "context"),
            (Storey::Call, "observe-call"),
            (Storey::Call, "deadline"),
            (Storey::Call, "rate-limit"),
            (Storey::Call, "bulkhead"),
            (Storey::Call, "recovery"),
            (Storey::Call, "budget"),
            (Storey::Attempt, "observe-attempt"),
            (Storey::Attempt, "throttle"),
            (Storey::Attempt, "breaker"),
            (Storey::Attempt, "concurrency"),
            (Storey::Attempt, "attempt-deadline"),
            (Storey::Endpoint, "script"),
        ]
    );
    let breaker = rows.iter().find(|row| row.layer == "breaker").expect("a breaker");
    assert_eq!((breaker.settings["mode"].as_str(), breaker.settings["open"].as_str()), ("observe", "1s"));
    assert_eq!(breaker.settings["state"], "closed");
}

#[tokio::test(start_paused = true)]
async fn a_policy_may_change_while_calls_are_under_way_and_what_was_learnt_stays() {
    let bench = Bench::new(silent(), |policy| {
        policy.recovery = Recovery::None;
        policy.attempt_timeout = Some(ms(250));
    });
    for _ in 0..6 {
        let _ = bench.call().await;
    }
    let mut policy = bench.stack.policy();
    policy.attempt_timeout = Some(ms(100));
    let before = bench.stack.change(policy).expect("a sound policy");
    assert_eq!(before.attempt_timeout, Some(ms(250)));
    let begun = Instant::now();
    let _ = bench.call().await;
    assert_eq!(begun.elapsed(), ms(100), "the new limit counts");
    let error = bench.call().await.map(|_| ()).expect_err("seven in a row");
    assert_eq!(error.kind(), ErrorKind::BreakerOpen, "six failures before the change, and one after");

    policy.attempt_timeout = Some(ms(60_000));
    assert_eq!(bench.stack.change(policy).expect_err("longer than the call").kind(), ErrorKind::Config);
    assert_eq!(bench.stack.policy().attempt_timeout, Some(ms(100)), "what was refused changed nothing");
}

/// In mode observe no guard changes what happens, whatever happens; what it would have done is counted.
mod observing {
    use super::*;
    use proptest::prelude::*;

    fn does(number: u8) -> Does {
        match number % 5 {
            0 => Does::judged(Outcome::ServerFault),
            1 => Does::Fail(ms(3), platform_core::Error::new(ErrorKind::Unreachable, "refused")),
            2 => Does::Answer(ms(1), Outcome::Overload, Hint { after: Some(ms(5)), mark: None }),
            3 => Does::Nothing,
            _ => Does::well(ms(2)),
        }
    }

    /// What callers got, one after the other, and when.
    fn run(script: &Arc<[u8]>, mode: Mode) -> Vec<(String, Duration)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let script = Arc::clone(script);
        runtime.block_on(async move {
            let length = script.len();
            let target =
                Target::new("catalog", 3, move |attempt| does(script[attempt.number % script.len()]));
            let bench = Bench::new(target, |policy| {
                policy.attempt_timeout = Some(ms(20));
                policy.recovery = Recovery::None;
                policy.retry.mode = mode;
                policy.throttle.mode = mode;
                policy.rate_limit.mode = mode;
                policy.rate_limit.burst = 2;
                policy.bulkhead.mode = mode;
                policy.bulkhead.max_in_flight = 1;
                policy.breaker.mode = mode;
                policy.breaker.consecutive = 2;
                policy.concurrency.mode = mode;
                policy.concurrency.start = 1;
            });
            let begun = Instant::now();
            let mut got = Vec::new();
            for _ in 0..length / 2 + 1 {
                let (one, other) = tokio::join!(bench.call(), bench.call());
                for result in [one, other] {
                    let told = match result {
                        Ok(answered) => format!("{:?}", answered.reply),
                        Err(error) => error.to_string(),
                    };
                    // Instants differ between runs; outcomes do not.
                    let told = told.split("at: ").next().unwrap_or_default().to_owned();
                    got.push((told, begun.elapsed()));
                }
            }
            got
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn changes_nothing(script in prop::collection::vec(any::<u8>(), 1..40)) {
            let script: Arc<[u8]> = script.into();
            prop_assert_eq!(run(&script, Mode::Observe), run(&script, Mode::Off));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn counts_what_it_would_have_done() {
        let bench = Bench::new(silent(), |policy| {
            policy.recovery = Recovery::None;
            policy.attempt_timeout = Some(ms(20));
            policy.breaker.mode = Mode::Observe;
            policy.breaker.consecutive = 2;
        });
        for _ in 0..5 {
            let error = bench.call().await.map(|_| ()).expect_err("nobody answers");
            assert_eq!(error.kind(), ErrorKind::Timeout, "it was asked all the same");
        }
        assert_eq!((bench.attempts(), bench.refusals("breaker", "enforce")), (5, 0.0));
        assert_eq!(bench.refusals("breaker", "observe"), 3.0);
    }
}
