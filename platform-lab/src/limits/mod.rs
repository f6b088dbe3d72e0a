//! Which rule finds the limit of what a target can bear?
//!
//! Simulated targets with slots and a queue, in virtual time: the platform's own rule beside two that others use,
//! each behind the same trait and in the same frame (windows, a start without refusals), so that only the rule
//! differs. Three seeds; of each figure the worst is shown.

mod rules;
mod target;

use platform_core::{
    Result,
    admission::concurrency::{Algorithm, Queue},
    testing::Second,
};

use self::{
    rules::{Aimd, Gradient2},
    target::Scene,
};
use crate::{
    options::Options,
    table::{Report, Table},
};

/// Runs every scene under every rule.
///
/// # Errors
/// None; as the other measurements.
#[expect(clippy::unnecessary_wraps, reason = "one shape for all measurements")]
pub(crate) fn run(_options: &Options) -> Result<Report> {
    let mut report = Report {
        table: Table::new(&["scene", "rule", "refused %", "served %", "p50 ms", "p99 ms", "highest limit"]),
        remarks: vec![
            "served: of what was offered, or of the capacity where more was offered than that.".into(),
            "Healthy scenes want 0 refused; overloads want all that the target can do, at a latency that somebody \
             waits for."
                .into(),
            "AIMD and Gradient2 have Netflix' constants and are asked once a window here, where theirs are asked for \
             each call."
                .into(),
        ],
        results: Vec::new(),
    };
    for scene in Scene::all() {
        let rows = [
            ("platform", worst(&scene, Queue::new)),
            ("AIMD", worst(&scene, || Aimd)),
            ("Gradient2", worst(&scene, Gradient2::default)),
        ];
        for (rule, told) in rows {
            report.table.row(vec![
                scene.name.to_owned(),
                rule.to_owned(),
                format!("{:.1}", told.refused * 100.0),
                format!("{:.1}", told.served * 100.0),
                format!("{:.0}", told.p50),
                format!("{:.0}", told.p99),
                told.highest.to_string(),
            ]);
            let key = format!("limits_{}_{}_served", scene.key, rule.to_lowercase());
            report.results.push((key, format!("{:.3}", told.served)));
        }
    }
    Ok(report)
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
struct Told {
    refused: f64,
    served: f64,
    p50: f64,
    p99: f64,
    highest: u32,
}

/// Of each figure the worst that a seed came to.
fn worst<A: Algorithm>(scene: &Scene, rule: impl Fn() -> A) -> Told {
    let told = SEEDS.map(|seed| tell(scene, &scene.run(rule(), seed)));
    told.into_iter().reduce(Told::worse).expect("there are three seeds")
}

impl Told {
    fn worse(self, other: Told) -> Told {
        Told {
            refused: self.refused.max(other.refused),
            served: self.served.min(other.served),
            p50: self.p50.max(other.p50),
            p99: self.p99.max(other.p99),
            highest: self.highest.max(other.highest),
        }
    }
}

fn tell(scene: &Scene, seconds: &[Second]) -> Told {
    let seconds = &seconds[scene.judged_from..];
    let sum = |of: fn(&Second) -> u32| seconds.iter().map(of).sum::<u32>();
    let (offered, refused, done) = (sum(|s| s.offered), sum(|s| s.refused), sum(|s| s.done));
    let capacity = scene.capacity() * seconds.len() as f64;
    let mut latencies: Vec<f64> = seconds.iter().flat_map(|second| &second.latencies).copied().collect();
    latencies.sort_unstable_by(f64::total_cmp);
    let quantile = |q: f64| latencies.get((latencies.len() as f64 * q) as usize).copied().unwrap_or(0.0);
    Told {
        refused: f64::from(refused) / f64::from(offered.max(1)),
        served: f64::from(done) / f64::from(offered.max(1)).min(capacity),
        p50: quantile(0.5),
        p99: quantile(0.99),
        highest: seconds.iter().map(|second| second.limit).max().unwrap_or(0),
    }
}

/// As the storms'.
const SEEDS: [u64; 3] = [1, 2, 3];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platforms_rule_refuses_no_healthy_service_anything_and_serves_what_an_overloaded_one_can() {
        for scene in Scene::all() {
            let told = worst(&scene, Queue::new);
            if scene.is_healthy() {
                assert!(told.refused == 0.0, "{}: {told:?}", scene.name);
            } else {
                assert!(told.served >= 0.9, "{}: {told:?}", scene.name);
            }
        }
    }

    #[test]
    fn a_run_counts_every_call_once() {
        let scene = &Scene::all()[0];
        let seconds = scene.run(Aimd, 1);
        let sum = |of: fn(&Second) -> u32| seconds.iter().map(of).sum::<u32>();
        let (offered, ended) = (sum(|s| s.offered), sum(|s| s.refused + s.done + s.late));
        // What was under way when the time was up has not ended.
        assert!(ended <= offered && offered - ended < 200, "{offered} {ended}");
    }
}
