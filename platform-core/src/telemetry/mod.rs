//! What is seen?
//!
//! Metrics, logs and traces of one process, each with its identity, none able to stop the work.

pub mod catalogue;
mod histogram;
mod metrics;
mod plain;
mod process;
pub mod trace;

pub use histogram::{Histogram, HistogramFamily};
pub use metrics::{Counter, CounterFamily, Gauge, GaugeFamily, Metrics, OPENMETRICS, PLAIN};
