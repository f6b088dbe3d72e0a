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
//! | `pick` | `p2c` | the less loaded of two chosen at random: almost as good as looking at all, and clients do not herd |
//! | `set.empty_wait` | 1 s | longer than a look at a registry, shorter than a caller's patience |
//!
//! # Signals
//!
//! `platform_balance_picks_total` by variant and locality: who gets the traffic.
//!
//! # Traps
//!
//! Waiting for an empty set for ever: a call that cannot be made fails, and says who was expected to answer.

mod config;
mod load;
pub mod metrics;
mod p2c;
mod pick;
mod pool;
mod ready;
mod round_robin;
mod service;

pub use config::{Config, Picker, Set};
pub use p2c::P2c;
pub use pick::Pick;
pub use ready::{Member, Picked, ReadySet};
pub use round_robin::RoundRobin;
pub use service::Balance;

pub(crate) use service::Origin;
