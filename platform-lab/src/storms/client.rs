//! Clients of a town: ours on the production stack, and the naive ones beside it.

use std::{sync::Arc, time::Duration};

use platform_core::{
    ErrorKind, Outcome, Result,
    identity::Identity,
    stack::{ClientPolicy, ClientStack, Parts},
    telemetry::Metrics,
    testing::Ask,
};
use tokio::time::{Instant, timeout_at};

use super::{
    lane::{Choice, Lane},
    tower::Tower,
    town::{Town, gap, roll, root},
};

/// How a call is made.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// The production stack under this policy.
    Ours(Box<ClientPolicy>, Choice),
    /// A loop: so many attempts at any replica, one after the other, each cut after `attempt`.
    Naive { attempts: u32, attempt: Duration, whole: Duration },
    /// tower's balancer, one attempt, cut after the whole time.
    Tower { whole: Duration },
}

/// One client process: guards and budget of its own.
#[derive(Clone)]
pub(crate) struct Client {
    way: Way,
    town: Town,
    lane: Arc<Lane>,
    tower: Option<Arc<Tower>>,
    stack: Option<ClientStack>,
    pub(crate) metrics: Metrics,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Felt {
    pub(crate) good: bool,
    /// A guard of ours said no.
    pub(crate) refused: bool,
    pub(crate) took: Duration,
    pub(crate) at: Instant,
}

impl Client {
    /// Client `number` of the town's callers.
    pub(crate) fn new(town: &Town, way: &Way, number: usize) -> Result<Self> {
        let metrics = Metrics::new(&Identity::default());
        let (stack, choice) = match way {
            Way::Ours(policy, choice) => {
                let parts = Arc::new(Parts::new(&Arc::from("town"), &metrics));
                let stack = ClientStack::new(**policy, parts)?;
                stack.guards().set_clients(CLIENTS);
                (Some(stack), *choice)
            }
            Way::Naive { .. } | Way::Tower { .. } => (None, Choice::RoundRobin),
        };
        let tower = matches!(way, Way::Tower { .. }).then(|| Arc::new(Tower::to(town)));
        let lane = Arc::new(Lane::to(town, choice, number, &metrics)?);
        Ok(Client { way: way.clone(), town: town.clone(), lane, tower, stack, metrics })
    }

    /// From now on the registry names the first so many replicas.
    pub(crate) fn knows(&self, replicas: usize) {
        self.lane.knows(replicas);
        if let Some(tower) = &self.tower {
            tower.knows(replicas);
        }
    }

    /// A call on somebody's behalf; naive clients tell nobody about it.
    pub(crate) async fn call_as(&self, ask: Ask) -> Felt {
        let begun = Instant::now();
        let (good, refused) = match (&self.stack, &self.way) {
            (Some(stack), _) => match stack.call(ask, &*self.lane).await {
                Ok(answered) => (is_good(&answered.reply), false),
                Err(error) => (false, is_refusal(error.kind())),
            },
            (None, Way::Naive { attempts, attempt, whole }) => {
                (self.naive(begun, *attempts, *attempt, *whole).await, false)
            }
            (None, Way::Tower { whole }) => {
                let tower = self.tower.as_ref().expect("made with the client");
                let end = begun + *whole;
                let answer = timeout_at(end, tower.ask(Some(end))).await;
                (matches!(answer, Ok(Some((Outcome::Success, _)))), false)
            }
            (None, Way::Ours(..)) => unreachable!("ours has a stack"),
        };
        let at = Instant::now();
        Felt { good, refused, took: at - begun, at }
    }

    async fn naive(&self, begun: Instant, attempts: u32, attempt: Duration, whole: Duration) -> bool {
        let end = begun + whole;
        for _ in 0..attempts {
            let limit = end.min(Instant::now() + attempt);
            let asked = self.town.ask(roll(self.town.len()), Some(limit));
            if let Ok((Outcome::Success, _)) = timeout_at(limit, asked).await {
                return true;
            }
            if Instant::now() >= end {
                break;
            }
        }
        false
    }
}

/// Who may be called with.
pub(crate) trait Caller: Clone + Send + 'static {
    fn call(&self) -> impl Future<Output = Felt> + Send;
}

impl Caller for Client {
    async fn call(&self) -> Felt {
        self.call_as(root()).await
    }
}

/// Calls arrive as they like, one after the other, at any of the clients, until `length` is over; then all that
/// is under way is waited for. `each` sees the time since the start.
pub(crate) async fn arrive<C: Caller>(
    clients: &[C],
    per_second: f64,
    length: Duration,
    mut each: impl FnMut(Duration),
) -> Vec<Felt> {
    let begun = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    let mut felt = Vec::new();
    // What is due is kept apart from the clock, which knows whole milliseconds.
    let mut due = Duration::ZERO;
    for number in 0.. {
        due += gap(per_second);
        if due >= length {
            break;
        }
        tokio::time::sleep_until(begun + due).await;
        each(due);
        let client = clients[number % clients.len()].clone();
        calls.spawn(async move { client.call().await });
        while let Some(Ok(done)) = calls.try_join_next() {
            felt.push(done);
        }
    }
    // One that panics is no call that nobody counts.
    felt.extend(calls.join_all().await);
    felt
}

pub(crate) fn is_good(reply: &platform_core::testing::Told) -> bool {
    use platform_core::call::Reply as _;
    reply.verdict().is_none_or(|verdict| verdict.outcome.is_success())
}

fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BreakerOpen | ErrorKind::BulkheadFull | ErrorKind::Throttled)
}

/// As many processes call the town.
pub(crate) const CLIENTS: u32 = 10;
