//! Promise: every metric is declared once, carries the identity, and is read by everybody's parser.

mod judges;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use platform_core::{
    context::TraceId,
    identity::Identity,
    telemetry::{
        Metrics,
        catalogue::{CounterSpec, GaugeSpec, HistogramSpec, Labels},
    },
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct TargetLabels {
    target: Arc<str>,
    kind: &'static str,
}

impl Labels for TargetLabels {
    const NAMES: &'static [&'static str] = &["target", "kind"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.target);
        show(self.kind);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct TenantLabels;

impl Labels for TenantLabels {
    const NAMES: &'static [&'static str] = &["tenant"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show("acme");
    }
}

static ATTEMPTS: CounterSpec<TargetLabels> = CounterSpec::new("test_attempts", "Attempts made");
static SHARE: GaugeSpec<()> = GaugeSpec::new("test_share_ratio", "Share of something");
static WAIT: HistogramSpec<TargetLabels> = HistogramSpec::new("test_wait_seconds", "Time spent waiting");
static AGAIN: GaugeSpec<()> = GaugeSpec::new("test_attempts", "Another metric of that name");
static BY_TENANT: CounterSpec<TenantLabels> = CounterSpec::new("test_by_tenant", "What a tenant did");

fn identity() -> Identity {
    Identity {
        name: "orders".to_owned(),
        version: "1.4.2".to_owned(),
        zone: "a".to_owned(),
        owner: "team-orders".to_owned(),
        why: "so that people can \"order\"".to_owned(),
        ..Identity::default()
    }
}

fn labels(target: &str, kind: &'static str) -> TargetLabels {
    TargetLabels { target: Arc::from(target), kind }
}

/// A registry in which everything was used a little.
fn used() -> Metrics {
    let metrics = Metrics::new(&identity());
    let attempts = metrics.counter(&ATTEMPTS);
    attempts.with(&labels("catalog", "first")).inc_by(3);
    attempts.with(&labels("back\\slash \"quoted\"\nline", "retry")).inc();
    metrics.gauge(&SHARE).with(&()).set(0.25);
    let wait = metrics.histogram(&WAIT);
    wait.with(&labels("catalog", "first")).observe(Duration::from_millis(30), Some(TraceId::random()));
    wait.with(&labels("ratings", "first")).observe(Duration::from_secs(60), None);
    metrics
}

const CONSTANT: &str = r#"service_name="orders",service_version="1.4.2",variant="stable",zone="a""#;

#[test]
fn every_series_says_whose_it_is() {
    let text = used().encode();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.contains(CONSTANT), "{line}");
    }
    assert!(
        text.contains(&format!("test_attempts_total{{{CONSTANT},target=\"catalog\",kind=\"first\"}} 3\n"))
    );
    assert!(text.contains(&format!("test_share_ratio{{{CONSTANT}}} 0.25\n")));
    assert!(text.contains(r#"target="back\\slash \"quoted\"\nline",kind="retry"} 1"#), "{text}");
    assert!(
        text.contains(
            r#"owner="team-orders",reports_to="",runbook="",why="so that people can \"order\""} 1"#
        )
    );
}

#[test]
fn the_text_is_well_formed_and_no_series_appears_twice() {
    let text = used().encode();
    assert!(text.ends_with("# EOF\n"));
    let mut series = HashSet::new();
    let mut families = HashSet::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap();
            assert!(families.insert(family), "{family} is interleaved or declared twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ").or(line.strip_prefix("# UNIT ")) {
            assert_eq!(rest.split(' ').next(), Some(family));
        } else if line != "# EOF" {
            let sample = line.split(" # ").next().unwrap();
            let (name, value) = sample.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(name.starts_with(family), "{name} stands under {family}");
            assert!(series.insert(name), "{name} appears twice");
        }
    }
    for family in ["test_wait_seconds", "platform_service", "test_attempts"] {
        assert!(families.contains(family), "{family} in {families:?}");
    }
}

