//! How does it all fit together? Documentation only.
//!
//! * [`ordering`]: what a call passes, in which order, and why;
//! * [`defaults`]: every default of the client policy, with its reason;
//! * [`serving`]: what a request passes before a handler is run, every default of the server's policy, and why;
//! * [`take_one_layer`]: seven ways out, from a value in a file to nothing at all;
//! * [`failure_modes`]: what happens when something vanishes, and what it looks like.

pub mod defaults;
pub mod failure_modes;
pub mod ordering;
pub mod serving;
pub mod take_one_layer;
