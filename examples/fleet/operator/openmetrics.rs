//! What does the text of `/metrics` say?
//!
//! Only what the operator shows: requests, failures and durations of the server, how a caller stands to those it
//! calls, and faults that were injected. Everything else is skipped, so a service may count what it likes.

use std::{collections::BTreeMap, time::Duration};

use super::{
    dependency::{Dependencies, Dependency},
    histogram::Histogram,
};

/// What an instance has counted since it started.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    /// Requests that ended.
    pub(crate) requests: u64,
    /// Those answered with 500 or above.
    pub(crate) errors: u64,
    /// How long they took.
    pub(crate) durations: Histogram,
    /// Whom it called.
    pub(crate) dependencies: Dependencies,
    /// Faults that hit its calls, by name and kind.
    pub(crate) injected: BTreeMap<(String, String), u64>,
}

impl Counts {
    /// Reads OpenMetrics text. A line that makes no sense is skipped: half a scrape is better than none.
    pub(crate) fn read(text: &str) -> Self {
        let mut series: BTreeMap<String, Vec<(f64, u64)>> = BTreeMap::new();
        let mut counts = Counts::default();
        for line in text.lines() {
            if let Some(sample) = line.strip_prefix(PLATFORM).and_then(Sample::read) {
                counts.read_platform(&sample);
            }
            let rest = DURATIONS.iter().find_map(|name| line.strip_prefix(name));
            let Some(sample) = rest.and_then(Sample::read) else { continue };
            // How long somebody listens is no latency.
            if sample.label("rpc_method").is_some_and(|method| STREAMS.contains(&method)) {
                continue;
            }
            match sample.kind {
                "_count" => {
                    counts.requests += sample.count();
                    if is_error(&sample) {
                        counts.errors += sample.count();
                    }
                }
                "_bucket" => {
                    let Some(bound) = sample.label("le").and_then(|le| le.parse::<f64>().ok()) else {
                        continue;
                    };
                    series.entry(sample.identity()).or_default().push((bound, sample.count()));
                }
                _ => {}
            }
        }
        for mut buckets in series.into_values() {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            counts.durations.add(&from_cumulative(&buckets));
        }
        counts
    }

    fn read_platform(&mut self, sample: &Sample<'_>) {
        if let ("faults_injected_total", Some(fault), Some(kind)) =
            (sample.kind, sample.label("fault"), sample.label("kind"))
        {
            *self.injected.entry((fault.to_owned(), kind.to_owned())).or_default() += sample.count();
        }
        Dependency::read(&mut self.dependencies, sample);
    }

    /// Adds another instance's.
    pub(crate) fn add(&mut self, other: &Counts) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.durations.add(&other.durations);
        for (target, dependency) in &other.dependencies {
            self.dependencies.entry(target.clone()).or_default().add(dependency);
        }
        for (fault, count) in &other.injected {
            *self.injected.entry(fault.clone()).or_default() += count;
        }
    }

    /// What remains true when the process is gone.
    pub(crate) fn over(mut self) -> Counts {
        for dependency in self.dependencies.values_mut() {
            *dependency = dependency.over();
        }
        self
    }
}

/// Was the server to blame?
fn is_error(sample: &Sample<'_>) -> bool {
    sample.label("http_response_status_code").is_some_and(|status| status.starts_with('5'))
        || sample.label("rpc_response_status_code").is_some_and(|code| ERRORS.contains(&code))
}

/// Prometheus' buckets each hold those below them; ours do not.
fn from_cumulative(buckets: &[(f64, u64)]) -> Histogram {
    let mut histogram = Histogram::default();
    let (mut lower, mut below) = (Duration::ZERO, 0);
    for (bound, cumulative) in buckets {
        let upper = Duration::try_from_secs_f64(*bound).ok();
        histogram.count(lower, upper, cumulative.saturating_sub(below));
        lower = upper.unwrap_or(lower);
        below = *cumulative;
    }
    histogram
}

/// One line, behind the name of its family.
pub(super) struct Sample<'a> {
    pub(super) kind: &'a str,
    labels: Vec<(&'a str, &'a str)>,
    pub(super) value: f64,
}

impl<'a> Sample<'a> {
    /// `_bucket{a="b",le="0.005"} 3 # {trace_id="…"} 0.002`
    fn read(rest: &'a str) -> Option<Self> {
        let (kind, mut rest) = rest.split_at(rest.find(['{', ' '])?);
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while let Some((name, behind)) = rest.split_once("=\"") {
                if rest.starts_with('}') {
                    break;
                }
                let end = end_of_value(behind)?;
                labels.push((name, &behind[..end]));
                rest = behind[end + 1..].trim_start_matches(',');
            }
            rest = rest.strip_prefix('}')?;
        }
        let value = rest.split_whitespace().next()?.parse::<f64>().ok()?;
        Some(Sample { kind, labels, value })
    }

    /// The value of a counter.
    pub(super) fn count(&self) -> u64 {
        self.value as u64
    }

    pub(super) fn label(&self, name: &str) -> Option<&'a str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| *value)
    }

    /// Its labels without the bound: whose buckets belong together.
    fn identity(&self) -> String {
        let labels = self.labels.iter().filter(|(name, _)| *name != "le");
        labels.flat_map(|(name, value)| [*name, "\0", *value, "\0"]).collect()
    }
}

