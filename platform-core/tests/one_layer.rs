//! Each guard as a tower layer of its own, held to the conformance kit.

use std::time::Duration;

use platform_core::{
    ErrorKind,
    admission::{
        Admission, AdmissionLayer, Gate, Place,
        breaker::{self, Breaker},
        bulkhead::{self, Bulkhead},
        concurrency::{self, Concurrency},
        metrics::Refusals,
        rate_limit::{self, RateLimit},
        throttle::{self, Throttle},
    },
    config::Mode,
    testing::conformance,
};
use tokio::time::Instant;

fn layer<A: Admission>(engine: A) -> AdmissionLayer<A> {
    let place = Place { layer: "alone", kind: ErrorKind::Overloaded };
    AdmissionLayer::new(Gate::new(engine, place, Mode::Enforce, Refusals::default()))
}

async fn conforms<A: Admission>(make: impl Fn() -> A, capacity: usize) {
    conformance::readiness(&layer(make())).await;
    conformance::clones(&layer(make())).await;
    conformance::cancellation(&layer(make()), capacity).await;
}

#[tokio::test(start_paused = true)]
async fn every_guard_is_a_layer_that_keeps_towers_contract() {
    let now = Instant::now();
    conforms(|| Breaker::new(breaker::Config::default(), now, breaker::Meters::default()), 3).await;
    conforms(|| Bulkhead::new(bulkhead::Config { max_in_flight: 3, ..bulkhead::Config::default() }), 3).await;
    conforms(
        || Concurrency::new(&concurrency::Config { start: 3, max: 3, ..concurrency::Config::default() }, now),
        3,
    )
    .await;
    conforms(|| RateLimit::new(&rate_limit::Config::default(), now), 3).await;
    conforms(|| Throttle::new(&throttle::Config::default(), now), 3).await;
}

/// The same under a bulkhead that makes callers wait.
#[tokio::test(start_paused = true)]
async fn a_layer_that_waits_calls_the_service_that_was_readied() {
    use platform_core::testing::Ask;
    use tower_layer::Layer as _;
    use tower_service::Service as _;

    let config = bulkhead::Config {
        max_in_flight: 1,
        max_wait: Duration::from_secs(1),
        ..bulkhead::Config::default()
    };
    let layer = layer(Bulkhead::new(config));
    let mut service = layer.layer(conformance::Strict::pending(3));
    let mut calls = Vec::new();
    for _ in 0..2 {
        std::future::poll_fn(|cx| service.poll_ready(cx)).await.expect("it is always ready");
        let call = service.call(Ask::under(platform_core::Context::root(Instant::now())));
        // Read at once, so that its slot is free.
        calls.push(async move { call.await.map(drop) });
    }
    // One after the other, though all were begun at once.
    let replies: Vec<Result<(), _>> = futures_util::future::join_all(calls).await;
    assert!(replies.iter().all(Result::is_ok), "{replies:?}");
}
