//! What if it failed?
//!
//! Then it is tried again, if that can help and cannot hurt. A client has one way of doing so, [`Recovery`]: *retry*
//! (wait, then again) or *hedge* (when the first is slow, a second beside it), never both, because two ways that
//! do not know of each other multiply: three attempts of two copies each are six calls where one was meant. All
//! extra work, repeat or hedge, is paid from one ledger, the [`Budget`], because the target feels the sum: every call whose
//! first attempt was answered puts a share of a repeat in, every repeat takes a whole one out. A target that fails a
//! part of its calls is asked 1.1 times as often and not three times; one that fails entirely earns no repeats, and
//! after the window only the floor is left.
//!
//! Engines only: they read no clock, roll no dice and spawn nothing. Who repeats asks in this order:
//!
//! 1. [`decide`]: what failed, and could a repeat help and not hurt? Nothing is spent by asking.
//! 2. [`Budget::withdraw`]: is there anything left to pay with? Last, so that nothing is taken for a repeat that
//!    would not go.
//! 3. Wait what the decision says, and go.
//!
//! In the way *hedge*, [`hedge::delay`] says when the second copy goes and [`hedge::withdraw`] pays for it; after a failure
//! that [`decide`] would repeat, the next goes at once unless the target named a delay.
//!
//! # Defaults
//! | Key | Value | Reason |
//! |---|---|---|
//! | `recovery` | `retry` | a hedge needs a latency to learn from, and idempotent calls |
//! | `retry.max_attempts` | 3 | a second repeat rescues what two sick instances of many spoil; a third hardly anything |
//! | `retry.backoff` | 50ms | longer than a restart of a connection, shorter than patience |
//! | `retry.backoff_throttled` | 1s | who says "too much" needs a pause and not a second knock |
//! | `retry.backoff_max` | 20s | beyond it, callers have left |
//! | `retry.body` | 64KiB | nearly every request of a service, and nothing that memory would notice |
//! | `budget.ratio` | 0.1 | enough for the failures of a healthy day, a bearable surplus on a bad one |
//! | `budget.window` | 10s | long enough to smooth bursts, short enough to forget yesterday's plenty |
//! | `budget.floor_per_second` | 10 | a quiet client may repeat too; shared by its known instances |
//! | `hedge.quantile` | 0.95 | one call in twenty is called slow |
//! | `hedge.extra` | 0.05 | what that costs when the learned latency is right, and the most when it is wrong |
//! | `hedge.min_delay` | 1ms | below it a timer is all noise |
//!
//! # Signals
//! [`Budget::ratio`] near 0 is a target that fails for most: repeats have stopped helping. [`Reason::as_str`] of what was not
//! repeated says which rule it was.
//!
//! # Traps
//! * Giving [`decide`] the hint of an [`Error`](crate::Error): that hint is for our own callers. The target's word is
//!   the [`Verdict`](crate::Verdict)'s.
//! * Depositing for repeats: a budget that feeds itself is none.
//! * Feeding [`Latencies`] with failures: fast ones pull the delay of a hedge down until everything is sent twice.

pub mod backoff;
mod budget;
mod config;
mod decide;
pub mod hedge;
mod latency;
mod ledger;
mod reason;
mod safety;

pub use budget::{Budget, Spent};
pub use config::{BudgetConfig, Hedge, Recovery, Retry};
pub use decide::{Decision, Facts, decide};
pub use latency::Latencies;
pub use reason::Reason;
pub use safety::Safety;
