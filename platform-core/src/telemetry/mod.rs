//! To come.

pub mod trace;
