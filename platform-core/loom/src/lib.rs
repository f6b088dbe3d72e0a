//! Every interleaving of the atomics that decide, a module per file under test.
//!
//! The files are those of platform-core. Each has a `mod sync` that takes loom's atomics under `cfg(loom)`, and
//! imports nothing of its crate.

#![cfg(all(loom, test))]

mod breaker;
mod budget;
mod together;
