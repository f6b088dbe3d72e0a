//! What is asked of the metrics?
//!
//! Expressions are built from specs, so a panel cannot name a metric that does not exist, a rate of a gauge
//! does not compile, and renaming a metric renames it in dashboards and alerts.

use std::fmt::Write as _;

use super::{CONSTANT_LABELS, CounterSpec, Declared, GaugeSpec, HistogramSpec, Labels, Spec as _};

/// A question to Prometheus.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr(Node);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Series(Series),
    Ratio(Box<Expr>, Box<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
struct Series {
    declared: Declared,
    ask: Ask,
    matchers: Vec<String>,
    by: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ask {
    Rate,
    Calls,
    Quantile(f64),
    Max,
    Sum,
}

/// How often a second a counter grows, summed.
pub fn rate<L: Labels>(spec: &CounterSpec<L>) -> Expr {
    Expr::series(spec.declared(), Ask::Rate)
}

/// How many durations a second a histogram counts, summed: its calls.
pub fn calls<L: Labels>(spec: &HistogramSpec<L>) -> Expr {
    Expr::series(spec.declared(), Ask::Calls)
}

/// The duration that `share` of the calls stay within, estimated from the buckets.
///
/// # Panics
/// When `share` is not between 0 and 1.
pub fn quantile<L: Labels>(share: f64, spec: &HistogramSpec<L>) -> Expr {
    assert!((0.0..=1.0).contains(&share), "a quantile is between 0 and 1, not {share}");
    Expr::series(spec.declared(), Ask::Quantile(share))
}

/// The highest of a gauge's values.
pub fn max<L: Labels>(spec: &GaugeSpec<L>) -> Expr {
    Expr::series(spec.declared(), Ask::Max)
}

/// The sum of a gauge's values.
pub fn sum<L: Labels>(spec: &GaugeSpec<L>) -> Expr {
    Expr::series(spec.declared(), Ask::Sum)
}

/// One part of a whole. Both sides are grouped alike.
pub fn ratio(part: Expr, whole: Expr) -> Expr {
    Expr(Node::Ratio(Box::new(part), Box::new(whole)))
}

impl Expr {
    fn series(declared: Declared, ask: Ask) -> Self {
        Expr(Node::Series(Series { declared, ask, matchers: Vec::new(), by: Vec::new() }))
    }

    /// One result for each value of these labels instead of one in all.
    ///
    /// # Panics
    /// When the metric has no such label.
    #[must_use]
    #[track_caller]
    pub fn by(mut self, labels: &[&'static str]) -> Self {
        match &mut self.0 {
            Node::Series(series) => {
                labels.iter().for_each(|label| series.must_have(label));
                series.by.extend(labels);
            }
            Node::Ratio(part, whole) => {
                **part = part.clone().by(labels);
                **whole = whole.clone().by(labels);
            }
        }
        self
    }

    /// Only series whose `label` is one of `values`; of a ratio, both sides.
    ///
    /// # Panics
    /// When the metric has no such label.
    #[must_use]
    #[track_caller]
    pub fn only(self, label: &str, values: &[&str]) -> Self {
        self.matching(label, "=~", values)
    }

    /// Only series whose `label` is none of `values`; of a ratio, both sides.
    ///
    /// # Panics
    /// When the metric has no such label.
    #[must_use]
    #[track_caller]
    pub fn except(self, label: &str, values: &[&str]) -> Self {
        self.matching(label, "!~", values)
    }

    /// The question in PromQL; rates are taken over `window`: `5m`, or a dashboard's `$__rate_interval`.
    pub fn promql(&self, window: &str) -> String {
        match &self.0 {
            Node::Series(series) => series.promql(window),
            Node::Ratio(part, whole) => format!("{} / {}", part.promql(window), whole.promql(window)),
        }
    }

    /// The metrics that it asks.
    pub fn metrics(&self) -> Vec<Declared> {
        match &self.0 {
            Node::Series(series) => vec![series.declared],
            Node::Ratio(part, whole) => [part.metrics(), whole.metrics()].concat(),
        }
    }

    #[track_caller]
    fn matching(mut self, label: &str, operator: &str, values: &[&str]) -> Self {
        match &mut self.0 {
            Node::Series(series) => {
                series.must_have(label);
                let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
                series.matchers.push(format!("{label}{operator}\"{}\"", values.join("|")));
            }
            Node::Ratio(part, whole) => {
                **part = part.clone().matching(label, operator, values);
                **whole = whole.clone().matching(label, operator, values);
            }
        }
        self
    }
}

impl Series {
    #[track_caller]
    fn must_have(&self, label: &str) {
        let Declared { name, labels, .. } = self.declared;
        let known = labels.contains(&label) || CONSTANT_LABELS.contains(&label) || SCRAPED.contains(&label);
        assert!(
            known,
            "`{name}` has no label `{label}`; it has {labels:?}, {CONSTANT_LABELS:?} and {SCRAPED:?}"
        );
    }

    fn promql(&self, window: &str) -> String {
        let selector = |suffix: &str| {
            let braces = if self.matchers.is_empty() {
                String::new()
            } else {
                format!("{{{}}}", self.matchers.join(","))
            };
            format!("{}{suffix}{braces}", self.declared.name)
        };
        let over = |with: &str, further: Option<&'static str>, inner: &str| {
            let mut text = with.to_owned();
            let by: Vec<&str> = further.into_iter().chain(self.by.iter().copied()).collect();
            if !by.is_empty() {
                let _ = write!(text, " by ({}) ", by.join(", "));
            }
            text + "(" + inner + ")"
        };
        match self.ask {
            Ask::Rate => over("sum", None, &format!("rate({}[{window}])", selector("_total"))),
            Ask::Calls => over("sum", None, &format!("rate({}[{window}])", selector("_count"))),
            Ask::Quantile(share) => {
                let buckets = over("sum", Some("le"), &format!("rate({}[{window}])", selector("_bucket")));
                format!("histogram_quantile({share}, {buckets})")
            }
            Ask::Max => over("max", None, &selector("")),
            Ask::Sum => over("sum", None, &selector("")),
        }
    }
}

/// A value as a regular expression that matches nothing else, inside a PromQL string.
fn literal(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            // Once for the regular expression, and its backslash once for the string.
            c if r"\.+*?()|[]{}^$".contains(c) => text.extend(["\\\\", if c == '\\' { "\\\\" } else { "" }]),
            '"' => text.push('\\'),
            _ => {}
        }
        if c != '\\' {
            text.push(c);
        }
    }
    text
}

