//! What must hold whatever a stranger writes?
//!
//! One function for each place at which bytes of others come in: it takes any bytes, and panics where a promise is
//! broken. A program that looks for such bytes calls them (`engine/`, a workspace of its own, run by `.ci/long`), and
//! `cargo test` calls them with every input in `corpus/`: what was written by hand to begin with, and what was found.
//!
//! # Traps
//! A property that only says "no panic" finds little. Each of these says what is true of what was read: that it can be
//! written and read back, that an outsider chose nothing, that an error is one line.

mod config;
mod durations;
mod problem;
mod record;
mod target;
mod wire;

pub use config::config;
pub use durations::durations;
pub use problem::problem;
pub use record::record;
pub use target::target;
pub use wire::{baggage, grpc_timeout, wire};

/// A place at which bytes of others come in.
pub type Place = fn(&[u8]);

/// Every place, under the name of its folder in `corpus/` and of its program in `engine/targets/`.
pub const PLACES: [(&str, Place); 8] = [
    ("baggage", baggage),
    ("config", config),
    ("durations", durations),
    ("grpc_timeout", grpc_timeout),
    ("problem", problem),
    ("record", record),
    ("target", target),
    ("wire", wire),
];

/// Errors end up in log lines, headers and terminals.
fn assert_one_line(told: &str) {
    assert!(!told.contains(|c: char| c.is_control()), "an error breaks the line it stands in: {told:?}");
}