/// Where the closing quote is; a quote behind a backslash closes nothing.
fn end_of_value(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| match c {
        _ if escaped => {
            escaped = false;
            None
        }
        '\\' => {
            escaped = true;
            None
        }
        '"' => Some(at),
        _ => None,
    })
}

/// What is the platform's own.
const PLATFORM: &str = "platform_";
/// The server's histogram, named by OpenTelemetry.
const DURATIONS: [&str; 2] = ["http_server_request_duration_seconds", "rpc_server_call_duration_seconds"];
/// Methods whose calls last as long as somebody listens.
const STREAMS: [&str; 1] = ["film.Ratings/Follow"];
/// The codes of gRPC that stand for a 5xx.
const ERRORS: [&str; 5] = ["UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "DEADLINE_EXCEEDED"];

#[cfg(test)]
mod tests {
    use super::super::histogram::Quantile;
    use super::*;

    const TEXT: &str = r##"# HELP http_server_request_duration_seconds Time
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_sum{http_route="/films/{id}",http_response_status_code="200"} 0.5
http_server_request_duration_seconds_count{http_route="/films/{id}",http_response_status_code="200"} 9
http_server_request_duration_seconds_bucket{http_route="/films/{id}",http_response_status_code="200",le="0.005"} 5
http_server_request_duration_seconds_bucket{http_route="/films/{id}",http_response_status_code="200",le="0.01"} 8 # {trace_id="ab # } 7"} 0.007 1.5
http_server_request_duration_seconds_bucket{http_route="/films/{id}",http_response_status_code="200",le="+Inf"} 9
http_server_request_duration_seconds_count{http_route="a\"} 99 {\\",http_response_status_code="503"} 1
http_server_request_duration_seconds_bucket{http_route="a\"} 99 {\\",http_response_status_code="503",le="0.005"} 0
http_server_request_duration_seconds_bucket{http_route="a\"} 99 {\\",http_response_status_code="503",le="0.01"} 1
http_server_request_duration_seconds_bucket{http_route="a\"} 99 {\\",http_response_status_code="503",le="+Inf"} 1
http_server_active_requests{} 3
platform_faults_injected_total{fault="fleet-1",kind="abort",zone="a"} 7
platform_client_attempts_total{target="ratings",kind="retry",outcome="ok"} 2
platform_retry_budget_ratio{target="ratings"} 0.5
http_server_request_duration_seconds_bucket{broken
# EOF
"##;

    #[test]
    fn requests_failures_and_durations_are_read_and_the_rest_is_skipped() {
        let counts = Counts::read(TEXT);
        assert_eq!((counts.requests, counts.errors), (10, 1));
        assert_eq!(counts.durations.total(), 10);
        assert_eq!(counts.durations.quantile(0.5), Some(Quantile::Below(Duration::from_millis(5))));
        assert_eq!(counts.durations.quantile(0.9), Some(Quantile::About(Duration::from_millis(10))));
        assert_eq!(counts.durations.quantile(1.0), Some(Quantile::Above(Duration::from_millis(10))));
        assert_eq!(Counts::read(""), Counts::default());
    }

    #[test]
    fn sums_and_differences_go_through_every_part() {
        let once = Counts::read(TEXT);
        let mut twice = once.clone();
        twice.add(&once);
        assert_eq!((twice.requests, twice.errors, twice.durations.total()), (20, 2, 20));
        assert_eq!(twice.durations.since(&once.durations), once.durations);
        assert_eq!(twice.injected[&("fleet-1".to_owned(), "abort".to_owned())], 14);
        assert_eq!(twice.dependencies["ratings"].repeats, 4);
        assert_eq!(twice.dependencies["ratings"].budget, Some(0.5));
        assert_eq!(twice.over().dependencies["ratings"].budget, None);
    }

    /// Without labels, and in the shape of other libraries.
    #[test]
    fn the_text_may_be_plainer_than_ours() {
        let text = "http_server_request_duration_seconds_count 4\n\
                    http_server_request_duration_seconds_bucket{le=\"1\"} 4.0\n";
        let counts = Counts::read(text);
        assert_eq!((counts.requests, counts.durations.total()), (4, 4));
    }
}
