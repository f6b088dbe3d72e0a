//! What does the text of `/metrics` say of the requests that an instance served?

use std::collections::{BTreeMap, BTreeSet};

/// What an instance has counted since it started; the sum of several.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) requests: f64,
    pub(super) errors: f64,
    /// Requests no slower than this many microseconds; `u64::MAX` is all.
    buckets: BTreeMap<u64, f64>,
    /// Targets whose breaker is not closed.
    pub(super) open: BTreeSet<String>,
}

impl Counts {
    /// A line that makes no sense is passed over: half a page is better than none.
    pub(super) fn read(text: &str) -> Self {
        let mut counts = Counts::default();
        for line in text.lines() {
            if let Some(sample) = line.strip_prefix(BREAKER).and_then(sample) {
                if sample.value > 0.0 {
                    counts.open.extend(sample.label("target"));
                }
                continue;
            }
            let Some(sample) = DURATIONS.iter().find_map(|name| line.strip_prefix(name)).and_then(sample)
            else {
                continue;
            };
            match sample.kind {
                "_count" => {
                    counts.requests += sample.value;
                    if sample.is_error() {
                        counts.errors += sample.value;
                    }
                }
                "_bucket" => {
                    let bound = sample.label("le").and_then(|le| match le.as_str() {
                        "+Inf" => Some(u64::MAX),
                        le => le.parse::<f64>().ok().map(|seconds| (seconds * 1e6).round() as u64),
                    });
                    if let Some(bound) = bound {
                        *counts.buckets.entry(bound).or_default() += sample.value;
                    }
                }
                _ => {}
            }
        }
        counts
    }

    pub(super) fn add(&mut self, other: &Counts) {
        self.requests += other.requests;
        self.errors += other.errors;
        for (bound, count) in &other.buckets {
            *self.buckets.entry(*bound).or_default() += count;
        }
        self.open.extend(other.open.iter().cloned());
    }

    /// What came after `earlier`; one that was restarted since began at nothing.
    pub(super) fn since(&self, earlier: &Counts) -> Counts {
        if self.requests < earlier.requests {
            return self.clone();
        }
        let before = |bound: &u64| earlier.buckets.get(bound).copied().unwrap_or_default();
        Counts {
            requests: self.requests - earlier.requests,
            errors: (self.errors - earlier.errors).max(0.0),
            buckets: self
                .buckets
                .iter()
                .map(|(bound, count)| (*bound, (count - before(bound)).max(0.0)))
                .collect(),
            open: self.open.clone(),
        }
    }

    /// Milliseconds that a share of `q` does not exceed, within its bucket by proportion; above the largest bound that
    /// bound. Nothing of nothing.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.buckets.get(&u64::MAX).copied().filter(|total| *total > 0.0)?;
        let rank = q * total;
        let (mut lower, mut below) = (0_u64, 0.0);
        for (bound, count) in &self.buckets {
            if *count >= rank {
                if *bound == u64::MAX {
                    return Some(lower as f64 / 1e3);
                }
                let share = if *count > below { (rank - below) / (count - below) } else { 1.0 };
                return Some((lower as f64 + (*bound - lower) as f64 * share) / 1e3);
            }
            (lower, below) = (*bound, *count);
        }
        None
    }
}

/// One line behind the name of its family.
struct Sample<'a> {
    kind: &'a str,
    labels: &'a str,
    value: f64,
}

impl Sample<'_> {
    /// A label's value as it is written: those that are asked for have nothing escaped in them.
    fn label(&self, name: &str) -> Option<String> {
        let begin = format!("{name}=\"");
        let mut from = 0;
        while let Some(at) = self.labels[from..].find(&begin).map(|at| from + at) {
            let value = &self.labels[at + begin.len()..];
            if at == 0 || self.labels.as_bytes()[at - 1] == b',' {
                return value.split_once('"').map(|(value, _)| value.to_owned());
            }
            from = at + begin.len();
        }
        None
    }

    /// Was the server to blame?
    fn is_error(&self) -> bool {
        let http = self.label("http_response_status_code");
        let rpc = self.label("rpc_response_status_code");
        http.is_some_and(|status| status.starts_with('5'))
            || rpc.is_some_and(|code| TO_BLAME.contains(&code.as_str()))
    }
}

/// `_bucket{a="b",le="0.005"} 3 # {trace_id="…"} 0.002`
fn sample(rest: &str) -> Option<Sample<'_>> {
    let (kind, rest) = rest.split_at(rest.find(['{', ' '])?);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => inside.split_at(end(inside)?),
        None => ("", rest),
    };
    let value = rest.trim_start_matches('}').split_whitespace().next()?.parse().ok()?;
    Some(Sample { kind, labels, value })
}

/// Where the labels end: a brace may stand in a value.
fn end(inside: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    inside.char_indices().find_map(|(at, letter)| {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at),
            _ => {}
        }
        None
    })
}

const DURATIONS: [&str; 2] = ["http_server_request_duration_seconds", "rpc_server_call_duration_seconds"];
const BREAKER: &str = "platform_breaker_state";
/// The codes of gRPC for which a server is to blame.
const TO_BLAME: [&str; 5] = ["DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNKNOWN"];

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"
# HELP http_server_request_duration_seconds how long
http_server_request_duration_seconds_bucket{http_route="/a/{id}",http_response_status_code="200",le="0.01"} 90
http_server_request_duration_seconds_bucket{http_route="/a/{id}",http_response_status_code="200",le="0.1"} 100 # {trace_id="a"} 0.05
http_server_request_duration_seconds_bucket{http_route="/a/{id}",http_response_status_code="200",le="+Inf"} 100
http_server_request_duration_seconds_count{http_route="/a/{id}",http_response_status_code="200"} 100
http_server_request_duration_seconds_count{http_route="/a\"}",http_response_status_code="503"} 4
rpc_server_call_duration_seconds_count{rpc_method="a/B",rpc_response_status_code="INTERNAL"} 2
rpc_server_call_duration_seconds_count{rpc_method="a/B",rpc_response_status_code="NOT_FOUND"} 3
platform_breaker_state{target="inventory"} 2
platform_breaker_state{target="payments"} 0
other_count 7
http_server_request_duration_seconds_count{broken
"#;

    #[test]
    fn a_page_becomes_rates_and_percentiles() {
        let counts = Counts::read(PAGE);
        assert_eq!((counts.requests, counts.errors), (109.0, 6.0));
        assert_eq!(counts.open.iter().collect::<Vec<_>>(), ["inventory"]);
        let near = |q: f64, ms: f64| (counts.quantile(q).unwrap() - ms).abs() < 1e-9;
        assert!(near(0.45, 5.0) && near(0.95, 55.0), "{:?}", counts.quantile(0.95));
        assert_eq!(Counts::default().quantile(0.5), None);
    }

    #[test]
    fn what_came_between_two_pages_is_their_difference_unless_it_was_restarted() {
        let now = Counts::read(PAGE);
        assert_eq!(now.since(&now).requests, 0.0);
        let mut sum = now.clone();
        sum.add(&now);
        assert_eq!(sum.since(&now).requests, 109.0);
        assert_eq!(now.since(&sum), now, "a page that has less than before is of a new life");
    }
}
