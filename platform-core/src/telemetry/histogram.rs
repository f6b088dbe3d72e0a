//! How long did it take, counted without a lock?
//!
//! prometheus-client's histogram takes a mutex on every observation, and its exemplars a second lock. This one
//! adds to two atomics. The count is not kept: it is the sum of the buckets, taken when scraped, so a scrape
//! never shows a count that disagrees with its buckets.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{catalogue::Labels, family::write_labels};
use crate::{context::TraceId, tick::nanos};

/// A label's name and what it is.
pub type LabelPair = (&'static str, String);

/// A histogram of one label set. Clones count into the same buckets.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: Arc<Bounds>,
    /// Observations per bucket, not cumulative; the last has no upper bound.
    counts: Box<[AtomicU64]>,
    /// Wraps after 584 years of summed durations, which a query reads as a restart.
    sum_nanos: AtomicU64,
    /// Made when the first sampled request arrives; most series never see one.
    exemplars: OnceLock<Box<[Mutex<Option<Exemplar>>]>>,
}

#[derive(Clone, Copy, Debug)]
struct Exemplar {
    trace_id: TraceId,
    nanos: u64,
    at: Duration,
}

/// Upper bounds: as nanoseconds for counting, as text for `le`.
#[derive(Debug)]
pub(super) struct Bounds {
    nanos: Box<[u64]>,
    texts: Box<[String]>,
}

impl Bounds {
    /// The declared bounds and those of this process (an SLO's), in seconds.
    pub(super) fn new(declared: &[f64], also: &[Duration]) -> Self {
        let mut all: Vec<(u64, f64)> = declared
            .iter()
            .map(|seconds| (nanos(Duration::from_secs_f64(*seconds)), *seconds))
            .chain(also.iter().map(|bound| (nanos(*bound), bound.as_secs_f64())))
            .collect();
        all.sort_unstable_by_key(|(nanos, _)| *nanos);
        all.dedup_by_key(|(nanos, _)| *nanos);
        Bounds {
            nanos: all.iter().map(|(nanos, _)| *nanos).collect(),
            // The debug form writes `1.0`, which OpenMetrics calls canonical.
            texts: all.iter().map(|(_, seconds)| format!("{seconds:?}")).chain(["+Inf".to_owned()]).collect(),
        }
    }
}

impl Histogram {
    fn new(bounds: Arc<Bounds>) -> Self {
        let counts = (0..=bounds.nanos.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(Buckets {
            bounds,
            counts,
            sum_nanos: AtomicU64::new(0),
            exemplars: OnceLock::new(),
        }))
    }

    /// Counts one duration. With the trace of a sampled request it also becomes the bucket's exemplar.
    pub fn observe(&self, duration: Duration, trace: Option<TraceId>) {
        self.observe_nanos(nanos(duration), trace);
    }

    /// The same in nanoseconds.
    #[inline]
    pub(crate) fn observe_nanos(&self, nanos: u64, trace: Option<TraceId>) {
        // Most calls end in one of the first buckets.
        let bounds = &self.0.bounds.nanos;
        let index = bounds.iter().position(|bound| nanos <= *bound).unwrap_or(bounds.len());
        self.0.counts[index].fetch_add(1, Relaxed);
        self.0.sum_nanos.fetch_add(nanos, Relaxed);
        if let Some(trace_id) = trace {
            self.keep_exemplar(index, trace_id, nanos);
        }
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// How many durations were counted up to each of [`bounds`](Self::bounds) and above the one before; the last is what
    /// was longer than all of them.
    pub fn counts(&self) -> Vec<u64> {
        self.0.counts.iter().map(|count| count.load(Relaxed)).collect()
    }

    /// The upper bounds, ascending.
    pub fn bounds(&self) -> impl Iterator<Item = Duration> {
        self.0.bounds.nanos.iter().map(|nanos| Duration::from_nanos(*nanos))
    }

    /// Their sum.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.0.sum_nanos.load(Relaxed))
    }

