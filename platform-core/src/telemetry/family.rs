//! How is one metric split by its labels?

use std::{
    any::Any,
    fmt::{self, Write as _},
    sync::atomic::AtomicU64,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue as _, LabelSetEncoder},
    metrics::{counter, family::Family, gauge},
};

use super::{catalogue::Labels, histogram::HistogramFamily};

/// The counters of one metric, by label set.
#[derive(Clone, Debug)]
pub struct CounterFamily<L: Labels>(pub(super) Family<Set<L>, counter::Counter>);

/// A count that only grows. Clones count into the same place; the default is in no registry.
#[derive(Clone, Debug, Default)]
pub struct Counter(counter::Counter);

/// The gauges of one metric, by label set.
#[derive(Clone, Debug)]
pub struct GaugeFamily<L: Labels>(pub(super) Family<Set<L>, PromGauge>);

/// A value that goes up and down. Clones are the same value; the default is in no registry.
#[derive(Clone, Debug, Default)]
pub struct Gauge(PromGauge);

pub(super) type PromGauge = gauge::Gauge<f64, AtomicU64>;

impl<L: Labels> CounterFamily<L> {
    /// The counter of these labels: a lock and a hash, so once per series and not per request.
    pub fn with(&self, labels: &L) -> Counter {
        Counter(self.0.get_or_create_owned(&Set(labels.clone())))
    }

    /// Forgets a series: what it counted is gone for good.
    pub fn forget(&self, labels: &L) {
        self.0.remove(&Set(labels.clone()));
    }
}

impl<L: Labels> GaugeFamily<L> {
    /// The gauge of these labels: a lock and a hash, so once per series and not per request.
    pub fn with(&self, labels: &L) -> Gauge {
        Gauge(self.0.get_or_create_owned(&Set(labels.clone())))
    }

    /// The gauge of these labels, if somebody has asked for it.
    pub fn find(&self, labels: &L) -> Option<Gauge> {
        self.0.get(&Set(labels.clone())).map(|gauge| Gauge(gauge.clone()))
    }

    /// Forgets a series: what it measured is gone for good.
    pub fn forget(&self, labels: &L) {
        self.0.remove(&Set(labels.clone()));
    }
}

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// So many more.
    pub fn inc_by(&self, more: u64) {
        self.0.inc_by(more);
    }

    /// The count.
    pub fn value(&self) -> u64 {
        self.0.get()
    }
}

impl Gauge {
    /// From now on `value`.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// One more.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// One less.
    pub fn dec(&self) {
        self.0.dec();
    }

    /// The value.
    pub fn value(&self) -> f64 {
        self.0.get()
    }
}

/// A family without labels has its one series from the start: a counter that was never 0 hides its first
/// increase from every rate.
pub(super) trait Seed {
    fn seed(&self);
}

impl<L: Labels> Seed for CounterFamily<L> {
    fn seed(&self) {
        if let Some(labels) = only::<L>() {
            self.with(labels);
        }
    }
}

impl<L: Labels> Seed for GaugeFamily<L> {
    fn seed(&self) {
        if let Some(labels) = only::<L>() {
            self.with(labels);
        }
    }
}

impl<L: Labels> Seed for HistogramFamily<L> {
    fn seed(&self) {
        if let Some(labels) = only::<L>() {
            self.with(labels);
        }
    }
}

fn only<L: Labels>() -> Option<&'static L> {
    (&() as &dyn Any).downcast_ref()
}

/// Our label sets as prometheus-client wants them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Set<L>(L);

impl<L: Labels> EncodeLabelSet for Set<L> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let mut result = Ok(());
        each_label(&self.0, |name, text| {
            if result.is_ok() {
                result = encode_label(encoder, name, text);
            }
        });
        result
    }
}

fn encode_label(encoder: &mut LabelSetEncoder<'_>, name: &str, text: &str) -> fmt::Result {
    let mut label = encoder.encode_label();
    let mut key = label.encode_label_key()?;
    key.write_str(name)?;
    let mut value = key.encode_label_value()?;
    text.encode(&mut value)?;
    value.finish()
}

fn each_label<L: Labels>(labels: &L, mut show: impl FnMut(&str, &str)) {
    let mut names = L::NAMES.iter();
    labels.each_value(&mut |text| {
        if let Some(name) = names.next() {
            show(name, text);
        }
    });
    debug_assert!(names.next().is_none(), "{labels:?} shows fewer values than it names: {:?}", L::NAMES);
}

/// Appends labels behind those that are there.
pub(super) fn write_labels<L: Labels>(labels: &L, out: &mut String) {
    each_label(labels, |name, text| write_label(name, text, out));
}

pub(super) fn write_label(name: &str, text: &str, out: &mut String) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}
