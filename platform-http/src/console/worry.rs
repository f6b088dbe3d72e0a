//! Worry: what is not well here, in words, worst first.

use platform_core::lifecycle::{Need, Report};
use serde::Serialize;
use serde_json::Value;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Worry {
    pub(super) level: Level,
    /// What it is about: `served`, `ready`, or a target.
    pub(super) about: String,
    pub(super) text: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Callers are being failed.
    Bad,
    /// Something is broken, and what protects callers from it works.
    Warn,
    /// Something is meant to be so.
    Note,
}

/// Everything that is not well with a process that looks like this.
pub(super) fn worries(ready: &Report, served: &Value, targets: &[Value], faults: &Value) -> Vec<Worry> {
    let mut all = Vec::new();
    let mut tell = |level, about: &str, text: String| {
        all.push(Worry { level, about: about.to_owned(), text });
    };
    match ready.phase {
        "ready" => {}
        phase => tell(Level::Warn, "ready", format!("this process is {phase} and takes no new traffic")),
    }
    for check in ready.checks.iter().filter(|check| !check.ok) {
        let level = if check.need == Need::Required { Level::Bad } else { Level::Warn };
        tell(level, "ready", format!("check {} fails: {}", check.name, check.reason));
    }
    if let Some(level) = failing(served) {
        tell(level, "served", format!("{} of the requests served fail", share(served)));
    }
    for target in targets {
        let name = target["target"].as_str().unwrap_or_default();
        if let Some(level) = failing(target) {
            // What is repeated with success is no failure of a call, so here callers have felt it.
            tell(level, name, format!("{} of the calls to {name} fail", share(target)));
        }
        for breaker in target["breakers"].as_array().into_iter().flatten() {
            let (mode, state) = (breaker["mode"].as_str(), breaker["state"].as_str().unwrap_or_default());
            if !is_calm(state) {
                let (level, would) = match mode {
                    Some("enforce") => (Level::Bad, ""),
                    _ => (Level::Note, ", and only watched"),
                };
                tell(level, name, format!("breaker of {name} is {state}{would}"));
            }
        }
        if let Some(left) = target["budget"].as_f64().filter(|left| *left < NEARLY_SPENT) {
            let left = (left * 100.0).round();
            tell(Level::Warn, name, format!("{left} % of the budget for repeats to {name} is left"));
        }
        known(&target["known"], name, &mut tell);
    }
    for fault in faults["faults"].as_array().into_iter().flatten() {
        let word = |key: &str| fault[key].as_str().unwrap_or_default();
        let (name, effect, target) = (word("name"), word("effect"), word("target"));
        tell(Level::Note, target, format!("on purpose: fault {name} ({effect}) on {target}"));
    }
    // Stable: what is equally bad stays in the order of the questions.
    all.sort_by_key(|worry| worry.level);
    all
}

/// What discovery says of a target.
fn known(known: &Value, name: &str, tell: &mut impl FnMut(Level, &str, String)) {
    if known.is_null() {
        return;
    }
    let count = |state: &str| known[state].as_u64().unwrap_or_default();
    if count("ready") == 0 {
        tell(Level::Bad, name, format!("nobody answers for {name}: no instance is ready"));
    }
    for (key, text) in [
        ("failing", "cannot be looked up"),
        ("suspect", "has an answer that is not believed yet"),
        ("panic", "is in panic: all are asked"),
    ] {
        if let Some(why) = known[key].as_str() {
            tell(Level::Warn, name, format!("{name} {text}: {why}"));
        }
    }
    let (out, missing) = (count("ejected"), count("connecting"));
    if out > 0 {
        tell(Level::Warn, name, format!("{out} of {} instances of {name} left out", known["all"]));
    }
    if missing > 0 {
        tell(Level::Warn, name, format!("{missing} of {} instances of {name} not connected", known["all"]));
    }
}

/// Does it look at nothing and refuse nothing?
fn is_calm(breaker: &str) -> bool {
    breaker == "closed"
}