    #[cold]
    fn keep_exemplar(&self, index: usize, trace_id: TraceId, nanos: u64) {
        let slots = self.0.exemplars.get_or_init(|| self.0.counts.iter().map(|_| Mutex::new(None)).collect());
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Any exemplar will do: whoever finds the slot taken leaves it to the other.
        if let Ok(mut slot) = slots[index].try_lock() {
            *slot = Some(Exemplar { trace_id, nanos, at });
        }
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar> {
        *self.0.exemplars.get()?[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, name: &str, labels: &str, out: &mut String) {
        let sum = self.sum();
        // The sum is read first: an observation in between makes a mean too small, never a negative rate.
        let _ = writeln!(out, "{name}_sum{{{labels}}} {}.{:09}", sum.as_secs(), sum.subsec_nanos());
        let counts = self.counts();
        let _ = writeln!(out, "{name}_count{{{labels}}} {}", counts.iter().sum::<u64>());
        let mut cumulative = 0;
        for (index, (count, le)) in counts.iter().zip(&self.0.bounds.texts).enumerate() {
            cumulative += count;
            let _ = write!(out, "{name}_bucket{{{labels}{}le=\"{le}\"}} {cumulative}", comma(labels));
            if let Some(Exemplar { trace_id, nanos, at }) = self.exemplar(index) {
                let value = Duration::from_nanos(nanos);
                let _ = write!(
                    out,
                    " # {{trace_id=\"{trace_id}\"}} {}.{:09} {}.{:03}",
                    value.as_secs(),
                    value.subsec_nanos(),
                    at.as_secs(),
                    at.subsec_millis()
                );
            }
            out.push('\n');
        }
    }
}

/// The histograms of one metric, by label set. Look a series up once and keep the handle.
#[derive(Clone, Debug)]
pub struct HistogramFamily<L>(Arc<Series<L>>);

#[derive(Debug)]
struct Series<L> {
    name: &'static str,
    help: &'static str,
    constants: Arc<str>,
    bounds: Arc<Bounds>,
    known: RwLock<HashMap<L, (String, Histogram)>>,
}

impl<L: Labels> HistogramFamily<L> {
    pub(super) fn new(name: &'static str, help: &'static str, constants: Arc<str>, bounds: Bounds) -> Self {
        let bounds = Arc::new(bounds);
        HistogramFamily(Arc::new(Series { name, help, constants, bounds, known: RwLock::default() }))
    }

    /// The histogram of these labels: a lock and a hash, so once per series and not per request.
    pub fn with(&self, labels: &L) -> Histogram {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, histogram)) = known.get(labels) {
            return histogram.clone();
        }
        drop(known);
        let mut text = String::from(&*self.0.constants);
        write_labels(labels, &mut text);
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        let made = || (text, Histogram::new(Arc::clone(&self.0.bounds)));
        known.entry(labels.clone()).or_insert_with(made).1.clone()
    }

    /// Forgets a series: what it measured is gone for good.
    pub fn forget(&self, labels: &L) {
        self.0.known.write().unwrap_or_else(PoisonError::into_inner).remove(labels);
    }
}

/// A family that prometheus-client cannot write for us: the fields of its `Exemplar` are private, so no
/// histogram but its own can have one.
pub(super) trait Exposed: Send + Sync {
    /// Appends the family as OpenMetrics text.
    fn expose(&self, out: &mut String);

    /// The name in the text.
    fn name(&self) -> &'static str;

    /// Shows each series with its labels.
    fn each(&self, show: &mut dyn FnMut(&[LabelPair], &Histogram));
}

impl<L: Labels> Exposed for HistogramFamily<L> {
    fn expose(&self, out: &mut String) {
        let Series { name, help, known, .. } = &*self.0;
        let _ = writeln!(out, "# HELP {name} {help}.\n# TYPE {name} histogram\n# UNIT {name} seconds");
        for (labels, histogram) in known.read().unwrap_or_else(PoisonError::into_inner).values() {
            histogram.write(name, labels, out);
        }
    }

    fn name(&self) -> &'static str {
        self.0.name
    }

    fn each(&self, show: &mut dyn FnMut(&[LabelPair], &Histogram)) {
        for (labels, (_, histogram)) in &*self.0.known.read().unwrap_or_else(PoisonError::into_inner) {
            let mut pairs = Vec::with_capacity(L::NAMES.len());
            labels.each_value(&mut |value| {
                if let Some(name) = L::NAMES.get(pairs.len()) {
                    pairs.push((*name, value.to_owned()));
                }
            });
            show(&pairs, histogram);
        }
    }
}

