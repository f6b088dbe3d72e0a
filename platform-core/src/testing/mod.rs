//! How is a promise tested? (feature `testing`)
//!
//! A scripted [`Target`] with as many endpoints as a test wants, and a [`Bench`]: the production stack over it, its
//! metrics and its counts. Time is paused tokio time; nothing sleeps for real. [`conformance`] holds any tower
//! layer, ours or another's, to what a stack relies on; [`Workers`] are a target under which limits of concurrency are
//! played in virtual time.
//!
//! ```
//! use platform_core::{ErrorKind, testing::{Bench, Does, Target}};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let silent = Target::new("catalog", 3, |_| Does::Nothing);
//! let bench = Bench::new(silent, |policy| policy.breaker.consecutive = 3);
//! let error = bench.call().await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Timeout);
//! assert_eq!(bench.attempts(), 3, "the first, and two repeats");
//! # }
//! ```

pub mod conformance;
mod script;
mod workers;

pub use script::{Ask, Attempt, Bench, Does, Target, Told};
pub use workers::{Second, Workers};
