//! How does it all fit together? Documentation only.
//!
//! * [`ordering`]: what a call passes, in which order, and why;
//! * [`defaults`]: every default of the client policy, with its reason;
//! * [`take_one_layer`]: seven ways out, from a value in a file to nothing at all;
//! * [`failure_modes`]: what happens when something vanishes, and what it looks like.

pub mod defaults;
pub mod failure_modes;
pub mod ordering;
pub mod take_one_layer;
