//! Calls that leave the process, many at a time: the loop that all client variants share.

use std::{future::Future, io};

use tokio::task::JoinSet;

use super::{
    calling::{Orders, Taken},
    counting,
    on_cpu::on_cpu,
};

/// Makes the calls of `orders`, [`IN_FLIGHT`] at a time; `call` says whether it succeeded.
///
/// # Errors
/// The system does not tell the time spent on a CPU.
pub(crate) async fn loaded<F>(
    orders: Orders,
    call: impl Fn() -> F + Clone + Send + 'static,
) -> io::Result<Taken>
where
    F: Future<Output = bool> + Send + 'static,
{
    each(WARM_UP, &call).await;
    let (allocations, since) = (counting::allocations(), on_cpu().await?);
    let failed = each(orders.calls.div_ceil(IN_FLIGHT), &call).await;
    let allocations = counting::allocations() - allocations;
    Ok(Taken { failed, allocations, nanoseconds: on_cpu().await? - since })
}

/// `calls` calls in each of the tasks; says how many failed.
async fn each<F>(calls: u64, call: &(impl Fn() -> F + Clone + Send + 'static)) -> u64
where
    F: Future<Output = bool> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let call = call.clone();
        tasks.spawn(async move {
            let mut failed = 0;
            for _ in 0..calls {
                failed += u64::from(!call().await);
            }
            failed
        });
    }
    tasks.join_all().await.into_iter().sum()
}

/// Calls at a time: a busy service.
pub(crate) const IN_FLIGHT: u64 = 64;
/// Calls of each task before the count: connections exist then.
const WARM_UP: u64 = 10;