fn comma(labels: &str) -> &'static str {
    if labels.is_empty() { "" } else { "," }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        identity::Identity,
        telemetry::{Metrics, catalogue::HistogramSpec},
    };

    fn histogram(bounds: &[f64]) -> Histogram {
        Histogram::new(Arc::new(Bounds::new(bounds, &[])))
    }

    fn text(histogram: &Histogram) -> String {
        let mut out = String::new();
        histogram.write("x_seconds", "", &mut out);
        out
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let histogram = histogram(&[0.1, 1.0]);
        for millis in [100, 101, 1000, 1001] {
            histogram.observe(Duration::from_millis(millis), None);
        }
        assert_eq!(
            text(&histogram),
            "x_seconds_sum{} 2.202000000\nx_seconds_count{} 4\nx_seconds_bucket{le=\"0.1\"} 1\n\
             x_seconds_bucket{le=\"1.0\"} 3\nx_seconds_bucket{le=\"+Inf\"} 4\n"
        );
    }

    #[test]
    fn a_sampled_request_leaves_its_trace_in_its_bucket_only() {
        let histogram = histogram(&[0.1]);
        let trace = TraceId::from_bytes([0xab; 16]);
        histogram.observe(Duration::from_millis(50), None);
        assert!(!text(&histogram).contains("trace_id"));
        histogram.observe(Duration::from_millis(250), trace);
        let text = text(&histogram);
        let with: Vec<&str> = text.lines().filter(|line| line.contains("trace_id")).collect();
        assert_eq!(with.len(), 1, "{text}");
        let id = "ab".repeat(16);
        assert!(
            with[0].starts_with(&format!(
                "x_seconds_bucket{{le=\"+Inf\"}} 2 # {{trace_id=\"{id}\"}} 0.250000000 "
            ))
        );
    }

    #[test]
    fn a_histogram_is_read_by_its_name_with_its_labels() {
        static SPEC: HistogramSpec<Way> = HistogramSpec::new("x_duration_seconds", "A duration");
        let metrics = Metrics::new(&Identity::default());
        let told = || {
            let mut told = Vec::new();
            metrics.each_histogram("x_duration_seconds", &mut |labels, histogram| {
                told.push((labels.to_vec(), histogram.counts(), histogram.bounds().count()));
            });
            told
        };
        assert_eq!(told(), [], "nobody has declared it yet");
        metrics.histogram(&SPEC).with(&Way("up")).observe(Duration::from_millis(7), None);
        let [(labels, counts, bounds)] = &told()[..] else { panic!("{:?}", told()) };
        assert_eq!(labels[..], [("way", "up".to_owned())]);
        assert_eq!((counts.len(), counts.iter().sum::<u64>(), counts[1]), (bounds + 1, 1, 1));
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Way(&'static str);

    impl Labels for Way {
        const NAMES: &'static [&'static str] = &["way"];

        fn each_value(&self, show: &mut dyn FnMut(&str)) {
            show(self.0);
        }
    }

    #[test]
    fn an_objective_of_this_process_joins_the_declared_bounds_once() {
        let bounds = Bounds::new(&[0.1, 0.5], &[Duration::from_millis(300), Duration::from_millis(500)]);
        assert_eq!(&*bounds.texts, ["0.1", "0.3", "0.5", "+Inf"]);
    }

    proptest! {
        #[test]
        fn every_duration_is_counted_once_in_the_smallest_bucket_that_holds_it(
            millis in proptest::collection::vec(0_u64..20_000, 0..100)
        ) {
            let histogram = histogram(&super::super::catalogue::DURATION_BOUNDS);
            millis.iter().for_each(|ms| histogram.observe(Duration::from_millis(*ms), None));
            prop_assert_eq!(histogram.count(), millis.len() as u64);
            prop_assert_eq!(histogram.sum(), Duration::from_millis(millis.iter().sum()));
            let text = text(&histogram);
            for bound in super::super::catalogue::DURATION_BOUNDS {
                let expected = millis.iter().filter(|ms| **ms as f64 <= bound * 1000.0).count();
                let line = format!("x_seconds_bucket{{le=\"{bound:?}\"}} {expected}");
                prop_assert!(text.lines().any(|known| known == line), "{} not in {}", line, text);
            }
        }
    }
}
