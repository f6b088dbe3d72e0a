//! When does an objective wake somebody?
//!
//! Multi-window, multi-burn-rate alerts as in Google's SRE workbook. An objective of 99.9 % leaves a budget of one
//! failure in a thousand. Burning it 14.4 times as fast as a period of 30 days allows spends 2 % of it in an hour, and
//! that is worth a night's sleep; burning it steadily to its end is worth a look in the morning. Each alert asks a long
//! window, so that it is no blip, and a short one, so that it is still so.

use std::time::Duration;

use serde_json::{Value, json};

use super::objectives::{Latency, Objectives, budget};
use crate::{
    config::{Ratio, duration},
    telemetry::catalogue::{Expr, Scope, Served},
};

/// Two windows, and how fast the budget has to burn over both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Wakes somebody; otherwise it waits for the morning.
    pub page: bool,
    /// The longer window, in seconds.
    pub long: u64,
    /// The shorter window, in seconds.
    pub short: u64,
    /// Tenths of the speed at which the budget would last for the period.
    pub tenths: u64,
}

/// Of the workbook, for 30 days: 2 % of the budget in an hour and 5 % in six hours are pages, 10 % in one day and in
/// three are tickets. Both pairs of a severity are one alert.
pub const PAIRS: [Pair; 4] = [
    Pair { page: true, long: HOUR, short: 5 * MINUTE, tenths: 144 },
    Pair { page: true, long: 6 * HOUR, short: 30 * MINUTE, tenths: 60 },
    Pair { page: false, long: 24 * HOUR, short: 2 * HOUR, tenths: 30 },
    Pair { page: false, long: 72 * HOUR, short: 6 * HOUR, tenths: 10 },
];

/// One promise, ready to be asked.
pub(super) struct Asked {
    pub(super) name: &'static str,
    /// What it is about, in a sentence's middle.
    pub(super) about: String,
    share: Ratio,
    good: Option<Expr>,
    bad: Option<Expr>,
    all: Expr,
}

impl Asked {
    /// Every promise, asked of what is served.
    pub(super) fn all(objectives: &Objectives, served: &Served) -> Vec<Asked> {
        let availability = objectives.availability.map(|share| Asked {
            name: "availability",
            about: format!("{} of requests are not failed", percent(share)),
            share,
            good: None,
            bad: Some(served.failures()),
            all: served.requests(),
        });
        let latency = objectives.latency.map(|Latency { bound, share }| Asked {
            name: "latency",
            about: format!(
                "{} of answers take at most {}",
                percent(share),
                duration::format(bound).unwrap_or_else(|_| format!("{bound:?}"))
            ),
            share,
            good: Some(served.in_time(bound)),
            bad: None,
            all: served.answers(),
        });
        availability.into_iter().chain(latency).collect()
    }

    /// The rules that record what the alerts ask, for windows that are shortened by `shorten`.
    ///
    /// The raw series are read over the shortest window alone. What a longer one needs is the mean of those readings,
    /// weighted by the traffic because the ratio is taken of the means; three days of every histogram would be read
    /// again each minute otherwise.
    pub(super) fn records(&self, service: &str, shorten: u64) -> Vec<Value> {
        let base = window(SHORTEST / shorten);
        let scope = Scope::over(&base).only("service_name", service).by(&["service_name"]);
        let all = self.all.promql_in(&scope);
        let bad = match (&self.bad, &self.good) {
            // Where nothing has failed yet there is no series of failures.
            (Some(bad), _) => format!("{} or {all} * 0", bad.promql_in(&scope)),
            (None, Some(good)) => format!("{all} - {}", good.promql_in(&scope)),
            (None, None) => format!("{all} * 0"),
        };
        let record = |name: String, expr: String| json!({ "record": name, "expr": expr, "labels": { "slo": self.name } });
        let of = |name: &str| format!("{name}{}", self.selector(service));
        let mut rules =
            vec![record(format!("{REQUESTS}:rate"), all), record(format!("{FAILURES}:rate"), bad)];
        for length in windows() {
            let over = window(length / shorten);
            let mean = |name: &str| format!("avg_over_time({}[{over}])", of(&format!("{name}:rate")));
            rules.push(record(
                format!("{FAILURES}:ratio_{}", window(length)),
                format!("{} / {}", mean(FAILURES), mean(REQUESTS)),
            ));
        }
        let hour = of(&format!("{FAILURES}:ratio_1h"));
        rules.push(record(BURN.to_owned(), format!("{hour} / {}", decimal(budget(self.share) * TEN))));
        rules
    }