/// Does a breaker in this state keep calls back?
pub(super) fn refuses(breaker: &str) -> bool {
    ["open", "half-open", "held open"].iter().any(|state| breaker.starts_with(state))
}

fn failing(shown: &Value) -> Option<Level> {
    let count = |key: &str| shown[key].as_f64().unwrap_or_default();
    let (calls, failed) = (count("calls"), count("failed"));
    if calls < FEW || failed < SOME * calls {
        return None;
    }
    Some(if failed < MANY * calls { Level::Warn } else { Level::Bad })
}

/// `3.2 %`.
fn share(shown: &Value) -> String {
    let count = |key: &str| shown[key].as_f64().unwrap_or_default();
    format!("{:.1} %", 100.0 * count("failed") / count("calls").max(1.0))
}

/// Fewer calls in a window say nothing about shares.
const FEW: f64 = 10.0;
/// Ten times what an objective of 99.9 % allows.
const SOME: f64 = 0.01;
/// Whoever looks has found the outage.
const MANY: f64 = 0.1;
/// Repeats are about to stop.
const NEARLY_SPENT: f64 = 0.1;

#[cfg(test)]
mod tests {
    use platform_core::lifecycle::Finding;
    use serde_json::json;

    use super::*;

    fn report(phase: &'static str, checks: Vec<Finding>) -> Report {
        Report { ok: true, phase, checks }
    }

    fn told(ready: &Report, served: &Value, target: Value, faults: &Value) -> Vec<(Level, String)> {
        let all = worries(ready, served, &[target], faults);
        all.into_iter().map(|worry| (worry.level, worry.text)).collect()
    }

    #[test]
    fn who_is_well_worries_nobody() {
        let target = json!({
            "target": "catalog", "calls": 1_000, "failed": 9, "budget": 1.0,
            "breakers": [{ "mode": "enforce", "state": "closed" }],
            "known": { "all": 2, "ready": 2, "ejected": 0, "connecting": 0, "failing": null },
        });
        let few = json!({ "calls": 9, "failed": 9 });
        assert_eq!(told(&report("ready", vec![]), &few, target, &json!({ "faults": [] })), []);
    }

    #[test]
    fn the_worst_is_told_first() {
        let checks = vec![Finding {
            name: "cache".to_owned(),
            ok: false,
            need: Need::Optional,
            reason: "slow".to_owned(),
        }];
        let target = json!({
            "target": "catalog", "calls": 100, "failed": 20, "budget": 0.02,
            "breakers": [{ "mode": "enforce", "state": "open since 3 s" }, { "mode": "observe", "state": "open" }],
            "known": { "all": 3, "ready": 0, "ejected": 2, "connecting": 1, "failing": "no route" },
        });
        let faults = json!({ "faults": [{ "name": "drill", "effect": "abort=503", "target": "catalog" }] });
        let told = told(&report("draining", checks), &json!({ "calls": 100, "failed": 1 }), target, &faults);
        let expected = [
            (Level::Bad, "20.0 % of the calls to catalog fail"),
            (Level::Bad, "breaker of catalog is open since 3 s"),
            (Level::Bad, "nobody answers for catalog: no instance is ready"),
            (Level::Warn, "this process is draining and takes no new traffic"),
            (Level::Warn, "check cache fails: slow"),
            (Level::Warn, "1.0 % of the requests served fail"),
            (Level::Warn, "2 % of the budget for repeats to catalog is left"),
            (Level::Warn, "catalog cannot be looked up: no route"),
            (Level::Warn, "2 of 3 instances of catalog left out"),
            (Level::Warn, "1 of 3 instances of catalog not connected"),
            (Level::Note, "breaker of catalog is open, and only watched"),
            (Level::Note, "on purpose: fault drill (abort=503) on catalog"),
        ];
        let expected: Vec<_> = expected.iter().map(|(level, text)| (*level, (*text).to_owned())).collect();
        assert_eq!(told, expected);
    }
}
