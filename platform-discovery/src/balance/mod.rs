//! Which one do we ask?
//!
//! A request loads the current [`ReadySet`] and asks a [`Pick`] for an index: no lock, no allocation, no task
//! and nothing to be readied first. What a pick needs to know of an endpoint, its load, is an atomic on the
//! endpoint, written by those who call it. The pool alone writes the set: it keeps the endpoints that stay,
//! with their connections and their load, and makes those that are new.
//!
//! # Defaults
//!
//! | setting | value | because |
//! |---|---|---|
//! | `pick` | `p2c` | the cheaper of two drawn by weight: almost as good as looking at all, and clients do not herd |
//! | `set.empty_wait` | 1 s | longer than a look at a registry, shorter than a caller's patience |
//! | `load.ewma` | 10 s | a slow answer is remembered for longer than a hiccup, and is forgotten within a minute |
//! | `load.failure_penalty` | 5 s | a failure is recorded as a slow answer, or whoever fails at once is everybody's favourite |
//! | `load.slow_start` | 30 s | caches and pools warm up; a newcomer gets a tenth of its share at first, and one call at a time until it has answered |
//!
//! # Signals
//!
//! `platform_balance_picks_total` by variant and locality: who gets the traffic.
//!
//! # Traps
//!
//! Waiting for an empty set for ever: a call that cannot be made fails, and says who was expected to answer.
//!
//! Latency alone: whoever fails at once looks fast. And an average of answers alone: whoever is silent has none, so what
//! was waited for in vain counts too.

mod average;
mod config;
mod draw;
mod eject;
mod least_request;
mod link;
mod load;
mod member;
pub mod metrics;
mod p2c;
mod pick;
mod picked;
mod pool;
mod ready;
mod round_robin;
mod service;

pub use config::{Config, EjectConfig, LoadConfig, Picker, Set};
pub use eject::Why;
pub use least_request::LeastRequest;
pub use link::Link;
pub use member::Member;
pub use p2c::P2c;
pub use pick::Pick;
pub use picked::Picked;
pub use ready::ReadySet;
pub use round_robin::RoundRobin;
pub use service::Balance;

pub(crate) use service::Origin;
