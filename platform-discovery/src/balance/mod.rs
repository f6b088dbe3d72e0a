//! Which one do we ask?
//!
//! A request loads the current [`ReadySet`] and asks a [`Pick`] for an index: no lock, no allocation, no task
//! and nothing to be readied first. What a pick needs to know of an endpoint, its load, is an atomic on the
//! endpoint, written by those who call it. The pool alone writes the set: it keeps the endpoints that stay,
//! with their connections and their load, and makes those that are new.
//!
//! Who of all endpoints is considered for a call, by variant, zone and subset, is decided once per change; a picker sees
//! the one part that the call belongs to, and knows nothing of the others.
//!
//! # Defaults
//!
//! | setting | value | because |
//! |---|---|---|
//! | `pick` | `p2c` | the cheaper of two drawn by weight: almost as good as looking at all, and clients do not herd |
//! | `set.empty_wait` | 1 s | longer than a look at a registry, shorter than a caller's patience |
//! | `set.subset` | 12 | of very many, a client knows a few in each zone and variant, and all clients together know everybody evenly |
//! | `variants`, `versions` | none | `stable` gets everything that asks for nothing else |
//! | `key` | `tenant` | whom `ring_hash` keeps together |
//! | `load.ewma` | 10 s | a slow answer is remembered for longer than a hiccup, and is forgotten within a minute |
//! | `load.failure_penalty` | 5 s | a failure is recorded as a slow answer, or whoever fails at once is everybody's favourite |
//! | `load.slow_start` | 30 s | caches and pools warm up; a newcomer gets a tenth of its share at first, and one call at a time until it has answered |
//! | `eject` | 5 in a row, 30 s, 300 s, half | who fails is left out for a while; one always may be, and never the last that is well |
//! | `health` | off | most services say by the registry when they drain; what is asked of all instances all the time has to be wanted |
//! | `set.panic` | 0.5 | when fewer are well, all are asked: what is left could not carry the load |
//!
//! # What is known of an endpoint
//!
//! One cache line of atomics: calls in flight, a peak-sensitive average of latencies, failures and successes, and what it
//! says itself of its load (`endpoint-load-metrics`). Each attempt is [reported](Picked::report) once by who made it. A
//! choice that is dropped without a report was cut off: after its deadline that is a timeout and a failure, before it
//! nobody's fault, but an answer would have taken at least so long.
//!
//! # Who is left out
//!
//! Whoever fails five times in a row, or within half a minute, counted exactly, more than the others do; the rules and numbers
//! are those of [`eject`], and what they do for few endpoints and few calls is a table, [`few`]. It is out for `base` times the number of times, at most `max`, of which the
//! dice leave half or more. Then one call tries it, and it warms up like a new one. Local errors and callers that left
//! count for nothing. Who should go and cannot, because too many are out, stays and is called sick.
//!
//! Where `health` is on and the protocol has a word for it (gRPC's health service), whoever says itself that it is not
//! serving is left out too, as long as it says so and however many they are; only where all say so are all asked.
//!
//! # Signals
//!
//! `platform_balance_picks_total` by variant and locality: who gets the traffic. `platform_balance_ejections_total` by
//! reason and mode; `platform_discovery_endpoints{state="ejected"}`; a warning with the reason, and one when all are asked
//! because too many are sick. `/platform/targets` tells of each endpoint its calls in flight, its latency, its failures,
//! whether it warms up, and why it is left out and until when.
//!
//! # Traps
//!
//! Waiting for an empty set for ever: a call that cannot be made fails, and says who was expected to answer.
//!
//! A subset of one's own with `ring_hash`: a key would have a place for each client. So it looks at the whole set, and at
//! no zone.
//!
//! Latency alone: whoever fails at once looks fast. And an average of answers alone: whoever is silent has none, so what
//! was waited for in vain counts too.

mod average;
mod board;
mod config;
mod draw;
pub mod eject;
pub mod few;
mod groups;
mod hash;
mod layout;
mod least_request;
mod link;
mod load;
mod locality;
mod member;
pub mod metrics;
mod p2c;
mod pick;
mod picked;
mod pool;
mod ready;
mod ring;
mod ring_hash;
mod round_robin;
mod service;
mod subset;
mod variants;

pub use config::{Config, EjectConfig, HealthConfig, Key, LoadConfig, Picker, Set};
pub use groups::Route;
pub use least_request::LeastRequest;
pub use link::{Health, Link};
pub use member::Member;
pub use p2c::P2c;
pub use pick::Pick;
pub use picked::{Late, Picked};
pub use ready::ReadySet;
pub use ring_hash::BOUND;
pub use round_robin::RoundRobin;
pub use service::Balance;
pub use variants::Shares;

pub(crate) use service::Origin;
pub(crate) use subset::Seat;