/// Labels that Prometheus sets while it scrapes.
const SCRAPED: [&str; 2] = ["job", "instance"];

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct CallLabels;

    impl Labels for CallLabels {
        const NAMES: &'static [&'static str] = &["target", "outcome"];

        fn each_value(&self, _show: &mut dyn FnMut(&str)) {}
    }

    static TRIES: CounterSpec<CallLabels> = CounterSpec::new("tries", "Tries");
    static OPEN: GaugeSpec<CallLabels> = GaugeSpec::new("open", "Open");
    static TOOK: HistogramSpec<CallLabels> = HistogramSpec::new("took_seconds", "Took");

    #[test]
    fn questions_read_as_promql() {
        let table = [
            (rate(&TRIES), "sum(rate(tries_total[5m]))"),
            (rate(&TRIES).by(&["target"]), "sum by (target) (rate(tries_total[5m]))"),
            (calls(&TOOK).by(&["zone", "target"]), "sum by (zone, target) (rate(took_seconds_count[5m]))"),
            (
                quantile(0.99, &TOOK).by(&["target"]),
                "histogram_quantile(0.99, sum by (le, target) (rate(took_seconds_bucket[5m])))",
            ),
            (max(&OPEN), "max(open)"),
            (sum(&OPEN).by(&["instance"]), "sum by (instance) (open)"),
            (
                rate(&TRIES).only("outcome", &["ok", "caller"]),
                "sum(rate(tries_total{outcome=~\"ok|caller\"}[5m]))",
            ),
            (
                ratio(calls(&TOOK).except("outcome", &["ok"]), calls(&TOOK)).by(&["target"]),
                "sum by (target) (rate(took_seconds_count{outcome!~\"ok\"}[5m])) / \
                 sum by (target) (rate(took_seconds_count[5m]))",
            ),
            (max(&OPEN).only("target", &["a.b|c\"\\"]), "max(open{target=~\"a\\\\.b\\\\|c\\\"\\\\\\\\\"})"),
        ];
        for (expr, expected) in table {
            assert_eq!(expr.promql("5m"), expected);
        }
    }

    #[test]
    #[should_panic(expected = "`tries` has no label `taget`")]
    fn a_slip_in_a_label_is_found_when_the_catalogue_is_made() {
        let _ = rate(&TRIES).by(&["taget"]);
    }
}
