//! What is measured, under which name?
//!
//! A spec is a constant beside the code that writes it. It is registered by handing it to
//! [`Metrics`](crate::telemetry::Metrics), and read again by everything that draws or alerts.

use std::marker::PhantomData;

use super::Labels;

/// A count that only grows. The name is given without `_total`.
#[derive(Debug)]
pub struct CounterSpec<L> {
    name: &'static str,
    help: &'static str,
    labels: PhantomData<fn() -> L>,
}

/// A value that goes up and down.
#[derive(Debug)]
pub struct GaugeSpec<L> {
    name: &'static str,
    help: &'static str,
    labels: PhantomData<fn() -> L>,
}

/// How long things take. The name ends in `_seconds`.
#[derive(Debug)]
pub struct HistogramSpec<L> {
    name: &'static str,
    help: &'static str,
    bounds: &'static [f64],
    labels: PhantomData<fn() -> L>,
}

impl<L> CounterSpec<L> {
    /// A counter; `help` is one line without its full stop.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        CounterSpec { name, help, labels: PhantomData }
    }
}

impl<L> GaugeSpec<L> {
    /// A gauge; `help` is one line without its full stop.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        GaugeSpec { name, help, labels: PhantomData }
    }
}

impl<L> HistogramSpec<L> {
    /// A histogram over [`DURATION_BOUNDS`]; `help` is one line without its full stop.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        HistogramSpec { name, help, bounds: &DURATION_BOUNDS, labels: PhantomData }
    }

    /// Other upper bounds, in seconds, rising.
    #[must_use]
    pub const fn bounds(self, bounds: &'static [f64]) -> Self {
        HistogramSpec { bounds, ..self }
    }
}

/// What every spec can tell: the room's metrics, dashboards and alerts are made from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Declared {
    /// The family's name; a counter's without `_total`.
    pub name: &'static str,
    /// What it counts or measures.
    pub help: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// The names of its own labels.
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram in seconds, else empty.
    pub bounds: &'static [f64],
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
    /// Always 1; its labels are the message.
    Info,
}

impl Kind {
    /// The word of OpenMetrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

/// A spec, whatever its kind.
pub trait Spec {
    /// The facts of this spec.
    fn declared(&self) -> Declared;
}

impl Declared {
    /// The name in a query for the plain series: a counter's with `_total`, an info's with `_info`.
    pub fn series(&self) -> String {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{suffix}", self.name)
    }

    /// The unit that the name ends in, if it is one that OpenMetrics or this platform knows.
    pub fn unit(&self) -> Option<&'static str> {
        let (_, last) = self.name.rsplit_once('_')?;
        UNITS.contains(&last).then_some(last)
    }
}

impl Spec for Declared {
    fn declared(&self) -> Declared {
        *self
    }
}

impl<L: Labels> Spec for CounterSpec<L> {
    fn declared(&self) -> Declared {
        let (name, help) = (self.name, self.help);
        Declared { name, help, kind: Kind::Counter, labels: L::NAMES, bounds: &[] }
    }
}

impl<L: Labels> Spec for GaugeSpec<L> {
    fn declared(&self) -> Declared {
        let (name, help) = (self.name, self.help);
        Declared { name, help, kind: Kind::Gauge, labels: L::NAMES, bounds: &[] }
    }
}

impl<L: Labels> Spec for HistogramSpec<L> {
    fn declared(&self) -> Declared {
        let (name, help, bounds) = (self.name, self.help, self.bounds);
        Declared { name, help, kind: Kind::Histogram, labels: L::NAMES, bounds }
    }
}

/// The contract's bounds for durations, in seconds: OpenTelemetry's advice for HTTP, so that services of
/// other houses can be drawn in one panel.
pub const DURATION_BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Units that a name may end in. Everything else is a count of things.
const UNITS: [&str; 3] = ["bytes", "ratio", "seconds"];
