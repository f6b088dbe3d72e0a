//! Guards: what judges and limits the calls to one target, live.

use std::sync::Arc;

use tokio::time::Instant;

use super::ClientPolicy;
use crate::{
    admission::{
        Gate, Place,
        breaker::{self, Breaker},
        bulkhead::Bulkhead,
        concurrency::Concurrency,
        metrics::Refusals,
        rate_limit::RateLimit,
        throttle::Throttle,
    },
    call::Release,
    config::Mode,
    error::ErrorKind,
    recovery::{Budget, Latencies, hedge},
    telemetry::{Counter, Metrics},
};

/// The guards of one target, shared by all clients that are set alike.
pub struct Guards {
    /// How often it may be called.
    pub rate_limit: Gate<RateLimit>,
    /// How much of us it may hold.
    pub bulkhead: Gate<Bulkhead>,
    /// Is it worth sending at all?
    pub throttle: Gate<Throttle>,
    /// Is it worth asking?
    pub breaker: Gate<Breaker>,
    /// How much it can bear.
    pub concurrency: Gate<Concurrency>,
    /// What repeats and hedges may cost together.
    pub budget: Budget,
    /// What hedges may cost. Its window is the budget's, and began with it.
    pub hedges: Budget,
    /// How long attempts took lately.
    pub latencies: Latencies,
    /// Repeats that mode observe would have made.
    pub(super) would_repeat: Counter,
}

impl Guards {
    pub(super) fn new(target: &Arc<str>, policy: &ClientPolicy, now: Instant, metrics: &Metrics) -> Self {
        let refusals = |layer| Refusals::of_client(target, layer, metrics);
        let place = |layer, kind| Place { layer, kind };
        let ClientPolicy { rate_limit, bulkhead, throttle, breaker, concurrency, .. } = *policy;
        let meters = breaker::Meters::of(target, metrics);
        Guards {
            rate_limit: Gate::new(
                RateLimit::new(&rate_limit, now),
                place(RATE_LIMIT, ErrorKind::Throttled),
                rate_limit.mode,
                refusals(RATE_LIMIT),
            ),
            bulkhead: Gate::new(
                Bulkhead::new(bulkhead),
                place(BULKHEAD, ErrorKind::BulkheadFull),
                bulkhead.mode,
                refusals(BULKHEAD),
            ),
            throttle: Gate::new(
                Throttle::new(&throttle, now),
                place(THROTTLE, ErrorKind::Throttled),
                throttle.mode,
                refusals(THROTTLE),
            ),
            breaker: Gate::new(
                Breaker::new(breaker, now, meters),
                place(BREAKER, ErrorKind::BreakerOpen),
                breaker.mode,
                refusals(BREAKER),
            ),
            concurrency: Gate::new(
                Concurrency::new(&concurrency, now),
                place(CONCURRENCY, ErrorKind::BulkheadFull),
                concurrency.mode,
                refusals(CONCURRENCY),
            ),
            budget: Budget::new(policy.budget, now),
            hedges: hedge::budget(&policy.hedge, policy.budget.window, now),
            latencies: Latencies::new(now),
            would_repeat: refusals(RETRY).would_have,
        }
    }

    /// Other numbers and modes from now on; what was learnt stays.
    pub(super) fn configure(&self, policy: &ClientPolicy, now: Instant) {
        self.rate_limit.engine().configure(&policy.rate_limit, now);
        self.rate_limit.set_mode(policy.rate_limit.mode);
        self.bulkhead.engine().configure(policy.bulkhead);
        self.bulkhead.set_mode(policy.bulkhead.mode);
        self.throttle.engine().configure(&policy.throttle);
        self.throttle.set_mode(policy.throttle.mode);
        self.breaker.engine().configure(policy.breaker);
        self.breaker.set_mode(policy.breaker.mode);
        self.concurrency.engine().configure(&policy.concurrency);
        self.concurrency.set_mode(policy.concurrency.mode);
        self.budget.configure(policy.budget);
        self.hedges.configure(hedge::settings(&policy.hedge, policy.budget.window));
    }

    /// The mode of the guard that errors and metrics call `layer`; `None` for a guard that does not exist.
    pub fn mode(&self, layer: &str) -> Option<Mode> {
        Some(match layer {
            RATE_LIMIT => self.rate_limit.mode(),
            BULKHEAD => self.bulkhead.mode(),
            THROTTLE => self.throttle.mode(),
            BREAKER => self.breaker.mode(),
            CONCURRENCY => self.concurrency.mode(),
            _ => return None,
        })
    }

    /// How many clients of this kind share the target: their floors are divided by it.
    pub fn set_clients(&self, known: u32) {
        self.budget.set_clients(known);
    }
}

/// One ticket for what a reply holds: a bit for each capacity.
impl Release for Guards {
    fn release(&self, ticket: u64) {
        use crate::admission::Admission as _;
        if ticket & HELD_BULKHEAD != 0 {
            self.bulkhead.engine().release();
        }
        if ticket & HELD_CONCURRENCY != 0 {
            self.concurrency.engine().release();
        }
    }
}

pub(super) const HELD_BULKHEAD: u64 = 1;
pub(super) const HELD_CONCURRENCY: u64 = 2;

pub(super) const RATE_LIMIT: &str = "rate-limit";
pub(super) const BULKHEAD: &str = "bulkhead";
pub(super) const THROTTLE: &str = "throttle";
pub(super) const BREAKER: &str = "breaker";
pub(super) const CONCURRENCY: &str = "concurrency";
pub(super) const RETRY: &str = "retry";
pub(super) const HEDGE: &str = "hedge";
