//! Promises of the client's page, with a scripted wire and paused time.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use platform_core::{
    Context, Error, ErrorKind, Outcome, Result, Verdict,
    admission::breaker::Forced,
    call::{Call, Guard, Reply},
    config::Mode,
    context::{Deadline, Notes, SpanId, TraceParent},
    identity::Identity,
    stack::{Answered, Asked, ClientPolicy, ClientStack, Parts, Row, Sending, Storey, Wire},
    telemetry::Metrics,
};
use tokio::time::{Instant, sleep};

/// What the scripted wire does with an attempt.
#[derive(Clone)]
enum Does {
    /// Answers after so long.
    Answer(Duration),
    /// Answers so, at once.
    Judge(Outcome),
    /// Fails with this.
    Fail(Error),
    /// Never answers.
    Nothing,
}

struct Script {
    does: Does,
    sent: AtomicU32,
    seen: Mutex<Option<Context>>,
    parent: Mutex<Option<SpanId>>,
    endpoint: Arc<str>,
}

struct Ask(Context);
#[derive(Debug)]
struct Told(Option<Verdict>);

impl Call for Ask {
    fn context(&self) -> &Context {
        &self.0
    }
    fn context_mut(&mut self) -> &mut Context {
        &mut self.0
    }
    fn repeat(&self, _body: u64) -> Option<Self> {
        Some(Ask(self.0.clone()))
    }
    fn idempotent(&self) -> bool {
        true
    }
}

impl Reply for Told {
    fn verdict(&self) -> Option<Verdict> {
        self.0
    }
    fn judge(&mut self, verdict: Verdict) {
        self.0 = Some(verdict);
    }
    fn hold(&mut self, guard: Guard) {
        drop(guard);
    }
}

impl Wire for Script {
    type Call = Ask;
    type Reply = Told;

    async fn send(&self, call: &mut Sending<Ask>, asked: &Asked) -> Result<Told> {
        self.sent.fetch_add(1, Relaxed);
        *self.seen.lock().expect("nobody panics with it") = Some(call.take().0);
        *self.parent.lock().expect("nobody panics with it") = Some(asked.parent());
        asked.set(&self.endpoint);
        let outcome = match &self.does {
            Does::Answer(after) => {
                sleep(*after).await;
                Outcome::Success
            }
            Does::Judge(outcome) => *outcome,
            Does::Fail(error) => return Err(error.clone()),
            Does::Nothing => pending().await,
        };
        let mut told = Told(None);
        told.judge(Verdict::new(outcome, Instant::now()));
        Ok(told)
    }

    fn describe(&self) -> Vec<Row> {
        vec![Row::new(Storey::Endpoint, "script", "What is written?")]
    }
}

struct Bench {
    metrics: Metrics,
    parts: Arc<Parts>,
    stack: ClientStack,
    wire: Script,
}

fn bench(does: Does, timeout: Option<u64>, attempt_timeout: Option<u64>) -> Bench {
    let metrics = Metrics::new(&Identity::default());
    let parts = Arc::new(Parts::new(&Arc::from("catalog"), &metrics));
    let millis = |ms: Option<u64>| ms.map(Duration::from_millis);
    let policy = ClientPolicy {
        timeout: millis(timeout),
        attempt_timeout: millis(attempt_timeout),
        ..ClientPolicy::bare()
    };
    let stack = ClientStack::new(policy, Arc::clone(&parts)).expect("the policy of a test is sound");
    let wire = Script {
        does,
        sent: AtomicU32::new(0),
        seen: Mutex::default(),
        parent: Mutex::default(),
        endpoint: Arc::from("10.0.0.7:80"),
    };
    Bench { metrics, parts, stack, wire }
}

impl Bench {
    async fn call(&self, context: Context) -> Result<Answered<Told>> {
        self.stack.call(Ask(context), &self.wire).await
    }

    async fn root(&self) -> Result<Answered<Told>> {
        self.call(Context::root(Instant::now())).await
    }

    fn seen(&self) -> Context {
        self.wire.seen.lock().expect("nobody panics with it").clone().expect("an attempt was made")
    }

