//! Seven ways out, from gentle to complete. The example `one_layer` has all of them, and asks the same question in each.
//!
//! 1. **A value**: `[clients.inventory.policy] timeout = "800ms"` in the file, or the environment, or a flag.
//! 2. **The policy in code**: `Client::builder(&app, "inventory").policy(|policy| policy.recovery = Recovery::None)`.
//! 3. **Your own layer**: `Client::builder(&app, "payments").around_attempt(signer)`: three slots, for calls, tries and
//!    endpoints. A client is a tower service too; a layer around it sees whole calls and is not counted as part of them.
//! 4. **Your own wire**: [`Wire`](crate::stack::Wire) has two methods, and [`Around`](crate::stack::Around) is the
//!    stack around any async function.
//! 5. **One guard as a tower layer** in a stack of yours:
//!
//! ```
//! use platform_core::{
//!     ErrorKind,
//!     admission::{AdmissionLayer, Gate, Place, breaker::{self, Breaker}, metrics::Refusals},
//!     config::Mode,
//! };
//! use tokio::time::Instant;
//!
//! let breaker = Breaker::new(breaker::Config::default(), Instant::now(), breaker::Meters::default());
//! let place = Place { layer: "breaker", kind: ErrorKind::BreakerOpen };
//! let layer = AdmissionLayer::new(Gate::new(breaker, place, Mode::Enforce, Refusals::default()));
//! # let _ = layer;
//! ```
//!
//! 6. **One guard without tower**: ask, run, report.
//!
//! ```
//! use platform_core::{
//!     Context, ErrorKind, Outcome, Verdict,
//!     admission::{Gate, Place, bulkhead::{self, Bulkhead}, metrics::Refusals},
//!     config::Mode,
//! };
//! use tokio::time::Instant;
//!
//! # fn main() -> platform_core::Result<()> {
//! let place = Place { layer: "bulkhead", kind: ErrorKind::BulkheadFull };
//! let gate = Gate::new(Bulkhead::new(bulkhead::Config::default()), place, Mode::Enforce, Refusals::default());
//!
//! let permit = gate.ask(&Context::root(Instant::now()))?;
//! // … the work …
//! let kept = permit.report(&Verdict::new(Outcome::Success, Instant::now()));
//! drop(kept); // the reply has been read: the slot is free
//! # Ok(())
//! # }
//! ```
//!
//! 7. **Nothing**: [`Context`](crate::Context), the catalogue and the lifecycle work on their own.
