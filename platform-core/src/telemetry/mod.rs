//! What is seen?
//!
//! Metrics, logs and traces of one process, each with its identity, none able to stop the work.

pub mod canonical;
pub mod catalogue;
mod histogram;
pub mod log;
mod metrics;
mod plain;
mod process;
mod start;
pub mod trace;

pub use canonical::{Line, Operation};
pub use histogram::{Histogram, HistogramFamily};
pub use log::{LogConfig, Logs};
pub use metrics::{Counter, CounterFamily, Gauge, GaugeFamily, Metrics, OPENMETRICS, PLAIN};
pub use start::Telemetry;
pub use trace::Traces;
