//! S11: a chain of services whose last one fails. Each layer's handler calls the next one on the production stack.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use platform_core::{
    Context, Hint, Outcome, Result,
    call::Reply as _,
    identity::Identity,
    stack::{Asked, ClientPolicy, ClientStack, Parts, Row, Sending, Storey, Wire},
    telemetry::Metrics,
    testing::{Ask, Told},
};
use tokio::time::Instant;

use super::client::CLIENTS;
use super::town::{Town, roll, root, told};

/// The services below the one that calls.
pub(crate) enum Below {
    /// The next service, and the stack that leads to it.
    Service { stack: ClientStack, below: Box<Below>, falls: Arc<AtomicBool> },
    /// The last one.
    Last { town: Town, asked: Arc<AtomicU64> },
}

/// A chain, and what was seen of it.
pub(crate) struct Chain {
    top: Below,
    /// Attempts at the last service.
    pub(crate) asked: Arc<AtomicU64>,
    /// Every hop had strictly less time than the one before it.
    pub(crate) falls: Arc<AtomicBool>,
}

impl Chain {
    /// So many layers above `town`, each calling the next under `policy`.
    pub(crate) fn new(layers: usize, town: &Town, policy: ClientPolicy) -> Result<Self> {
        let (asked, falls) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
        let mut top = Below::Last { town: town.clone(), asked: Arc::clone(&asked) };
        for layer in 0..layers {
            let parts = Parts::new(&Arc::from(format!("layer-{layer}")), &Metrics::new(&Identity::default()));
            let stack = ClientStack::new(policy, Arc::new(parts))?;
            stack.guards().set_clients(CLIENTS);
            top = Below::Service { stack, below: Box::new(top), falls: Arc::clone(&falls) };
        }
        Ok(Chain { top, asked, falls })
    }

    /// A user asks.
    pub(crate) async fn call(&self) -> bool {
        let answer = self.top.answer(root().context).await;
        answer.verdict().is_some_and(|verdict| verdict.outcome == Outcome::Success)
    }
}

impl Below {
    /// What this service answers to a request that arrived with `context`.
    fn answer(&self, context: Context) -> Pin<Box<dyn Future<Output = Told> + Send + '_>> {
        Box::pin(async move {
            match self {
                Below::Last { town, asked } => {
                    asked.fetch_add(1, Relaxed);
                    let deadline = context.deadline().map(|deadline| deadline.instant());
                    let (outcome, hint) = town.ask(roll(town.len()), deadline).await;
                    told(outcome, hint)
                }
                Below::Service { stack, below, falls } => {
                    // A little work of its own before it asks on.
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    let child = context.child(Instant::now());
                    let hop = Hop { below, above: context, falls };
                    match stack.call(Ask::under(child), &hop).await {
                        Ok(answered) => match answered.reply.verdict() {
                            Some(verdict) if verdict.outcome == Outcome::Success => answered.reply,
                            // A handler makes an error of it, and its reply says that a layer below has given up:
                            // `platform_http::Response::json` and the problem document do that.
                            _ => given_up(),
                        },
                        Err(error) => {
                            let hint = error.hint();
                            let outcome = match error.outcome() {
                                Outcome::Timeout => Outcome::ServerFault,
                                Outcome::Local => Outcome::ServerFault,
                                other => other,
                            };
                            told(outcome, hint)
                        }
                    }
                }
            }
        })
    }
}

fn given_up() -> Told {
    let mark = platform_core::ErrorKind::Upstream.mark();
    told(Outcome::ServerFault, Hint { after: None, mark })
}

/// One call from a service to the one below it.
struct Hop<'a> {
    below: &'a Below,
    above: Context,
    falls: &'a AtomicBool,
}

impl Wire for Hop<'_> {
    type Call = Ask;
    type Reply = Told;

    async fn send(&self, call: &mut Sending<Ask>, _asked: &Asked) -> Result<Told> {
        let call = call.call_mut();
        let now = Instant::now();
        if let (Some(above), Some(own)) = (self.above.deadline(), call.context.deadline())
            && (own.instant() > above.instant() || own.remaining(now) >= above.remaining(self.above.now()))
        {
            self.falls.store(false, Relaxed);
        }
        // What travels: the deadline, the trace, and whether it is a repeat.
        let mut arrived = call.context.child(now);
        if call.context.attempt() > 0 {
            arrived.stop_chain();
        }
        Ok(self.below.answer(arrived).await)
    }

    fn describe(&self) -> Vec<Row> {
        vec![Row::new(Storey::Endpoint, "hop", "Who is asked?")]
    }
}
