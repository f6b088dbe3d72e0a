//! Our own stack, around services that are there at once.

use std::{
    io,
    marker::PhantomData,
    sync::{Arc, Barrier},
    thread,
};

use platform_core::{
    Context, Outcome, Result, Verdict,
    call::{Call, Reply},
    config::Mode,
    identity::Identity,
    stack::{Asked, ClientPolicy, ClientStack, Parts, Row, Sending, Storey, Wire},
    telemetry::Metrics,
};
use platform_discovery::{Balance, Config, Discovery, Target, balance};
use tokio::time::Instant;

use crate::child::{Answer, LIMIT, Orders, Taken, repeated, runtime};

/// A kind of call that the stack can be measured with.
pub(crate) trait Subject: Call {
    /// What comes back.
    type Reply: Reply + Unpin;

    /// The call.
    fn under(context: Context) -> Self;

    /// What the service answers.
    fn answer(self) -> Self::Reply;

    /// Is this the answer?
    fn answered(reply: &Self::Reply) -> bool;
}

/// The stack and what it is called with.
struct Subjected<Q> {
    stack: ClientStack,
    wire: Ready<Q>,
    context: Context,
}

/// The wire to services that are there at once: what a real one does besides connections and headers.
struct Ready<Q> {
    balance: Balance<Endpoint>,
    calls: PhantomData<fn(Q)>,
}

struct Endpoint {
    pending: bool,
}

/// Makes the calls of `orders` through the whole stack, on as many threads as they say.
///
/// # Errors
/// No runtime can be had, or the stack cannot be made.
pub(crate) fn call<Q: Subject>(orders: Orders) -> io::Result<Taken> {
    let subject = runtime()?.block_on(Subjected::<Q>::new(orders.pending)).map_err(io::Error::other)?;
    let ready = Barrier::new(orders.threads);
    thread::scope(|scope| {
        let calls = || {
            // All at once, or the first has gone when the last one comes.
            ready.wait();
            subject.calls(orders)
        };
        let threads: Vec<_> = (0..orders.threads).map(|_| scope.spawn(calls)).collect();
        let mut all = Taken { failed: 0, allocations: 0, nanoseconds: 0 };
        for thread in threads {
            let taken = thread.join().map_err(|_| io::Error::other("a thread of calls panicked"))??;
            all.failed += taken.failed;
            // All threads count all allocations, at much the same time: the last one has the most.
            all.allocations = all.allocations.max(taken.allocations);
            all.nanoseconds = all.nanoseconds.max(taken.nanoseconds);
        }
        Ok(all)
    })
}

impl<Q: Subject> Subjected<Q> {
    async fn new(pending: bool) -> Result<Self> {
        let (identity, target) = (Identity::default(), Target::parse(TARGET)?.named("lab"));
        let metrics = Metrics::new(&identity);
        let discovery = Discovery::of(Config::default(), &identity, &metrics)?;
        let balance =
            discovery.balance(&target, &balance::Config::default(), move |_| Endpoint { pending })?;
        let context = Context::root(Instant::now());
        // Chosen once here, so that the fixed set is known before the first call.
        balance.pick(&context, fastrand::u64(..)).await?;
        let policy = every_guard();
        let stack = ClientStack::new(policy, Arc::new(Parts::new(target.name(), &metrics)))?;
        Ok(Subjected { stack, wire: Ready { balance, calls: PhantomData }, context })
    }

    fn calls(&self, orders: Orders) -> io::Result<Taken> {
        let call = async || {
            let answered = self.stack.call(Q::under(self.context.clone()), &self.wire).await;
            answered.as_ref().is_ok_and(|answered| Q::answered(&answered.reply))
        };
        runtime()?.block_on(repeated(orders, call))
    }
}

/// The library's defaults, with every guard on that is not.
fn every_guard() -> ClientPolicy {
    let mut policy =
        ClientPolicy { timeout: Some(LIMIT), attempt_timeout: Some(LIMIT), ..ClientPolicy::default() };
    policy.throttle.mode = Mode::Enforce;
    policy.rate_limit.mode = Mode::Enforce;
    // More than can be called here.
    policy.rate_limit.per_second = 1e6;
    policy.rate_limit.burst = 1_000_000;
    policy.concurrency.mode = Mode::Enforce;
    policy
}

impl<Q: Subject> Wire for Ready<Q> {
    type Call = Q;
    type Reply = Q::Reply;

    async fn send(&self, call: &mut Sending<Q>, asked: &Asked) -> Result<Q::Reply> {
        let context = call.call_mut().context();
        let mut picked = match self.balance.try_pick(context, fastrand::u64(..)) {
            Some(picked) => picked,
            None => self.balance.pick(context, fastrand::u64(..)).await?,
        };
        asked.set(picked.label());
        let mut reply = Answer::new(picked.service().pending, call.take().answer()).await;
        let verdict = Verdict::new(Outcome::Success, Instant::now());
        reply.judge(verdict);
        picked.report(&verdict);
        reply.hold(picked.into_guard());
        Ok(reply)
    }

    fn describe(&self) -> Vec<Row> {
        vec![Row::new(Storey::Endpoint, "ready", "What if the network cost nothing?")]
    }
}

/// Ten endpoints, as the peers' balancers have.
const TARGET: &str = "fixed://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3,127.0.0.1:4,127.0.0.1:5,\
                      127.0.0.1:6,127.0.0.1:7,127.0.0.1:8,127.0.0.1:9,127.0.0.1:10";
