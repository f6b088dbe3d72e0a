//! Who reads and writes the headers?
//!
//! The names stand in one table, `platform_core::context::wire`; here is when they are written, and to whom.

mod inject;
mod load_report;

pub(crate) use inject::{Reader, inject};
pub(crate) use load_report::LoadReport;