    /// The value of the series whose line holds all of `parts`.
    fn value(&self, parts: &[&str]) -> f64 {
        let text = self.metrics.encode();
        let line = text.lines().find(|line| parts.iter().all(|part| line.contains(part)));
        line.and_then(|line| line.split(' ').nth(1)).map_or(0.0, |value| value.parse().expect("a number"))
    }

    fn attempts(&self, outcome: &str) -> f64 {
        self.value(&[
            "platform_client_attempts_total{",
            "target=\"catalog\"",
            "kind=\"first\"",
            &format!("outcome=\"{outcome}\""),
        ])
    }

    fn calls(&self, outcome: &str) -> f64 {
        self.value(&["platform_client_call_duration_seconds_count{", &format!("outcome=\"{outcome}\"")])
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_attempts_limit_and_the_error_says_where_and_why() {
    let bench = bench(Does::Nothing, Some(800), Some(250));
    let begun = Instant::now();
    let error = bench.root().await.expect_err("nobody answers");
    assert_eq!(begun.elapsed(), ms(250));
    assert_eq!(
        error.to_string(),
        "timeout: no answer within 250ms, one attempt's limit (policy.attempt_timeout) \
         [target=catalog endpoint=10.0.0.7:80 attempt=1 layer=attempt-deadline]"
    );
    assert_eq!((bench.attempts("timeout"), bench.calls("timeout")), (1.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_calls_limit_where_that_is_nearer() {
    let bench = bench(Does::Nothing, Some(200), None);
    let error = bench.root().await.expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.layer(), "deadline");
    assert!(error.detail().contains("within 200ms, the whole call's limit"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_counts_where_it_is_nearer_than_the_policy() {
    let bench = bench(Does::Nothing, Some(800), Some(250));
    let mut context = Context::root(Instant::now());
    context.narrow(Deadline::at(Instant::now() + ms(100)));
    let begun = Instant::now();
    let error = bench.call(context).await.expect_err("nobody answers");
    assert_eq!(begun.elapsed(), ms(100));
    assert!(error.detail().contains("within 100ms, all that was left of the request's own"), "{error}");
}

/// Rule 9: dead work takes no slot.
#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_is_not_sent() {
    let bench = bench(Does::Answer(ms(0)), Some(800), Some(250));
    let mut context = Context::root(Instant::now());
    context.narrow(Deadline::at(Instant::now() + ms(100)));
    sleep(ms(100)).await;
    let error = bench.call(context).await.expect_err("the deadline has passed");
    assert_eq!(bench.wire.sent.load(Relaxed), 0);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Local), "no evidence");
    assert_eq!((error.target(), error.layer()), (Some("catalog"), "deadline"));
    assert_eq!((bench.calls("local"), bench.attempts("ok")), (1.0, 0.0), "rule 1: it is counted");
}

/// Rule 7 needs it: what the wire writes is what is left of this attempt.
#[tokio::test(start_paused = true)]
async fn the_wire_sees_the_attempts_limit_and_a_span_of_its_own() {
    let bench = bench(Does::Answer(ms(10)), Some(800), Some(250));
    let trace = TraceParent::random();
    let context = Context::with_trace(Instant::now(), trace);
    // A request may be built long before it is sent.
    sleep(ms(40)).await;
    let answered = bench.call(context).await.expect("an answer");
    let seen = bench.seen();
    let deadline = seen.deadline().expect("a limit");
    assert_eq!(deadline.remaining(seen.now()), ms(250));
    assert_eq!(seen.trace().trace_id(), trace.trace_id());
    assert_ne!(seen.trace().span_id(), trace.span_id());
    assert_eq!(*bench.wire.parent.lock().expect("nobody panics with it"), Some(trace.span_id()));

    assert_eq!((answered.endpoint.as_deref(), answered.attempt), (Some("10.0.0.7:80"), 0));
    let limit = answered.limit.expect("the body is read under the whole call's limit");
    assert_eq!(limit.length(), ms(800));
}

#[tokio::test(start_paused = true)]
async fn without_any_limit_a_late_answer_is_an_answer() {
    let bench = bench(Does::Answer(Duration::from_secs(3600)), None, None);
    assert!(bench.root().await.expect("an answer").limit.is_none());
    assert_eq!(bench.seen().deadline(), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_reply_meant_is_what_is_counted() {
    for (outcome, label) in [
        (Outcome::Success, "ok"),
        (Outcome::CallerFault, "caller"),
        (Outcome::ServerFault, "server"),
        (Outcome::Overload, "overload"),
    ] {
        let bench = bench(Does::Judge(outcome), Some(800), Some(250));
        assert!(bench.root().await.is_ok(), "a reply is a reply, whatever it says");
        assert_eq!((bench.attempts(label), bench.calls(label)), (1.0, 1.0), "{label}");
    }
    let refused = Error::new(ErrorKind::Unreachable, "connection refused");
    let bench = bench(Does::Fail(refused), Some(800), Some(250));
    let error = bench.root().await.expect_err("nobody is there");
    assert_eq!(
        (error.target(), error.endpoint(), error.attempt()),
        (Some("catalog"), Some("10.0.0.7:80"), Some(0))
    );
    assert_eq!((bench.attempts("unreachable"), bench.calls("unreachable")), (1.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_counted_once_as_what_it_was() {
    // Dropped before its deadline: abandoned. The caller's own patience may be shorter than any limit.
    let left = bench(Does::Nothing, Some(800), Some(250));
    assert!(tokio::time::timeout(ms(100), left.root()).await.is_err());
    assert_eq!((left.attempts("abandoned"), left.calls("abandoned")), (1.0, 1.0));
    assert_eq!((left.attempts("timeout"), left.calls("timeout")), (0.0, 0.0));

    // Dropped after it: timed out, whoever noticed first.
    let late = bench(Does::Nothing, Some(800), Some(250));
    let mut call = Box::pin(late.root());
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx))).await.is_pending());
    tokio::time::advance(ms(900)).await;
    drop(call);
    assert_eq!((late.attempts("timeout"), late.calls("timeout")), (1.0, 1.0));
    assert_eq!((late.attempts("abandoned"), late.calls("abandoned")), (0.0, 0.0));

    // Never polled: nothing happened.
    let idle = bench(Does::Nothing, Some(800), Some(250));
    drop(idle.root());
    assert_eq!((idle.attempts("abandoned"), idle.calls("abandoned")), (0.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn the_request_being_served_knows_how_often_others_were_asked() {
    let bench = bench(Does::Answer(ms(1)), Some(800), Some(250));
    let notes = Arc::new(Notes::default());
    let mut context = Context::root(Instant::now());
    context.set_notes(Arc::clone(&notes));
    bench.call(context.child(Instant::now())).await.expect("an answer");
    bench.call(context.child(Instant::now())).await.expect("an answer");
    assert_eq!(notes.attempts(), 2);
}

#[test]
fn a_policy_that_contradicts_itself_makes_no_stack() {
    let metrics = Metrics::new(&Identity::default());
    let parts = Arc::new(Parts::new(&Arc::from("catalog"), &metrics));
    let policy =
        ClientPolicy { timeout: Some(ms(100)), attempt_timeout: Some(ms(200)), ..ClientPolicy::default() };
    let error = ClientStack::new(policy, parts).map(|_| ()).expect_err("it contradicts itself");
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_whose_time_has_run_out_shows_it_although_nobody_calls() {
    let error = Error::new(ErrorKind::Unreachable, "as scripted");
    let bench = bench(Does::Fail(error), None, None);
    let enforced = |policy: &mut ClientPolicy| {
        policy.breaker.mode = Mode::Enforce;
        policy.breaker.consecutive = 2;
    };
    bench.stack.edit(enforced).expect("a sound policy");
    let shown = || bench.value(&["platform_breaker_state{", "target=\"catalog\""]);
    assert_eq!(shown(), 0.0);
    for _ in 0..2 {
        bench.root().await.expect_err("as scripted");
    }
    assert_eq!(shown(), 2.0);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(shown(), 1.0);
    let rows = bench.stack.describe(&bench.wire);
    let state = rows.iter().find_map(|row| row.settings.get("state")).expect("the breaker's row");
    assert!(state.starts_with("half-open"), "{state}");
    // One that fares worse, of clients that are set otherwise, is what somebody should look at.
    let other = ClientPolicy { breaker: bench.stack.policy().breaker, ..ClientPolicy::default() };
    let other = ClientStack::new(other, Arc::clone(&bench.parts)).expect("a sound policy");
    other.guards().breaker.engine().force(Some(Forced::Open));
    assert_eq!(shown(), 2.0);
}