    /// The condition of the page, or of the ticket; `None` if it could never hold.
    pub(super) fn condition(
        &self,
        service: &str,
        page: bool,
        min_failures: u32,
        shorten: u64,
    ) -> Option<String> {
        let selector = self.selector(service);
        let pairs = PAIRS.iter().filter(|pair| pair.page == page && pair.lives(budget(self.share)));
        let conditions: Vec<String> = pairs
            .map(|pair| {
                let bound = decimal(pair.tenths * budget(self.share));
                let [long, short] = [pair.long, pair.short].map(window);
                // Step by step, so that what was before the first reading counts as nothing: the mean of a service
                // that is a minute old would make five failures of one.
                let step = STEP / shorten;
                let over = format!("{}:{}", window(pair.long / shorten), window(step));
                let failures = format!("sum_over_time({FAILURES}:rate{selector}[{over}]) * {step}");
                format!(
                    "({FAILURES}:ratio_{long}{selector} > {bound} and {FAILURES}:ratio_{short}{selector} > {bound} \
                     and {failures} >= {min_failures})"
                )
            })
            .collect();
        (!conditions.is_empty()).then(|| conditions.join(" or "))
    }

    /// Which pairs could never hold, for whoever wonders where they are.
    pub(super) fn notes(&self) -> Vec<String> {
        let dead = PAIRS.iter().filter(|pair| !pair.lives(budget(self.share)));
        dead.map(|pair| {
            format!(
                "{}: no {} for the windows {} and {}: {} times the budget of {} is more than every request",
                self.name,
                if pair.page { "page" } else { "ticket" },
                window(pair.long),
                window(pair.short),
                decimal(pair.tenths * MILLION),
                decimal(budget(self.share) * TEN),
            )
        })
        .collect()
    }

    /// Who fails the most right now, of the values of `label`.
    pub(super) fn worst(&self, service: &str, label: &'static str, shorten: u64) -> String {
        let scope = Scope::over(window(SHORTEST / shorten)).only("service_name", service).by(&[label]);
        let all = self.all.promql_in(&scope);
        match (&self.bad, &self.good) {
            (Some(bad), _) => format!("topk(1, {})", bad.promql_in(&scope)),
            (None, Some(good)) => format!("topk(1, {all} - {})", good.promql_in(&scope)),
            (None, None) => format!("topk(1, {all})"),
        }
    }

    fn selector(&self, service: &str) -> String {
        format!("{{service_name=\"{service}\",slo=\"{}\"}}", self.name)
    }
}

impl Pair {
    /// Could it ever hold for a budget of so many millionths? Not if more than every request would have to fail.
    pub fn lives(&self, budget: u64) -> bool {
        self.tenths * budget < TEN * MILLION
    }
}

/// Could any pair of the page (or the ticket) ever hold?
pub(super) fn lives(budget: u64, page: bool) -> bool {
    PAIRS.iter().any(|pair| pair.page == page && pair.lives(budget))
}

/// Every window that alerts ask, rising.
fn windows() -> Vec<u64> {
    let mut all: Vec<u64> = PAIRS.iter().flat_map(|pair| [pair.short, pair.long]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A length in PromQL, in its largest whole unit.
pub(super) fn window(seconds: u64) -> String {
    let seconds = seconds.max(1);
    match seconds {
        s if s.is_multiple_of(24 * HOUR) => format!("{}d", s / (24 * HOUR)),
        s if s.is_multiple_of(HOUR) => format!("{}h", s / HOUR),
        s if s.is_multiple_of(MINUTE) => format!("{}m", s / MINUTE),
        s => format!("{s}s"),
    }
}

/// Ten-millionths as a decimal number without its last zeros: 144000 is 0.0144.
fn decimal(ten_millionths: u64) -> String {
    let text = format!("{}.{:07}", ten_millionths / (TEN * MILLION), ten_millionths % (TEN * MILLION));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn percent(share: Ratio) -> String {
    format!("{} %", decimal((MILLION - budget(share)) * TEN * 100))
}

/// The period that a budget is for, in words.
pub(super) const PERIOD: &str = "30 days";
/// How fast the budget burns: 1 is on time. Boards show it.
pub(super) const BURN: &str = "platform:slo_burn:ratio_1h";
const REQUESTS: &str = "platform:slo_requests";
const FAILURES: &str = "platform:slo_failures";
const TEN: u64 = 10;
pub(super) const MILLION: u64 = 1_000_000;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const SHORTEST: u64 = 5 * MINUTE;
/// A fifth of the shortest window: fine enough to count failures by.
const STEP: u64 = MINUTE;

/// How long a drill's windows may at least be; a rate needs two scrapes.
pub(super) const LEAST_WINDOW: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_exact_decimals() {
        for (share, tenths, bound) in
            [(0.999, 144, "0.0144"), (0.999, 10, "0.001"), (0.9995, 60, "0.003"), (0.99999, 10, "0.00001")]
        {
            assert_eq!(decimal(tenths * budget(Ratio::of(share))), bound);
        }
        assert_eq!(percent(Ratio::of(0.9995)), "99.95 %");
        assert_eq!([300, 3600, 259_200, 90].map(window), ["5m", "1h", "3d", "90s"]);
    }

    #[test]
    fn what_could_never_hold_is_left_out_and_said() {
        let alive = |share| PAIRS.map(|pair| pair.lives(budget(Ratio::of(share))));
        assert_eq!(alive(0.999), [true; 4]);
        assert_eq!(alive(0.931), [true; 4]);
        assert_eq!(alive(0.93), [false, true, true, true]);
        assert_eq!(alive(0.83), [false, false, true, true]);
    }
}