#[test]
fn buckets_rise_and_the_last_is_the_count() {
    let text = used().encode();
    let of = |part: &str| -> Vec<f64> {
        text.lines()
            .filter(|line| line.starts_with(&format!("test_wait_seconds_{part}")) && line.contains("catalog"))
            .map(|line| line.split("} ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap())
            .collect()
    };
    let buckets = of("bucket");
    assert_eq!(buckets.len(), 15);
    assert!(buckets.is_sorted());
    assert_eq!(of("count"), buckets[14..]);
    assert_eq!(of("sum"), [0.03]);
}

#[test]
fn an_exemplar_leads_from_a_bucket_to_a_trace() {
    let text = used().encode();
    let with: Vec<&str> = text.lines().filter(|line| line.contains(" # {trace_id=\"")).collect();
    assert_eq!(with.len(), 1);
    assert!(
        with[0].starts_with("test_wait_seconds_bucket{") && with[0].contains("le=\"0.05\"} 1 # "),
        "{with:?}"
    );
}

#[test]
fn the_older_format_has_neither_exemplars_nor_an_end_mark() {
    let text = used().encode_plain();
    assert!(!text.contains("trace_id") && !text.contains("# EOF") && !text.contains("# UNIT"));
    assert!(text.contains("# TYPE test_attempts_total counter\n"));
    assert!(text.contains("# TYPE platform_service_info gauge\n"));
}

#[test]
fn the_same_spec_gives_the_same_series() {
    let metrics = Metrics::new(&identity());
    metrics.counter(&ATTEMPTS).with(&labels("catalog", "first")).inc();
    metrics.counter(&ATTEMPTS).with(&labels("catalog", "first")).inc();
    assert_eq!(metrics.counter(&ATTEMPTS).with(&labels("catalog", "first")).value(), 2);
    metrics.counter(&ATTEMPTS).forget(&labels("catalog", "first"));
    assert!(!metrics.encode().contains("test_attempts_total"));
}

#[test]
fn a_metric_without_labels_is_there_before_anything_happened() {
    let metrics = Metrics::new(&identity());
    metrics.gauge(&SHARE);
    assert!(metrics.encode().contains(&format!("test_share_ratio{{{CONSTANT}}} 0.0\n")));
}

#[test]
#[should_panic(expected = "metric `test_attempts` is declared twice")]
fn two_specs_of_one_name_are_refused() {
    let metrics = Metrics::new(&identity());
    metrics.counter(&ATTEMPTS);
    metrics.gauge(&AGAIN);
}

#[test]
#[should_panic(expected = "label `tenant`")]
fn a_label_that_grows_without_bound_is_refused() {
    Metrics::new(&identity()).counter(&BY_TENANT);
}

#[test]
fn a_refusal_does_not_break_the_registry() {
    let metrics = used();
    let refused = std::panic::AssertUnwindSafe(metrics.clone());
    std::panic::catch_unwind(move || refused.counter(&BY_TENANT)).unwrap_err();
    metrics.counter(&ATTEMPTS).with(&labels("catalog", "first")).inc();
    assert!(metrics.encode().ends_with("# EOF\n"));
}

#[test]
fn what_is_cheaper_to_read_than_to_keep_is_read_at_scrape() {
    let metrics = Metrics::new(&identity());
    let level = Arc::new(AtomicU64::new(1));
    let gauge = metrics.gauge(&SHARE).with(&());
    let read = Arc::clone(&level);
    metrics.on_scrape(move || gauge.set(read.load(Relaxed) as f64));
    level.store(7, Relaxed);
    assert!(metrics.encode().contains(&format!("test_share_ratio{{{CONSTANT}}} 7.0\n")));
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_measured_under_the_standard_names() {
    let text = Metrics::new(&identity()).encode_plain();
    for name in [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_virtual_memory_bytes",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_threads",
    ] {
        assert!(text.contains(&format!("\n{name}{{")), "{name} is missing");
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} has no type");
    }
}

#[test]
fn promtool_finds_nothing_wrong() {
    judges::promtool_is_content(&used().encode_plain());
}

#[test]
fn the_reference_parser_reads_every_family_and_the_exemplar() {
    let show = "print(family.name, family.type, family.unit, sample.name, float(sample.value), bool(sample.exemplar))";
    let text = used().encode();
    let Some(read) = judges::reference_parser_reads(&text, show) else { return };
    for line in [
        "test_attempts counter  test_attempts_total 3.0 False",
        "test_wait_seconds histogram seconds test_wait_seconds_bucket 1.0 True",
        "test_share_ratio gauge ratio test_share_ratio 0.25 False",
        "platform_service info  platform_service_info 1.0 False",
    ] {
        assert!(read.lines().any(|known| known == line), "{line} is not in\n{read}");
    }
}
