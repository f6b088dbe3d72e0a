//! Promises of recovery: what is repeated, where, how often, and what is said when nothing is.

use std::{sync::Arc, time::Duration};

use platform_core::{
    Context, Error, ErrorKind, Hint, Mark, Outcome,
    config::Mode,
    context::{Deadline, Notes},
    recovery::Recovery,
    stack::ClientPolicy,
    testing::{Ask, Bench, Does, Target},
};
use tokio::time::{Instant, sleep};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn kind(result: Result<platform_core::stack::Answered<platform_core::testing::Told>, Error>) -> ErrorKind {
    result.map(|_| ()).expect_err("it fails").kind()
}

/// Repeats within a millisecond or two, so that a test counts attempts and not time.
fn eager(policy: &mut ClientPolicy) {
    policy.retry.backoff = ms(1);
    policy.retry.backoff_throttled = ms(1);
    policy.retry.backoff_max = ms(1);
}

/// It took so long, but for the short waits between attempts.
fn about(took: Duration, expected: Duration) {
    assert!(took >= expected && took <= expected + ms(5), "{took:?} is not about {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_repeated_at_another_endpoint_and_the_caller_sees_none_of_it() {
    let target = Target::new("catalog", 3, |attempt| match attempt.endpoint {
        0 => Does::judged(Outcome::ServerFault),
        _ => Does::well(ms(1)),
    });
    let bench = Bench::new(target, eager);
    let answered = bench.call().await.expect("the second endpoint answers");
    assert_eq!((answered.attempt, answered.endpoint.as_deref()), (1, Some("10.0.0.1:80")));
    let seen = bench.target.seen();
    assert_eq!(seen.iter().map(|one| one.endpoint).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(bench.value(&["platform_client_attempts_total{", "kind=\"retry\"", "outcome=\"ok\""]), 1.0);
    assert_eq!(bench.value(&["platform_client_call_duration_seconds_count{", "outcome=\"ok\""]), 1.0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_marked_as_a_repeat_and_has_a_span_and_a_limit_of_its_own() {
    let target = Target::new("catalog", 3, |attempt| match attempt.number {
        0 => Does::Nothing,
        _ => Does::well(ms(1)),
    });
    let bench = Bench::new(target, |policy| {
        eager(policy);
        policy.timeout = Some(ms(800));
        policy.attempt_timeout = Some(ms(250));
    });
    let begun = Instant::now();
    bench.call().await.expect("the second answers");
    let seen = bench.target.seen();
    let (first, second) = (&seen[0].context, &seen[1].context);
    assert!(!first.stops_chain() && first.attempt() == 0);
    assert!(second.stops_chain() && second.attempt() == 1, "whoever serves a repeat repeats nothing in turn");
    assert_eq!(first.trace().trace_id(), second.trace().trace_id());
    assert_ne!(first.trace().span_id(), second.trace().span_id());
    // Its own share of the call, and not what the first one left of its own.
    let ends = |context: &Context| context.deadline().expect("a limit").instant().duration_since(begun);
    about(ends(first), ms(250));
    about(ends(second), ms(500));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_outlives_the_call() {
    let bench = Bench::new(Target::new("catalog", 3, |_| Does::Nothing), |policy| {
        eager(policy);
        policy.timeout = Some(ms(800));
        policy.attempt_timeout = Some(ms(500));
        policy.retry.max_attempts = 5;
    });
    let begun = Instant::now();
    assert_eq!(kind(bench.call().await), ErrorKind::Timeout);
    assert_eq!((begun.elapsed(), bench.attempts()), (ms(800), 2));
}

/// PEERS: POST retried. An ambiguous failure of what may not be done twice is the caller's to decide.
#[tokio::test(start_paused = true)]
async fn what_may_not_be_done_twice_is_repeated_only_when_it_was_never_begun() {
    let table = [
        (Does::fails(ErrorKind::Unreachable), 3),
        (Does::Answer(ms(0), Outcome::Overload, Hint { after: None, mark: Some(Mark::Safe) }), 2),
        (Does::judged(Outcome::ServerFault), 1),
        (Does::fails(ErrorKind::Upstream), 1),
        (Does::Nothing, 1),
    ];
    for (does, least) in table {
        let told = format!("{does:?}");
        let bench = Bench::new(Target::new("payments", 5, move |_| does.clone()), eager);
        let mut ask = Ask::under(Context::root(Instant::now()));
        ask.idempotent = false;
        let result = bench.ask(ask).await;
        let attempts = bench.attempts();
        assert!(if least == 1 { attempts == 1 } else { attempts >= least }, "{told}: {attempts}");
        if let Err(error) = result
            && least == 1
        {
            assert!(error.detail().contains("not repeated: "), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_final_is_not_repeated() {
    for does in [
        Does::judged(Outcome::CallerFault),
        Does::judged(Outcome::Success),
        Does::Answer(ms(0), Outcome::ServerFault, Hint { after: None, mark: Some(Mark::Never) }),
    ] {
        let told = format!("{does:?}");
        let bench = Bench::new(Target::new("catalog", 3, move |_| does.clone()), eager);
        assert!(bench.call().await.is_ok(), "a reply is a reply");
        assert_eq!(bench.attempts(), 1, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_serves_a_repeat_repeats_only_what_was_never_sent() {
    for (does, attempts) in
        [(Does::judged(Outcome::ServerFault), 1..=1), (Does::fails(ErrorKind::Unreachable), 3..=5)]
    {
        let bench = Bench::new(Target::new("catalog", 3, move |_| does.clone()), eager);
        let mut context = Context::root(Instant::now());
        context.stop_chain();
        let _ = bench.ask(Ask::under(context)).await;
        assert!(attempts.contains(&bench.attempts()), "{}", bench.attempts());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_when_is_not_asked_sooner_and_not_at_all_past_the_deadline() {
    let busy = |after| {
        move |attempt: &platform_core::testing::Attempt| match attempt.number {
            0 => Does::Answer(ms(0), Outcome::Overload, Hint { after: Some(after), mark: None }),
            _ => Does::well(ms(0)),
        }
    };
    let bench = Bench::new(Target::new("catalog", 3, busy(ms(2000))), eager);
    bench.call().await.expect("it comes back");
    let seen = bench.target.seen();
    assert!(seen[1].at - seen[0].at >= ms(2000), "{:?}", seen[1].at - seen[0].at);

    let bench = Bench::new(Target::new("catalog", 3, busy(ms(20_000))), eager);
    let begun = Instant::now();
    let answered = bench.call().await.expect("the busy server's own reply");
    assert_eq!((bench.attempts(), begun.elapsed()), (1, ms(0)), "it would be too late");
    assert_eq!(answered.attempt, 0);
}

#[tokio::test(start_paused = true)]
async fn repeats_are_paid_from_one_budget_and_end_with_it() {
    let bench = Bench::new(Target::new("catalog", 3, |_| Does::judged(Outcome::ServerFault)), |policy| {
        eager(policy);
        policy.budget.floor_per_second = 1;
        policy.breaker.mode = Mode::Off;
    });
    for _ in 0..200 {
        let _ = bench.call().await;
    }
    // Ten seconds' floor of 1 a second, and failures deposit nothing.
    let repeats = bench.attempts() - 200;
    assert!((5..=15).contains(&repeats), "{repeats}");
    assert_eq!(bench.value(&["platform_retry_budget_ratio{"]), 0.0);
}

#[tokio::test(start_paused = true)]
async fn an_error_says_why_nothing_was_repeated_and_who_gave_up_tells_its_callers() {
    let bench = Bench::new(Target::new("catalog", 3, |_| Does::fails(ErrorKind::Upstream)), eager);
    let error = bench.call().await.map(|_| ()).expect_err("it fails");
    assert_eq!(bench.attempts(), 3);
    assert!(error.to_string().contains("not repeated: "), "{error}");
    assert!(error.to_string().contains("max_attempts"), "{error}");
    assert_eq!(error.hint().mark, Some(Mark::Never));
    assert_eq!((error.target(), error.attempt()), (Some("catalog"), Some(2)));
}

/// The spike's finding: after two silent attempts the third was refused by the breaker, and the user was told
/// *breaker open* and nothing of the timeouts.
#[tokio::test(start_paused = true)]
async fn a_repeat_that_our_own_guard_refuses_tells_of_the_failure_before_it() {
    let bench = Bench::new(Target::new("catalog", 3, |_| Does::Nothing), |policy| {
        eager(policy);
        policy.timeout = Some(ms(800));
        policy.attempt_timeout = Some(ms(250));
        policy.breaker.consecutive = 2;
    });
    let error = bench.call().await.map(|_| ()).expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.detail().contains("no answer within 250ms"), "{error}");
    assert!(error.detail().contains("(breaker)"), "{error}");
    assert_eq!(bench.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_canonical_line_knows_what_was_repeated_and_why() {
    let target = Target::new("catalog", 3, |attempt| match attempt.number {
        0 => Does::judged(Outcome::ServerFault),
        _ => Does::well(ms(0)),
    });
    let bench = Bench::new(target, eager);
    let notes = Arc::new(Notes::default());
    let mut context = Context::root(Instant::now());
    context.set_notes(Arc::clone(&notes));
    bench.ask(Ask::under(context)).await.expect("the second answers");
    let mut fields = Vec::new();
    notes.for_each(|key, value| fields.push(format!("{key}={value}")));
    assert_eq!(fields, ["why=catalog:retry(server)"]);
    assert_eq!(notes.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn in_mode_observe_nothing_is_repeated_and_it_is_counted_what_would_have_been() {
    let bench = Bench::new(Target::new("catalog", 3, |_| Does::judged(Outcome::ServerFault)), |policy| {
        eager(policy);
        policy.retry.mode = Mode::Observe;
    });
    bench.call().await.expect("a reply is a reply");
    assert_eq!((bench.attempts(), bench.refusals("retry", "observe")), (1, 1.0));
}

/// PEERS: tower's hedge gives the caller the hedge's error.
mod hedges {
    use super::*;

    /// A hundred quick answers have taught it; from then on `script` counts from 0.
    async fn warm(script: impl Fn(usize) -> Does + Send + Sync + 'static, endpoints: usize) -> Bench {
        let target = Target::new("catalog", endpoints, move |attempt| {
            if attempt.number < 200 { Does::well(ms(10)) } else { script(attempt.number - 200) }
        });
        let bench = Bench::new(target, |policy| {
            eager(policy);
            policy.recovery = Recovery::Hedge;
        });
        for _ in 0..200 {
            bench.call().await.expect("it is warming up");
            sleep(ms(40)).await;
        }
        assert_eq!(bench.attempts(), 200, "what is as quick as ever is not hedged");
        bench
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_attempt_is_overtaken() {
        let bench = warm(|number| if number == 0 { Does::Nothing } else { Does::well(ms(10)) }, 3).await;
        let begun = Instant::now();
        let answered = bench.call().await.expect("the hedge answers");
        assert!(begun.elapsed() < ms(40), "{:?}", begun.elapsed());
        assert_eq!((answered.attempt, bench.attempts()), (1, 202));
        let seen = bench.target.seen();
        assert_ne!(seen[200].endpoint, seen[201].endpoint);
        assert!(seen[201].context.stops_chain());
        // A loser is cancelled, and no failure.
        assert_eq!(bench.value(&["kind=\"first\"", "outcome=\"abandoned\""]), 1.0);
        assert_eq!(bench.value(&["kind=\"hedge\"", "outcome=\"ok\""]), 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_never_wins_against_an_answer_that_may_still_come() {
        for hedge in [Does::fails(ErrorKind::Upstream), Does::judged(Outcome::ServerFault)] {
            let bench =
                warm(move |number| if number == 0 { Does::well(ms(200)) } else { hedge.clone() }, 3).await;
            let begun = Instant::now();
            let answered = bench.call().await.expect("the first answers in the end");
            assert_eq!((answered.attempt, begun.elapsed()), (0, ms(200)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_no_hedge_to_the_same_endpoint_nor_of_what_may_not_be_done_twice() {
        let bench = warm(|_| Does::well(ms(200)), 1).await;
        let answered = bench.call().await.expect("the first answers in the end");
        assert_eq!((answered.attempt, bench.attempts()), (0, 201));
        assert_eq!(bench.value(&["platform_retry_budget_ratio{"]), 1.0, "and nothing was paid for it");
        assert_eq!(
            bench.value(&["platform_client_attempts_total{", "kind=\"hedge\"", "outcome=\"local\""]),
            0.0
        );

        let bench = warm(|_| Does::well(ms(200)), 3).await;
        let mut ask = Ask::under(Context::root(Instant::now()));
        ask.idempotent = false;
        bench.ask(ask).await.expect("the first answers in the end");
        assert_eq!(bench.attempts(), 201);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_sends_the_next_at_once() {
        let bench = warm(
            |number| if number == 0 { Does::judged(Outcome::ServerFault) } else { Does::well(ms(10)) },
            3,
        )
        .await;
        let begun = Instant::now();
        let answered = bench.call().await.expect("the second answers");
        assert_eq!((answered.attempt, begun.elapsed()), (1, ms(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeat_after_both_have_failed_asks_neither_again() {
        for hedge in [Does::fails(ErrorKind::Upstream), Does::judged(Outcome::ServerFault)] {
            let script = move |number| match number {
                0 => Does::Answer(ms(100), Outcome::ServerFault, Hint::NONE),
                1 => hedge.clone(),
                _ => Does::well(ms(1)),
            };
            let bench = warm(script, 3).await;
            // Two others meanwhile, so that by turns it would be the hedge's endpoint once more.
            let others = async {
                sleep(ms(50)).await;
                for _ in 0..2 {
                    bench.call().await.expect("others are well");
                }
            };
            let (answered, ()) = tokio::join!(bench.call(), others);
            assert_eq!(answered.expect("the third endpoint answers").attempt, 2);
            let seen = bench.target.seen();
            assert!(seen[201].at < seen[200].at + ms(50), "a hedge: {:?}", seen[201]);
            let [first, hedged, again] = [200, 201, 204].map(|number| seen[number].endpoint);
            assert!(again != first && again != hedged, "{first}, {hedged}, and then {again}");
        }
    }

    /// Where others wait too, a copy of a call makes all of them later: in storm S4 at 95 % of what the slots can do hedges
    /// alone brought a target that was well into an overload.
    #[tokio::test(start_paused = true)]
    async fn a_target_that_has_just_said_that_it_has_too_much_to_do_is_not_hedged() {
        let never = Hint { after: None, mark: Some(Mark::Never) };
        let script = move |number| match number {
            0 => Does::Answer(ms(1), Outcome::Overload, never),
            1 | 2 => Does::well(ms(200)),
            _ => Does::well(ms(10)),
        };
        let bench = warm(script, 3).await;
        bench.call().await.expect("a reply is a reply");
        let begun = Instant::now();
        bench.call().await.expect("the first answers in the end");
        assert_eq!((bench.attempts(), begun.elapsed()), (202, ms(200)));
        sleep(ms(1_200)).await;
        let begun = Instant::now();
        bench.call().await.expect("the hedge answers");
        assert_eq!(bench.attempts(), 204);
        assert!(begun.elapsed() < ms(40), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_extra_load_stays_within_what_was_said() {
        // One in four is slow from now on: far more than the budget pays for.
        let bench = warm(|number| Does::well(ms(if number % 4 == 0 { 200 } else { 10 })), 3).await;
        for _ in 0..400 {
            bench.call().await.expect("an answer");
        }
        let extra = bench.attempts() - 600;
        assert!((5..=45).contains(&extra), "{extra} hedges for 400 calls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_that_could_not_end_in_time_is_not_begun() {
    let target = Target::new("catalog", 3, |attempt| match attempt.number {
        0..100 => Does::well(ms(100)),
        _ => Does::Fail(ms(60), Error::new(ErrorKind::Upstream, "as scripted")),
    });
    let bench = Bench::new(target, eager);
    for _ in 0..100 {
        bench.call().await.expect("it is well");
    }
    let mut context = Context::root(Instant::now());
    context.narrow(Deadline::at(Instant::now() + ms(120)));
    let error = bench.ask(Ask::under(context)).await.map(|_| ()).expect_err("it fails");
    assert_eq!(bench.attempts(), 101, "60 ms are left, and half of all attempts take 100 ms: {error}");
}
