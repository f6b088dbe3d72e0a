//! What is counted, and how is it read?
//!
//! A thin front over prometheus-client. Declare a spec, hand it over once, keep the handles:
//!
//! ```
//! use platform_core::{identity::Identity, telemetry::{Metrics, catalogue::CounterSpec}};
//!
//! static CHANGES: CounterSpec<()> = CounterSpec::new("orders_changes", "Orders changed");
//!
//! let metrics = Metrics::new(&Identity::default());
//! let changes = metrics.counter(&CHANGES).with(&());
//! changes.inc();
//! assert!(metrics.encode().contains("orders_changes_total{"));
//! ```
//!
//! Metrics leave by scrape only. Looking a series up takes a lock and a hash, so it is done once; counting is
//! one or two atomic additions.

use std::{
    any::Any,
    collections::HashMap,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue as _, LabelSetEncoder, text},
    metrics::{counter, family::Family, gauge, info::Info},
    registry::{Metric, Registry, Unit},
};

use super::{
    catalogue::{self, CounterSpec, Declared, GaugeSpec, HistogramSpec, Labels, Spec},
    histogram::{Bounds, Exposed, HistogramFamily},
    plain, process,
};
use crate::identity::Identity;

/// A process's metrics. Clones are the same registry.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    /// The constant labels as text, for what prometheus-client does not write for us.
    constants: Arc<str>,
    registry: RwLock<Registry>,
    histograms: RwLock<Vec<Box<dyn Exposed>>>,
    known: Mutex<HashMap<&'static str, Known>>,
    refresh: RwLock<Vec<Refresh>>,
}

/// A registered family, and the address of the static that declared it.
struct Known {
    spec: usize,
    family: Box<dyn Any + Send + Sync>,
}

type Refresh = Arc<dyn Fn() + Send + Sync>;

impl Metrics {
    /// An empty registry whose every series will carry the identity, with `platform_service_info` and the
    /// standard `process_*` metrics.
    pub fn new(identity: &Identity) -> Metrics {
        let values = [&identity.name, &identity.version, &identity.variant, &identity.zone];
        let pairs = || catalogue::CONSTANT_LABELS.into_iter().zip(values);
        let mut constants = String::new();
        pairs().for_each(|(name, value)| write_label(name, value, &mut constants));
        let labels = pairs().map(|(name, value)| (name.into(), value.clone().into()));
        let mut registry = Registry::with_labels(labels);
        registry.register(SERVICE_INFO.name, SERVICE_INFO.help, Info::new(about(identity)));
        registry.register_collector(Box::new(process::Process::of_this_process()));
        Metrics(Arc::new(Inner {
            constants: Arc::from(constants),
            registry: RwLock::new(registry),
            histograms: RwLock::default(),
            known: Mutex::default(),
            refresh: RwLock::default(),
        }))
    }

    /// The counters of `spec`. The same spec gives the same family again.
    ///
    /// # Panics
    /// When the name is taken by another spec or breaks a rule of the catalogue: that is a bug, and it is
    /// better found when the service starts than on the night a panel is empty.
    #[track_caller]
    pub fn counter<L: Labels>(&self, spec: &'static CounterSpec<L>) -> CounterFamily<L> {
        self.family(spec, |inner, declared| {
            let family = CounterFamily(Family::default());
            inner.register(declared, family.0.clone());
            family
        })
    }

    /// The gauges of `spec`; see [`counter`](Metrics::counter).
    ///
    /// # Panics
    /// As for a counter.
    #[track_caller]
    pub fn gauge<L: Labels>(&self, spec: &'static GaugeSpec<L>) -> GaugeFamily<L> {
        self.family(spec, |inner, declared| {
            let family = GaugeFamily(Family::default());
            inner.register(declared, family.0.clone());
            family
        })
    }

    /// The histograms of `spec`; see [`counter`](Metrics::counter).
    ///
    /// # Panics
    /// As for a counter.
    #[track_caller]
    pub fn histogram<L: Labels>(&self, spec: &'static HistogramSpec<L>) -> HistogramFamily<L> {
        self.histogram_with_bounds(spec, &[])
    }

    /// The histograms of `spec` with further bounds of this process, such as its objective's. Who asks first
    /// decides the bounds.
    ///
    /// # Panics
    /// As for a counter.
    #[track_caller]
    pub fn histogram_with_bounds<L: Labels>(
        &self,
        spec: &'static HistogramSpec<L>,
        also: &[Duration],
    ) -> HistogramFamily<L> {
        self.family(spec, |inner, declared| {
            let bounds = Bounds::new(declared.bounds, also);
            let constants = Arc::clone(&inner.constants);
            let family = HistogramFamily::new(declared.name, declared.help, constants, bounds);
            let exposed = Box::new(family.clone());
            inner.histograms.write().unwrap_or_else(PoisonError::into_inner).push(exposed);
            family
        })
    }

