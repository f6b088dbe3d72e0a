//! Which metrics are there, and what are they for?
//!
//! Each is declared once, as a constant in the room that writes it. The code counts through the constant, and
//! dashboards and alerts are made from it, so that neither can name a metric that does not exist.

mod labels;
mod spec;

pub use labels::{CONSTANT_LABELS, Labels, NEVER_LABELS, check};
pub use spec::{CounterSpec, DURATION_BOUNDS, Declared, GaugeSpec, HistogramSpec, Kind, Spec};
