//! What if it went wrong on purpose?
//!
//! A retry, a breaker and a fallback that were never needed are guesses. So a dependency may be made slow, wrong
//! or unreachable on purpose, for a share of calls and for a time, while somebody looks. This room decides and
//! counts; whoever asks an endpoint does what it says. It stands innermost, just above the connection and below
//! retry, breaker, deadline and balancing: further out it would only ever test the caller's fallback.
//!
//! ```
//! use std::time::Duration;
//! use platform_core::{Context, config::Ratio, fault::{Abort, Effect, Faults, Rule}};
//! use tokio::time::Instant;
//!
//! # async fn ask(faults: &Faults, rolls: [u64; 2]) -> platform_core::Result<()> {
//! let now = Instant::now();
//! let slow_then_down = Effect::delay(Duration::from_millis(300))
//!     .then_abort(Abort::Unreachable)
//!     .share(Ratio::of(0.01));
//! faults.start(Rule::new("pay-down", "payments", slow_then_down, now + Duration::from_secs(900)), now)?;
//!
//! let context = Context::root(now);
//! if let Some(injection) = faults.plan(&context, "payments", None, "zone-a", now, rolls) {
//!     let fault = injection.rule.clone();
//!     if let Some(abort) = injection.wait().await {
//!         return Err(abort.error(&fault)); // or the reply of `abort.status()`
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The rules of gRPC's A33, word for word: a delay happens before any byte is sent, and so does an abort; delay,
//! then abort; each is decided by its own draw (20 % and 5 % touch 24 %, not 20 %); `max_active` is one gauge per
//! process, and a delay counts until it ends; what came in a request and makes no sense is ignored.
//!
//! # Two ways in
//! * A [`Rule`], by code or an operator (`POST /platform/faults`), for every request or with [`Scope::Consent`]
//!   only for those that named the target themselves.
//! * What a request consented to itself: baggage `platform-fault`, believed where `server.trust.overrides` says
//!   so. It is told as fault `consent`, and asked only where no rule did anything.
//!
//! # Safety
//! * Every rule has an end, a day away at most, and is dead after it even if nobody takes it back.
//! * [`Faults::stop_all`] ends every rule at once.
//! * No more than `max_active` faults at a time; what is beyond is not injected, and counted.
//! * Health and admin routes cannot be hit: only calls of clients are asked about, by the target's name, and a
//!   probe or an operator is answered by a server.
//! * Nothing active costs one relaxed load and a branch; no lock is taken and nothing allocated.
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | share | all | whoever names a fault means it |
//! | `max_active` | 100 | as in Envoy and gRPC: enough to be felt, too few to hold every task of a busy process |
//! | scope | all | `consent` needs an edge that is trusted to name targets |
//!
//! # Signals
//! `platform_faults_injected_total`, by fault and kind; `fault` on the canonical line of the request that was
//! being served, so that whoever is called at night sees at once that it is us.
//!
//! # Traps
//! * An abort with 503 is a *bare* 503: without the mark `safe` it reads as a server's fault and not as overload,
//!   just like a peer that broke.
//! * The kill switch ends rules, not delays that have begun (10 min at most, and the attempt's deadline cuts them)
//!   and not what requests consent to: they end with the request, and `server.trust.overrides = false` refuses
//!   more of them.
//! * Several rules for one target do not add up: the first that does anything is the only one.

mod abort;
mod inject;
pub mod metrics;
mod parse;
mod rule;
mod rule_set;

pub use abort::{Abort, GrpcCode};
pub use inject::Injection;
pub use rule::{DEFAULT_MAX_ACTIVE, Effect, LONGEST, LONGEST_DELAY, Rule, Scope};
pub use rule_set::{CONSENT, Faults, MAX_RULES};
