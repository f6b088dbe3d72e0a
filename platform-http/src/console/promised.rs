//! Promised: how fast is what may go wrong used up now?
//!
//! The alerts look at hours and days. Whoever was woken looks at the last two minutes, and wants to see at once whether
//! what was done about it helps.

use std::collections::VecDeque;

use platform_core::{
    Outcome,
    ops::Latency,
    telemetry::{Histogram, Metrics},
};
use serde_json::{Value, json};

use super::{
    state::each_served,
    tally::{History, LINE},
};

/// Answers of each second, and those of them that were not in time.
#[derive(Debug, Default)]
pub(super) struct Late {
    before: Option<[u64; 2]>,
    line: VecDeque<[u64; 2]>,
}

impl Late {
    /// A second is over, and so much was counted by now.
    pub(super) fn push(&mut self, counted: [u64; 2]) {
        if let Some(before) = self.before.replace(counted) {
            self.line.push_back([0, 1].map(|at| counted[at].saturating_sub(before[at])));
        }
        while self.line.len() > LINE {
            self.line.pop_front();
        }
    }

    /// How fast the last two minutes spent what may be late.
    pub(super) fn burn(&self, latency: Latency) -> Value {
        let mut shown = spent(&self.line, latency.share.as_f64());
        shown["bound_ms"] = json!(latency.bound.as_secs_f64() * 1e3);
        shown
    }
}

/// How fast the last two minutes spent what an availability objective allows to fail.
pub(super) fn burn(history: &History, objective: f64) -> Value {
    spent(history.line(), objective)
}

/// Answers since the start, and those that took longer than `latency` promises, as the rules count them: a failure is
/// no answer.
pub(super) fn answers(metrics: &Metrics, latency: Latency) -> [u64; 2] {
    let mut counted = [0; 2];
    each_served(metrics, &mut |outcome, histogram: &Histogram| {
        if matches!(outcome, Outcome::ServerFault | Outcome::Timeout) {
            return;
        }
        let in_time = histogram.bounds().take_while(|bound| *bound <= latency.bound).count();
        let counts = histogram.counts();
        counted[0] += counts.iter().sum::<u64>();
        counted[1] += counts.iter().skip(in_time).sum::<u64>();
    });
    counted
}

/// At 1 it lasts exactly as long as it is meant to.
fn spent(line: &VecDeque<[u64; 2]>, objective: f64) -> Value {
    let sum = |at: usize| line.iter().map(|second| second[at]).sum::<u64>() as f64;
    let burn = sum(1) / sum(0).max(1.0) / (1.0 - objective).max(f64::EPSILON);
    json!({ "objective": objective, "rate": (burn * 10.0).round() / 10.0, "seconds": line.len() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use platform_core::{
        config::Ratio,
        identity::Identity,
        telemetry::catalogue::{HistogramSpec, Labels},
    };
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_failure_in_a_hundred_burns_ten_times_what_three_nines_allow() {
        let mut history = History::default();
        for second in 0..4_u64 {
            let counts = json!({ "outcomes": { "ok": 99 * second, "server": second } });
            let tally = serde_json::from_value(counts).unwrap();
            history.push(Instant::now() + Duration::from_secs(second), tally);
        }
        assert_eq!(burn(&history, 0.999), json!({ "objective": 0.999, "rate": 10.0, "seconds": 3 }));
        assert_eq!(burn(&History::default(), 0.999)["rate"], 0.0);
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Status(&'static str);

    impl Labels for Status {
        const NAMES: &'static [&'static str] = &["http_response_status_code"];

        fn each_value(&self, show: &mut dyn FnMut(&str)) {
            show(self.0);
        }
    }

    #[test]
    fn slow_answers_burn_and_slow_failures_do_not() {
        static SERVED: HistogramSpec<Status> =
            HistogramSpec::new("http_server_request_duration_seconds", "Served");
        let metrics = Metrics::new(&Identity::default());
        let family = metrics.histogram(&SERVED);
        let latency = Latency { bound: Duration::from_millis(250), share: Ratio::of(0.99) };
        let mut late = Late::default();
        late.push(answers(&metrics, latency));
        for (status, millis, times) in [("200", 250, 92), ("404", 7, 4), ("200", 300, 4), ("503", 900, 50)] {
            (0..times)
                .for_each(|_| family.with(&Status(status)).observe(Duration::from_millis(millis), None));
        }
        assert_eq!(answers(&metrics, latency), [100, 4]);
        late.push(answers(&metrics, latency));
        let wanted = json!({ "objective": 0.99, "rate": 4.0, "seconds": 1, "bound_ms": 250.0 });
        assert_eq!(late.burn(latency), wanted);
        (0..200).for_each(|_| late.push([100, 4]));
        assert_eq!((&late.burn(latency)["rate"], late.line.len()), (&json!(0.0), LINE));
    }
}
