//! In what order?
//!
//! A *policy* is plain data, *parts* are the live pieces of one target, and the *stack* is one page that asks
//! them in a fixed, reasoned order: [`ClientStack`], from the caller to the wire. `describe()` returns the
//! same order as data, so the page an operator reads at night cannot be out of date.
//!
//! # The nine rules of position
//! Lines of `client.rs` cite them, and each has a promise: R6 in `tests/fault.rs` and over HTTP, R8 in `tests/one_layer.rs`, the others in
//! `tests/order.rs`.
//!
//! | rule | |
//! |---|---|
//! | R1 | *Count everything*: observers stand above refusers. |
//! | R2 | *Cheap refusals first*: what needs no state before what does. |
//! | R3 | *Our own refusals are no evidence* about the other side. |
//! | R4 | *Judges stand above what they judge.* |
//! | R5 | *One clock per call*: the total deadline above everything that can wait, the attempt's below every recovery. |
//! | R6 | *Faults go below all that must survive them.* |
//! | R7 | *Headers are written last*, so that the remaining time is true. |
//! | R8 | *No decision while polling for readiness.* |
//! | R9 | *Dead work takes no slot*: an expired request is refused before it is admitted. |
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `policy.timeout` | 10 s | [`TIMEOUT`] |
//! | `policy.attempt_timeout` | 3 s | [`ATTEMPT_TIMEOUT`] |
//! | `server.policy.timeout` | 30 s | [`SERVER_TIMEOUT`] |

mod around;
mod asked;
mod attempt;
mod client;
mod describe;
mod duty;
mod ended;
mod guards;
mod knobs;
mod overlay;
mod parts;
mod policy;
mod recover;
mod seats;
mod server;
mod targets;
mod wire;

pub use around::Around;
pub use asked::Asked;
pub use client::ClientStack;
pub use describe::{Row, Storey};
pub use guards::Guards;
pub use overlay::{GUARDS, Overlay};
pub(crate) use parts::signals;
pub use parts::{BUDGET, Parts, TargetLabels};
pub use policy::{
    ATTEMPT_TIMEOUT, ClassPolicy, ClientPolicy, Expired, MethodHedge, MethodPolicy, SERVER_TIMEOUT,
    ServerPolicy, TIMEOUT,
};
pub use server::{Before, DEFAULT, Entry, Guarding, Lender, ServerGuards, Servers, Slot};
pub(crate) use server::{declared, signals as server_signals};
pub use targets::Targets;
pub use wire::{Answered, Sending, Wire};
