//! tower-resilience: the four layers that it recommends together, without its telemetry.

use std::{fmt, io, time::Duration};

use tower::{Service, ServiceBuilder};
use tower_resilience::{
    bulkhead::{BulkheadLayer, BulkheadServiceError},
    circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer},
    retry::{RetryBudgetBuilder, RetryLayer},
    timelimiter::{TimeLimiterError, TimeLimiterLayer},
};

use crate::child::LIMIT;

/// What a call can end with.
pub(crate) type Failure<E> = CircuitBreakerError<BulkheadServiceError<TimeLimiterError<E>>>;

/// Retry with budget, breaker, bulkhead and time limiter around `service`.
pub(crate) fn stack<S, Q>(
    service: S,
) -> io::Result<impl Service<Q, Response = S::Response, Error = Failure<S::Error>, Future: Send> + Clone + Send>
where
    S: Service<Q> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    S::Error: fmt::Debug + Send + 'static,
    Q: Clone + Send + 'static,
{
    let budget =
        RetryBudgetBuilder::new().token_bucket().max_tokens(1_000).build().map_err(io::Error::other)?;
    let retry = RetryLayer::<Q, S::Response, Failure<S::Error>>::builder()
        .max_attempts(3)
        .exponential_backoff(Duration::from_millis(50))
        .budget(budget)
        .build();
    let breaker = CircuitBreakerLayer::standard().build().map_err(io::Error::other)?;
    let bulkhead = BulkheadLayer::builder()
        .max_concurrent_calls(1_000)
        .reject_when_full()
        .build()
        .map_err(io::Error::other)?;
    let limiter = TimeLimiterLayer::builder().timeout_duration(LIMIT).cancel_running_future(true).build();
    Ok(ServiceBuilder::new().layer(retry).layer(breaker).layer(bulkhead).layer(limiter).service(service))
}
