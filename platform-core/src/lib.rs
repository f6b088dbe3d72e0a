//! Everything of the platform that knows no transport.
//!
//! ```text
//! words         error · outcome · classify · context · call        what every room says
//! surroundings  config · identity · telemetry             what is set, whose it is, what is seen
//! mechanisms    deadline · observe · admission · recovery · fault · fallback     one question each
//! assembly      stack                                              in what order
//! on call       ops                                                what the person who is woken gets
//! process       lifecycle · app                                    when it lives, what it is
//! ```
//!
//! A room imports only from rooms above it in this list.

pub mod call;
pub mod classify;
pub mod context;
pub mod error;
pub mod outcome;
pub mod tick;

pub mod config;
pub mod identity;
pub mod telemetry;

pub mod admission;
pub mod deadline;
pub mod fallback;
pub mod fault;
pub mod observe;
pub mod recovery;

pub mod stack;

pub mod ops;

pub mod app;
pub mod lifecycle;

pub mod manual;
#[cfg(feature = "testing")]
pub mod testing;

mod catalogue;

pub use app::App;
pub use catalogue::catalogue;
pub use classify::Classify;
pub use context::Context;
pub use error::{Error, ErrorKind, Result};
pub use outcome::{Hint, Mark, Outcome, Verdict};
pub use tick::Tick;
