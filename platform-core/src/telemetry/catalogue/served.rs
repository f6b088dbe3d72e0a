//! What does a service do for its callers?
//!
//! The golden signals and every objective are asked of the same series, so that a board and an alert cannot disagree.
//! Each protocol says what its requests are and which of them were failed; a service that speaks several is judged by
//! all of them together.

use std::time::Duration;

use super::{Declared, Expr, HistogramSpec, Labels, Spec as _, expr::Ask};

/// The requests of one protocol, or of several.
#[derive(Clone, Debug, PartialEq)]
pub struct Served(Vec<Protocol>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Protocol {
    durations: Declared,
    label: &'static str,
    failed: &'static [&'static str],
}

impl Served {
    /// Requests whose durations are `durations`. The service failed those whose `label` begins with one of `failed`:
    /// what its callers did wrong is not among them.
    ///
    /// # Panics
    /// When the metric has no such label.
    #[track_caller]
    pub fn over<L: Labels>(
        durations: &HistogramSpec<L>,
        label: &'static str,
        failed: &'static [&'static str],
    ) -> Self {
        let durations = durations.declared();
        assert!(durations.labels.contains(&label), "`{}` has no label `{label}`", durations.name);
        Served(vec![Protocol { durations, label, failed }])
    }

    /// With those of another protocol.
    #[must_use]
    pub fn and(mut self, other: Served) -> Self {
        self.0.extend(other.0);
        self
    }

    /// How many requests a second there are.
    pub fn requests(&self) -> Expr {
        self.all(|one| Expr::series(one.durations, Ask::Calls))
    }

    /// How many of them a second the service failed.
    pub fn failures(&self) -> Expr {
        self.all(|one| Expr::series(one.durations, Ask::Calls).beginning(one.label, one.failed))
    }

    /// How many of them a second it answered. A failure is often fast, and no reason to call a service fast.
    pub fn answers(&self) -> Expr {
        self.all(|one| Expr::series(one.durations, Ask::Calls).not_beginning(one.label, one.failed))
    }

    /// How many of those a second it answered within `bound`, which has to be one of the histograms' bounds.
    pub fn in_time(&self, bound: Duration) -> Expr {
        self.all(|one| Expr::series(one.durations, Ask::Within(bound)).not_beginning(one.label, one.failed))
    }

    /// The duration that `share` of the requests stay within.
    pub fn quantile(&self, share: f64) -> Expr {
        self.all(|one| Expr::series(one.durations, Ask::Quantile(share)))
    }

    fn all(&self, ask: impl Fn(&Protocol) -> Expr) -> Expr {
        let asked = self.0.iter().map(ask).reduce(Expr::and);
        asked.expect("`over` makes one, and nothing takes any away")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Status;

    impl Labels for Status {
        const NAMES: &'static [&'static str] = &["status"];

        fn each_value(&self, _show: &mut dyn FnMut(&str)) {}
    }

    static PAGES: HistogramSpec<Status> = HistogramSpec::new("pages_seconds", "Pages");
    static CALLS: HistogramSpec<Status> = HistogramSpec::new("calls_seconds", "Calls");

    #[test]
    fn what_is_served_over_two_protocols_is_judged_as_one() {
        let served =
            Served::over(&PAGES, "status", &["5"]).and(Served::over(&CALLS, "status", &["INTERNAL"]));
        let asked = [
            (served.requests(), "sum(rate(pages_seconds_count[1m]) or rate(calls_seconds_count[1m]))"),
            (
                served.failures(),
                "sum(rate(pages_seconds_count{status=~\"5.*\"}[1m]) or \
                 rate(calls_seconds_count{status=~\"INTERNAL.*\"}[1m]))",
            ),
            (
                served.in_time(Duration::from_millis(300)),
                "sum(rate(pages_seconds_bucket{status!~\"5.*\",le=\"0.3\"}[1m]) or \
                 rate(calls_seconds_bucket{status!~\"INTERNAL.*\",le=\"0.3\"}[1m]))",
            ),
            (
                served.quantile(0.5),
                "histogram_quantile(0.5, sum by (le) \
                 (rate(pages_seconds_bucket[1m]) or rate(calls_seconds_bucket[1m])))",
            ),
        ];
        for (expr, expected) in asked {
            assert_eq!(expr.promql("1m"), expected);
        }
    }

    #[test]
    #[should_panic(expected = "`pages_seconds` has no label `code`")]
    fn what_was_failed_is_told_by_a_label_that_there_is() {
        let _ = Served::over(&PAGES, "code", &["5"]);
    }
}
