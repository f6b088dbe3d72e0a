//! tower's own parts, composed as its manual does.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt,
    balance::p2c::Balance,
    discover::ServiceList,
    load::{CompleteOnResponse, PeakEwma},
    retry::{
        Policy,
        budget::{Budget, TpsBudget},
    },
};

use super::service::{NUMBER, Number};
use crate::child::LIMIT;

/// Everything but a retry. It has one owner: a balancer cannot be cloned.
pub(crate) fn unshared(pending: bool) -> impl Service<u64, Response = u64> {
    ServiceBuilder::new().load_shed().concurrency_limit(CALLS).timeout(LIMIT).service(balance(pending))
}

/// The same with a retry, and with the buffer that a retry needs around a balancer and that makes it shareable.
pub(crate) fn shared(pending: bool) -> impl Service<u64, Response = u64> + Clone {
    ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(CALLS)
        .retry(Again { budget: Arc::new(TpsBudget::default()), left: RETRIES })
        .timeout(LIMIT)
        .buffer(CALLS)
        .service(balance(pending))
}

/// One call; did it succeed?
pub(crate) async fn ask(stack: &mut impl Service<u64, Response = u64>) -> bool {
    let Ok(ready) = stack.ready().await else { return false };
    ready.call(NUMBER).await.is_ok_and(|answer| answer == NUMBER)
}

fn balance(pending: bool) -> Balance<ServiceList<Vec<PeakEwma<Number>>>, u64> {
    let endpoint =
        |_| PeakEwma::new(Number { pending }, DEFAULT_RTT, DECAY_NS, CompleteOnResponse::default());
    Balance::new(ServiceList::new::<u64>((0..ENDPOINTS).map(endpoint).collect::<Vec<_>>()))
}

#[derive(Clone)]
struct Again {
    budget: Arc<TpsBudget>,
    left: u32,
}

impl Policy<u64, u64, BoxError> for Again {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, BoxError>) -> Option<Ready<()>> {
        if result.is_ok() {
            self.budget.deposit();
            return None;
        }
        if self.left == 0 || !self.budget.withdraw() {
            return None;
        }
        self.left -= 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, number: &u64) -> Option<u64> {
        Some(*number)
    }
}

/// As many as on the lab's side.
const ENDPOINTS: usize = 10;
/// Never reached here.
const CALLS: usize = 1_000;
/// As the platform's default.
const RETRIES: u32 = 2;
/// As in tower's own example.
const DEFAULT_RTT: Duration = Duration::from_millis(30);
/// Ten seconds.
const DECAY_NS: f64 = 10e9;
