//! What is asked of the metrics?
//!
//! Expressions are built from specs, so a panel cannot name a metric that does not exist, a rate of a gauge
//! does not compile, and renaming a metric renames it in dashboards and alerts.

use std::{fmt::Write as _, time::Duration};

use super::{CONSTANT_LABELS, CounterSpec, Declared, GaugeSpec, HistogramSpec, Labels, SCRAPED, Scope, Spec};

/// A question to Prometheus.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr(Node);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Series(Series),
    Ratio(Box<Expr>, Box<Expr>),
    Share(Box<Expr>, Box<Expr>),
}

/// One aggregation over the series of one metric, or of several that count the same.
#[derive(Clone, Debug, PartialEq)]
struct Series {
    of: Vec<Selected>,
    ask: Ask,
    by: Vec<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
struct Selected {
    declared: Declared,
    matchers: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ask {
    Rate,
    Calls,
    Within(Duration),
    Quantile(f64),
    Max,
    Min,
    Sum,
    TimeLeft,
    Number,
}

/// How often a second a counter grows, summed.
pub fn rate<L: Labels>(spec: &CounterSpec<L>) -> Expr {
    Expr::series(spec.declared(), Ask::Rate)
}

/// How many durations a second a histogram counts, summed: its calls.
pub fn calls<L: Labels>(spec: &HistogramSpec<L>) -> Expr {
    Expr::series(spec.declared(), Ask::Calls)
}

/// How many durations a second are `bound` at most, which has to be one of the histogram's bounds.
pub fn within<L: Labels>(bound: Duration, spec: &HistogramSpec<L>) -> Expr {
    Expr::series(spec.declared(), Ask::Within(bound))
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

/// The lowest of a gauge's values.
pub fn min<L: Labels>(spec: &GaugeSpec<L>) -> Expr {
    Expr::series(spec.declared(), Ask::Min)
}

/// The sum of a gauge's values.
pub fn sum<L: Labels>(spec: &GaugeSpec<L>) -> Expr {
    Expr::series(spec.declared(), Ask::Sum)
}

/// How many seconds are left until the nearest of the moments that a gauge tells, in seconds since 1970; negative when it
/// is over.
pub fn time_left<L: Labels>(spec: &GaugeSpec<L>) -> Expr {
    Expr::series(spec.declared(), Ask::TimeLeft)
}

/// How many series there are: of what every process has one of, its processes.
pub fn number(spec: &impl Spec) -> Expr {
    Expr::series(spec.declared(), Ask::Number)
}

/// One part of a whole. Both sides are grouped alike.
pub fn ratio(part: Expr, whole: Expr) -> Expr {
    Expr(Node::Ratio(Box::new(part), Box::new(whole)))
}

/// The same where the part may never have happened, so that there is no series of it: 0 as long as there is a whole.
pub fn share(part: Expr, whole: Expr) -> Expr {
    Expr(Node::Share(Box::new(part), Box::new(whole)))
}

impl Expr {
    pub(super) fn series(declared: Declared, ask: Ask) -> Self {
        Expr(Node::Series(Series {
            of: vec![Selected { declared, matchers: Vec::new() }],
            ask,
            by: Vec::new(),
        }))
    }

    /// Asks the same of another metric and counts both as one: what is served over HTTP and over gRPC. What is to be
    /// told apart has to be a label of both.
    ///
    /// # Panics
    /// When it is not the same that is asked.
    #[must_use]
    #[track_caller]
    pub fn and(self, other: Expr) -> Self {
        match (self.0, other.0) {
            (Node::Series(mut ours), Node::Series(theirs))
                if ours.ask == theirs.ask && ours.by == theirs.by =>
            {
                ours.of.extend(theirs.of);
                Expr(Node::Series(ours))
            }
            (ours, theirs) => panic!("two questions cannot be asked as one: {ours:?} and {theirs:?}"),
        }
    }

    /// One result for each value of these labels instead of one in all.
    ///
    /// # Panics
    /// When the metric has no such label.
    #[must_use]
    #[track_caller]
    pub fn by(self, labels: &[&'static str]) -> Self {
        self.each(&mut |series| {
            labels.iter().for_each(|label| series.must_have(label));
            series.by.extend(labels);
        })
    }

    /// Only series whose `label` is one of `values`; of a ratio, both sides.
    ///
    /// # Panics
    /// When the metric has no such label.
    #[must_use]
    #[track_caller]
    pub fn only(self, label: &str, values: &[&str]) -> Self {
        self.matching(label, "=~", &alternatives(values))
    }

    /// Only series whose `label` is none of `values`; of a ratio, both sides.
    ///
    /// # Panics
    /// When the metric has no such label.
    #[must_use]
    #[track_caller]
    pub fn except(self, label: &str, values: &[&str]) -> Self {
        self.matching(label, "!~", &alternatives(values))
    }

    /// Only series whose `label` begins with one of `prefixes`, such as the statuses of a class; of a ratio, both sides.
    ///
    /// # Panics
    /// When the metric has no such label.
    #[must_use]
    #[track_caller]
    pub fn beginning(self, label: &str, prefixes: &[&str]) -> Self {
        self.matching(label, "=~", &beginnings(prefixes))
    }

    /// Only series whose `label` begins with none of `prefixes`; of a ratio, both sides.
    ///
    /// # Panics
    /// When the metric has no such label.
    #[must_use]
    #[track_caller]
    pub fn not_beginning(self, label: &str, prefixes: &[&str]) -> Self {
        self.matching(label, "!~", &beginnings(prefixes))
    }

    /// The question in PromQL; rates are taken over `window`: `5m`, or a dashboard's `$__rate_interval`.
    pub fn promql(&self, window: &str) -> String {
        self.promql_in(&Scope::over(window))
    }

    /// The question in PromQL, asked within `scope`.
    pub fn promql_in(&self, scope: &Scope) -> String {
        match &self.0 {
            Node::Series(series) => series.promql(scope),
            Node::Ratio(part, whole) => format!("{} / {}", part.operand(scope), whole.operand(scope)),
            Node::Share(part, whole) => {
                let whole = whole.operand(scope);
                format!("({} or {whole} * 0) / {whole}", part.operand(scope))
            }
        }
    }

    /// The labels that its results are told apart by.
    pub fn labels(&self) -> Vec<&'static str> {
        match &self.0 {
            Node::Series(series) => series.by.clone(),
            Node::Ratio(_, whole) | Node::Share(_, whole) => whole.labels(),
        }
    }

    /// Is it estimated from buckets, each of which may show the trace of a request?
    pub fn has_exemplars(&self) -> bool {
        matches!(&self.0, Node::Series(Series { ask: Ask::Quantile(_), .. }))
    }

    /// The metrics that it asks.
    pub fn metrics(&self) -> Vec<Declared> {
        match &self.0 {
            Node::Series(series) => series.of.iter().map(|selected| selected.declared).collect(),
            Node::Ratio(part, whole) | Node::Share(part, whole) => [part.metrics(), whole.metrics()].concat(),
        }
    }

    fn operand(&self, scope: &Scope) -> String {
        match &self.0 {
            Node::Series(series) if series.ask != Ask::TimeLeft => series.promql(scope),
            Node::Series(_) | Node::Ratio(..) | Node::Share(..) => format!("({})", self.promql_in(scope)),
        }
    }

    #[track_caller]
    fn matching(self, label: &str, operator: &str, pattern: &str) -> Self {
        self.each(&mut |series| {
            series.must_have(label);
            for selected in &mut series.of {
                selected.matchers.push(format!("{label}{operator}\"{pattern}\""));
            }
        })
    }

    /// With `edit` done to every aggregation in it.
    #[track_caller]
    fn each(self, edit: &mut dyn FnMut(&mut Series)) -> Self {
        match self.0 {
            Node::Series(mut series) => {
                edit(&mut series);
                Expr(Node::Series(series))
            }
            Node::Ratio(part, whole) => ratio(part.each(edit), whole.each(edit)),
            Node::Share(part, whole) => share(part.each(edit), whole.each(edit)),
        }
    }
}

impl Series {
    #[track_caller]
    fn must_have(&self, label: &str) {
        for Selected { declared: Declared { name, labels, .. }, .. } in &self.of {
            let known =
                labels.contains(&label) || CONSTANT_LABELS.contains(&label) || SCRAPED.contains(&label);
            assert!(
                known,
                "`{name}` has no label `{label}`; it has {labels:?}, {CONSTANT_LABELS:?} and {SCRAPED:?}"
            );
        }
    }

    fn promql(&self, scope: &Scope) -> String {
        match self.ask {
            Ask::Rate => self.over("sum", &[], &self.each_selected(scope, "_total", None, true), scope),
            Ask::Calls => self.over("sum", &[], &self.each_selected(scope, "_count", None, true), scope),
            Ask::Within(bound) => {
                // As the exposition writes a bound: the debug form of its seconds.
                let le = format!("le=\"{:?}\"", bound.as_secs_f64());
                self.over("sum", &[], &self.each_selected(scope, "_bucket", Some(&le), true), scope)
            }
            Ask::Quantile(share) => {
                let buckets = self.each_selected(scope, "_bucket", None, true);
                format!("histogram_quantile({share}, {})", self.over("sum", &["le"], &buckets, scope))
            }
            Ask::Max => self.over("max", &[], &self.each_selected(scope, "", None, false), scope),
            Ask::Min => self.over("min", &[], &self.each_selected(scope, "", None, false), scope),
            Ask::Sum => self.over("sum", &[], &self.each_selected(scope, "", None, false), scope),
            Ask::TimeLeft => {
                let nearest = self.over("min", &[], &self.each_selected(scope, "", None, false), scope);
                format!("{nearest} - time()")
            }
            Ask::Number => {
                let series = self.of.iter().map(|selected| {
                    let whole = selected.declared.series();
                    selected.text(&whole, scope, None)
                });
                self.over("count", &[], &series.collect::<Vec<_>>().join(" or "), scope)
            }
        }
    }

    fn each_selected(&self, scope: &Scope, suffix: &str, further: Option<&str>, rates: bool) -> String {
        let each = self.of.iter().map(|selected| {
            let text = selected.text(&format!("{}{suffix}", selected.declared.name), scope, further);
            if rates { format!("rate({text}[{}])", scope.window) } else { text }
        });
        each.collect::<Vec<_>>().join(" or ")
    }

    fn over(&self, with: &str, further: &[&'static str], inner: &str, scope: &Scope) -> String {
        let mut text = with.to_owned();
        let mut by: Vec<&str> = Vec::new();
        for label in further.iter().chain(&scope.by).chain(&self.by) {
            if !by.contains(label) {
                by.push(label);
            }
        }
        if !by.is_empty() {
            let _ = write!(text, " by ({}) ", by.join(", "));
        }
        text + "(" + inner + ")"
    }
}

impl Selected {
    fn text(&self, name: &str, scope: &Scope, further: Option<&str>) -> String {
        let all = scope.matchers.iter().chain(&self.matchers).map(String::as_str).chain(further);
        let all: Vec<&str> = all.collect();
        if all.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", all.join(",")) }
    }
}

fn beginnings(prefixes: &[&str]) -> String {
    prefixes.iter().map(|prefix| literal(prefix) + ".*").collect::<Vec<_>>().join("|")
}

fn alternatives(values: &[&str]) -> String {
    values.iter().map(|value| literal(value)).collect::<Vec<_>>().join("|")
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
    static ALSO_TOOK: HistogramSpec<CallLabels> = HistogramSpec::new("also_took_seconds", "Also took");
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
            (
                share(rate(&TRIES).only("outcome", &["ok"]), rate(&TRIES)).by(&["target"]),
                "(sum by (target) (rate(tries_total{outcome=~\"ok\"}[5m])) or \
                 sum by (target) (rate(tries_total[5m])) * 0) / sum by (target) (rate(tries_total[5m]))",
            ),
            (
                calls(&TOOK).and(calls(&ALSO_TOOK)).beginning("outcome", &["5", "x"]),
                "sum(rate(took_seconds_count{outcome=~\"5.*|x.*\"}[5m]) or \
                 rate(also_took_seconds_count{outcome=~\"5.*|x.*\"}[5m]))",
            ),
            (
                within(Duration::from_secs(1), &TOOK).not_beginning("outcome", &["5"]),
                "sum(rate(took_seconds_bucket{outcome!~\"5.*\",le=\"1.0\"}[5m]))",
            ),
            (number(&TRIES).by(&["service_version"]), "count by (service_version) (tries_total)"),
            (min(&OPEN), "min(open)"),
            (time_left(&OPEN).by(&["target"]), "min by (target) (open) - time()"),
            (ratio(time_left(&OPEN), max(&OPEN)), "(min(open) - time()) / max(open)"),
            (ratio(ratio(max(&OPEN), min(&OPEN)), max(&OPEN)), "(max(open) / min(open)) / max(open)"),
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

    #[test]
    fn a_scope_is_laid_over_every_part_of_a_question() {
        let scope = Scope::over("1h").only("service_name", "orders").chosen("zone", "zone").by(&["zone"]);
        let whole = "sum by (zone, target) (rate(tries_total{service_name=\"orders\",zone=~\"$zone\"}[1h]))";
        let part = whole.replace("$zone\"}", "$zone\",outcome=~\"ok\"}");
        let asked = ratio(rate(&TRIES).only("outcome", &["ok"]), rate(&TRIES)).by(&["target", "zone"]);
        assert_eq!(asked.promql_in(&scope), format!("{part} / {whole}"));
        assert_eq!(asked.labels(), ["target", "zone"]);
    }

    #[test]
    #[should_panic(expected = "not every series has a label `target`")]
    fn a_scope_holds_for_every_metric() {
        let _ = Scope::over("5m").only("target", "catalog");
    }

    #[test]
    #[should_panic(expected = "cannot be asked as one")]
    fn what_is_not_the_same_question_is_not_counted_as_one() {
        let _ = calls(&TOOK).and(quantile(0.5, &TOOK));
    }
}
