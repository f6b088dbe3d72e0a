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
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use prometheus_client::{
    encoding::text,
    metrics::{family::Family, info::Info},
    registry::{Metric, Registry, Unit},
};

use super::{
    catalogue::{self, CounterSpec, Declared, GaugeSpec, HistogramSpec, Labels, Spec},
    family::{CounterFamily, GaugeFamily, Seed, write_label},
    histogram::{Bounds, Exposed, Histogram, HistogramFamily, LabelPair},
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

    /// Shows each series of the histogram of this name with its own labels, whichever crate declared it; nothing where
    /// nobody did. For who shows what was measured in another way than by a scrape.
    pub fn each_histogram(&self, name: &str, show: &mut dyn FnMut(&[LabelPair], &Histogram)) {
        let histograms = self.0.histograms.read().unwrap_or_else(PoisonError::into_inner);
        histograms.iter().filter(|family| family.name() == name).for_each(|family| family.each(show));
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
