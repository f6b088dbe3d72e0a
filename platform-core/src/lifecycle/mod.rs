//! When does a process live?

mod drain;

pub use drain::{Drain, Trigger};
