//! How long may it take?
//!
//! A call ends at the earlier of two instants: the one its caller brought along ([`Context::deadline`]) and
//! the one its policy allows. Each attempt ends no later than that, and no later than its own share, so that
//! one silent instance does not cost the whole call. [`Limit`] says which of them was the nearest; an error
//! that says only "timed out" sends people looking in the wrong place.
//!
//! There is one timer per call, and mostly none: [`within`] arms it after the work has once been pending.
//!
//! ```
//! # use std::time::Duration;
//! # use platform_core::deadline::{Limit, within};
//! # use tokio::time::Instant;
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let limit = Limit::of_call(None, Some(Duration::from_millis(250)), Instant::now());
//! let ended = within(limit, std::future::pending::<()>()).await.unwrap_err();
//! assert_eq!(ended.exceeded().detail(), "no answer within 250ms, the whole call's limit (policy.timeout)");
//! # }
//! ```
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `clients.NAME.policy.timeout` | 10 s | [`TIMEOUT`](crate::stack::TIMEOUT) |
//! | `clients.NAME.policy.attempt_timeout` | 3 s | [`ATTEMPT_TIMEOUT`](crate::stack::ATTEMPT_TIMEOUT); shortened with a shorter `timeout` |
//! | `server.policy.timeout` | 30 s | [`SERVER_TIMEOUT`](crate::stack::SERVER_TIMEOUT); for callers that name none |
//!
//! # Signals
//! Calls and attempts of outcome `timeout` (`platform_client_call_duration_seconds`, `platform_client_attempts_total`); what a
//! server refuses because it came too late (`platform_server_refusals_total{guard="expired"}`) and what it worked on in vain
//! (`platform_server_wasted_requests_total`). The error names the limit, its setting and who was silent.
//!
//! # Traps
//! A limit cancels: the work is dropped where it stands. Work that must finish although nobody waits goes to
//! [`spawn_detached`](crate::context::spawn_detached). The limit of a call ends with the head of its reply;
//! who reads the rest arms it anew.

mod remaining;
mod within;

pub(crate) use remaining::NEVER;
pub use remaining::{Limit, Whose};
pub(crate) use within::answered_within;
pub use within::{Within, within};

#[cfg(doc)]
use crate::context::Context;
