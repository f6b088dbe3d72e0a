//! How do callers see whom they call?
//!
//! From their side: a guard lives in the caller, and what a dependency says of itself cannot show that nobody asks
//! it any more.

use std::{collections::BTreeMap, fmt};

use super::openmetrics::Sample;

/// What callers have counted about one target, and how they stand to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Dependency {
    /// The worst that any caller's breaker says.
    pub(crate) breaker: Breaker,
    /// Attempts beyond the first.
    pub(crate) repeats: u64,
    /// Calls that a guard turned away before anything was sent.
    pub(crate) refusals: u64,
    /// Replies that were made without it.
    pub(crate) degraded: u64,
    /// The share of the budget for repeats that the poorest caller has left; `None` where nobody told.
    pub(crate) budget: Option<f64>,
}

/// Whether calls go through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Breaker {
    #[default]
    Closed,
    HalfOpen,
    Open,
}

/// Targets by name.
pub(crate) type Dependencies = BTreeMap<String, Dependency>;

impl Dependency {
    /// Adds what one sample says; the rest of the platform's is skipped.
    pub(super) fn read(all: &mut Dependencies, sample: &Sample<'_>) {
        let Some(target) = sample.label("target") else { return };
        let is = |name, values: &[&str]| sample.label(name).is_some_and(|value| values.contains(&value));
        let mut one = Dependency::default();
        match sample.kind {
            "client_attempts_total" if is("kind", &["retry", "hedge", "requeue"]) => {
                one.repeats = sample.count();
            }
            // Mode `observe` refuses nobody.
            "client_refusals_total" if is("mode", &["enforce"]) => one.refusals = sample.count(),
            "server_degraded_requests_total" => one.degraded = sample.count(),
            "retry_budget_ratio" => one.budget = Some(sample.value),
            "breaker_state" => one.breaker = Breaker::read(sample.value),
            _ => return,
        }
        all.entry(target.to_owned()).or_default().add(&one);
    }

    /// Adds another caller's.
    pub(super) fn add(&mut self, other: &Dependency) {
        self.breaker = self.breaker.max(other.breaker);
        self.repeats += other.repeats;
        self.refusals += other.refusals;
        self.degraded += other.degraded;
        self.budget = match (self.budget, other.budget) {
            (Some(mine), Some(others)) => Some(mine.min(others)),
            (mine, others) => mine.or(others),
        };
    }

    /// What remains true when the caller's process is gone: what it counted, not how it stood.
    pub(super) fn over(&self) -> Dependency {
        Dependency { breaker: Breaker::Closed, budget: None, ..self.clone() }
    }

    /// What the table says, in the order of [`HEADING`].
    pub(crate) fn texts(&self, target: &str) -> [String; 6] {
        [
            target.to_owned(),
            self.budget.map_or_else(|| "-".to_owned(), percent),
            self.breaker.to_string(),
            self.refusals.to_string(),
            self.repeats.to_string(),
            self.degraded.to_string(),
        ]
    }

    /// ` | ratings breaker open 7 refused 3 repeats budget 80% 9 degraded`; nothing where all is well.
    pub(crate) fn line(&self, target: &str) -> String {
        let mut parts = Vec::new();
        if self.breaker != Breaker::Closed {
            parts.push(format!("breaker {}", self.breaker));
        }
        let counts = [(self.refusals, "refused"), (self.repeats, "repeats"), (self.degraded, "degraded")];
        parts.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
        let poor = self.budget.map(percent).filter(|left| left != "100%");
        parts.extend(poor.map(|left| format!("budget {left}")));
        if parts.is_empty() { String::new() } else { format!(" | to {target}: {}", parts.join(" ")) }
    }
}

impl Breaker {
    fn read(state: f64) -> Self {
        match state {
            state if state >= 2.0 => Breaker::Open,
            state if state >= 1.0 => Breaker::HalfOpen,
            _ => Breaker::Closed,
        }
    }
}

impl fmt::Display for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Breaker::Closed => "closed",
            Breaker::HalfOpen => "half-open",
            Breaker::Open => "open",
        })
    }
}

fn percent(ratio: f64) -> String {
    format!("{:.0}%", ratio * 100.0)
}

/// What stands above the dependencies in the table.
pub(crate) const HEADING: [&str; 6] =
    ["the edge calls", "budget", "breaker", "refused", "repeats", "degraded"];

#[cfg(test)]
mod tests {
    use super::super::openmetrics::Counts;
    use super::*;

    /// Two edges in one text: the same series of two processes add up as the ledger adds them.
    const TEXT: &str = r#"platform_client_attempts_total{target="ratings",kind="first",outcome="ok"} 90
platform_client_attempts_total{target="ratings",kind="retry",outcome="server"} 2
platform_client_attempts_total{target="ratings",kind="hedge",outcome="ok"} 3
platform_client_attempts_total{target="ratings",kind="requeue",outcome="ok"} 4
platform_client_refusals_total{target="ratings",guard="breaker",mode="enforce"} 5
platform_client_refusals_total{target="ratings",guard="throttle",mode="enforce"} 1
platform_client_refusals_total{target="ratings",guard="concurrency",mode="observe"} 70
platform_retry_budget_ratio{target="ratings"} 0.804
platform_breaker_state{target="ratings"} 2.0
platform_server_degraded_requests_total{target="ratings"} 11
platform_breaker_state{target="catalog"} 1
platform_retry_budget_ratio{target="catalog"} 1.0
platform_discovery_endpoints{target="recommendations",state="ready"} 3
"#;

    #[test]
    fn what_callers_say_is_read_and_told() {
        let all = Counts::read(TEXT).dependencies;
        let texts = |target: &str| all[target].texts(target).join(" ");
        assert_eq!(texts("ratings"), "ratings 80% open 6 9 11");
        assert_eq!(texts("catalog"), "catalog 100% half-open 0 0 0");
        assert!(!all.contains_key("recommendations"), "nothing of a dependency was told");
        assert_eq!(
            all["ratings"].line("ratings"),
            " | to ratings: breaker open 6 refused 9 repeats 11 degraded budget 80%"
        );
        assert_eq!(all["catalog"].line("catalog"), " | to catalog: breaker half-open");
        assert_eq!(Dependency::default().line("ratings"), "");
        assert_eq!(Dependency { budget: Some(1.0), ..Dependency::default() }.line("ratings"), "");
    }

    #[test]
    fn the_worst_caller_is_shown_and_the_dead_say_nothing_of_now() {
        use Breaker::{Closed, HalfOpen, Open};
        for (breakers, budgets, worst, least) in [
            ([Closed, Open], [Some(0.5), Some(0.2)], Open, Some(0.2)),
            ([HalfOpen, Closed], [None, Some(0.9)], HalfOpen, Some(0.9)),
            ([Closed, Closed], [None, None], Closed, None),
        ] {
            let of = |n: usize| Dependency {
                breaker: breakers[n],
                budget: budgets[n],
                repeats: 3,
                refusals: 2,
                degraded: 1,
            };
            let mut sum = of(0);
            sum.add(&of(1));
            assert_eq!((sum.breaker, sum.budget), (worst, least));
            assert_eq!((sum.repeats, sum.refusals, sum.degraded), (6, 4, 2));
            let over = sum.over();
            assert_eq!((over.breaker, over.budget, over.repeats), (Closed, None, 6));
        }
    }
}