    /// Runs `refresh` before every scrape: for gauges that are cheaper to read than to keep.
    pub fn on_scrape(&self, refresh: impl Fn() + Send + Sync + 'static) {
        self.0.refresh.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(refresh));
    }

    /// Everything as OpenMetrics text ([`OPENMETRICS`]), with exemplars.
    pub fn encode(&self) -> String {
        // Cloned out of the lock, so that a closure may register another.
        let refresh = self.0.refresh.read().unwrap_or_else(PoisonError::into_inner).clone();
        refresh.iter().for_each(|refresh| refresh());
        let mut out = String::with_capacity(USUAL_LENGTH);
        let registry = self.0.registry.read().unwrap_or_else(PoisonError::into_inner);
        text::encode_registry(&mut out, &registry).expect("writing to a String cannot fail");
        drop(registry);
        let histograms = self.0.histograms.read().unwrap_or_else(PoisonError::into_inner);
        histograms.iter().for_each(|family| family.expose(&mut out));
        text::encode_eof(&mut out).expect("writing to a String cannot fail");
        out
    }

    /// Everything as the older Prometheus text ([`PLAIN`]), which has no exemplars: for readers that do not
    /// ask for OpenMetrics.
    pub fn encode_plain(&self) -> String {
        plain::from_openmetrics(&self.encode())
    }

    fn family<F: Seed + Clone + Send + Sync + 'static>(
        &self,
        spec: &'static impl Spec,
        make: impl FnOnce(&Inner, &Declared) -> F,
    ) -> F {
        let declared = spec.declared();
        let address = std::ptr::from_ref(spec).addr();
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Known { spec, family }) = known.get(declared.name) {
            let family = family.downcast_ref::<F>().filter(|_| *spec == address).cloned();
            drop(known);
            return family.unwrap_or_else(|| {
                panic!("metric `{}` is declared twice: use one `static` spec for it", declared.name)
            });
        }
        if let Err(error) = catalogue::check(&declared) {
            drop(known);
            panic!("{error}");
        }
        let family = make(&self.0, &declared);
        family.seed();
        known.insert(declared.name, Known { spec: address, family: Box::new(family.clone()) });
        family
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("constants", &self.0.constants).finish_non_exhaustive()
    }
}

impl Inner {
    fn register(&self, declared: &Declared, metric: impl Metric) {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        // prometheus-client appends the unit to the name by itself.
        match declared.unit() {
            Some(unit) => {
                let stem = &declared.name[..declared.name.len() - unit.len() - 1];
                registry.register_with_unit(stem, declared.help, Unit::Other(unit.to_owned()), metric);
            }
            None => registry.register(declared.name, declared.help, metric),
        }
    }
}

/// The counters of one metric, by label set.
#[derive(Clone, Debug)]
pub struct CounterFamily<L: Labels>(Family<Set<L>, counter::Counter>);

/// A count that only grows. Clones count into the same place.
#[derive(Clone, Debug)]
pub struct Counter(counter::Counter);

/// The gauges of one metric, by label set.
#[derive(Clone, Debug)]
pub struct GaugeFamily<L: Labels>(Family<Set<L>, PromGauge>);

/// A value that goes up and down. Clones are the same value.
#[derive(Clone, Debug)]
pub struct Gauge(PromGauge);

type PromGauge = gauge::Gauge<f64, AtomicU64>;

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
trait Seed {
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
struct Set<L>(L);

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

fn write_label(name: &str, text: &str, out: &mut String) {
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

fn about(identity: &Identity) -> Vec<(&'static str, String)> {
    let values = [&identity.owner, &identity.reports_to, &identity.runbook, &identity.why];
    SERVICE_INFO.labels.iter().copied().zip(values.map(Clone::clone)).collect()
}

/// Whose process this is, and why it runs.
pub(super) const SERVICE_INFO: Declared = Declared {
    name: "platform_service",
    help: "Whose service this is, whom to ask, and why it runs",
    kind: catalogue::Kind::Info,
    labels: &["owner", "reports_to", "runbook", "why"],
    bounds: &[],
};

/// The content type of [`Metrics::encode`].
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The content type of [`Metrics::encode_plain`].
pub const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
/// What a small service's text comes to, so that it is not moved while it grows.
const USUAL_LENGTH: usize = 32 * 1024;
