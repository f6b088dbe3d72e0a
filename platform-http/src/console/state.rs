//! State: what one process shows of itself, as data.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use platform_core::{
    Outcome,
    lifecycle::Report,
    observe::CALL_DURATION,
    stack::Targets,
    telemetry::{Histogram, LabelPair, Metrics, catalogue::Spec as _},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Console,
    promised::{answers, burn},
    tally::{History, Tally},
    worry::worries,
};

impl Console {
    /// Reads what was counted by `now`.
    pub(super) fn look(&self, now: Instant) {
        let metrics = self.app.metrics();
        let (served, mut called) = (served(metrics), called(metrics));
        // A target that was never called has no series, which is a count of 0.
        for parts in Targets::of(&self.app).called(None).unwrap_or_default() {
            called.entry(parts.target().to_string()).or_default();
        }
        let usage = self.process.usage();
        let mut past = self.past();
        past.served.push(now, served);
        if let Some(latency) = self.app.objectives().latency {
            past.late.push(answers(metrics, latency));
        }
        past.called.retain(|target, _| called.contains_key(target));
        for (target, tally) in called {
            past.called.entry(target).or_default().push(now, tally);
        }
        if let Some(used) = usage.cpu_seconds {
            let before = past.cpu.replace((now, used));
            past.cpu_share = before.map(|(then, before)| {
                ((used - before) / (now - then).as_secs_f64().max(f64::MIN_POSITIVE)).max(0.0)
            });
        }
    }

    /// What the page shows.
    pub(super) fn now(&self, ready: &Report) -> Value {
        let targets = self.targets();
        let faults = self.rooms.faults();
        let promised = self.app.objectives();
        let (served, burn, late, cpu) = {
            let past = self.past();
            let burn = promised.availability.map(|share| burn(&past.served, share.as_f64()));
            let late = promised.latency.map(|latency| past.late.burn(latency));
            (shown(&past.served), burn, late, past.cpu_share)
        };
        let memory = self.process.usage().resident_bytes;
        let zones = zones(&targets);
        let mut servers = self.rooms.view("stack");
        servers.retain(|page| page["server"].is_string());
        let changes: Vec<_> = self.app.changes().latest().into_iter().take(CHANGES).collect();
        let worries = worries(ready, &served, &targets, &faults);
        json!({
            "now_unix_ms": unix_ms(SystemTime::now()),
            "info": self.rooms.info(),
            "ready": ready,
            "worries": worries,
            "served": served,
            "burn": burn,
            "latency_burn": late,
            "in_flight": crate::server::in_flight(self.app.metrics()),
            "cpu": cpu.map(|share| (share * 1_000.0).round() / 1_000.0),
            "memory_bytes": memory,
            "targets": targets,
            "servers": servers,
            "zones": zones,
            "changes": changes,
            "faults": faults,
        })
    }

    /// Each target: what its callers felt, what protects them, and what discovery knows.
    fn targets(&self) -> Vec<Value> {
        let now = Instant::now();
        let parts = Targets::of(&self.app).called(None).unwrap_or_default();
        let mut all: BTreeMap<String, Value> = {
            let past = self.past();
            past.called.iter().map(|(target, history)| (target.clone(), shown(history))).collect()
        };
        for parts in &parts {
            entry(&mut all, parts.target())["budget"] = json!(parts.budget_left(now));
        }
        for client in self.rooms.view("stack") {
            // A server's page stands in the same list.
            let Some(target) = client["target"].as_str() else { continue };
            let target = entry(&mut all, target);
            let rows = client["layers"].as_array().cloned().unwrap_or_default();
            if let Some(breaker) = rows.iter().find(|row| row["layer"] == "breaker") {
                let breaker = &breaker["settings"];
                push(target, "breakers", json!({ "mode": breaker["mode"], "state": breaker["state"] }));
            }
            push(target, "clients", Value::Array(rows));
        }
        for view in self.rooms.view("targets") {
            entry(&mut all, view["target"].as_str().unwrap_or_default())["known"] = known(&view);
        }
        all.into_iter()
            .map(|(name, mut target)| {
                target["target"] = json!(name);
                target
            })
            .collect()
    }
}

/// What a client's endpoints come to, and each that is not well.
fn known(view: &Value) -> Value {
    let endpoints = view["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is = |endpoint: &Value, key: &str| endpoint[key] == true;
    let draining = |endpoint: &Value| endpoint["state"] == "draining";
    let well =
        |endpoint: &&Value| !draining(endpoint) && !is(endpoint, "ejected") && !is(endpoint, "connecting");
    let count = |wanted: &dyn Fn(&&Value) -> bool| endpoints.iter().filter(|one| wanted(one)).count();
    let by = |key: &str| {
        let mut by: BTreeMap<&str, usize> = BTreeMap::new();
        for endpoint in endpoints {
            *by.entry(endpoint[key].as_str().unwrap_or_default()).or_default() += 1;
        }
        json!(by)
    };
    let unwell = endpoints.iter().filter(|one| !well(one) || one["sick"].is_string()).take(UNWELL);
    let unwell = unwell.map(|one| {
        let keys =
            ["instance", "address", "admin", "zone", "version", "state", "ejected", "connecting", "sick"];
        Value::Object(keys.iter().map(|key| ((*key).to_owned(), one[*key].clone())).collect())
    });
    let mut known = json!({
        "all": endpoints.len(),
        "ready": count(&well),
        "draining": count(&|one| draining(one)),
        "ejected": count(&|one| is(one, "ejected")),
        "connecting": count(&|one| is(one, "connecting") && !is(one, "ejected")),
        "zones": by("zone"),
        "versions": by("version"),
        "variants": by("variant"),
        "unwell": unwell.collect::<Vec<_>>(),
    });
    for key in ["uri", "source", "age_ms", "failing", "suspect", "panic", "evacuated", "held"] {
        known[key] = view[key].clone();
    }
    known
}

fn zones(targets: &[Value]) -> Vec<Value> {
    let (mut zones, mut evacuated) = (BTreeSet::new(), BTreeSet::new());
    for target in targets {
        let known = &target["known"];
        zones.extend(known["zones"].as_object().into_iter().flat_map(|zones| zones.keys().cloned()));
        let out = known["evacuated"].as_array().into_iter().flatten();
        evacuated.extend(out.filter_map(|zone| zone.as_str().map(str::to_owned)));
    }
    zones.remove("");
    zones.iter().map(|zone| json!({ "zone": zone, "evacuated": evacuated.contains(zone) })).collect()
}

fn shown(history: &History) -> Value {
    let (tally, length) = history.window();
    let mut shown = tally.shown(length);
    shown["line"] = json!(history.line());
    shown
}

/// What was served, in HTTP and in gRPC. What failed is what the boards and the objectives call so; a 429 is not.
pub(super) fn served(metrics: &Metrics) -> Tally {
    let mut served = Tally::default();
    each_served(metrics, &mut |outcome, histogram| served.add(outcome, histogram));
    served
}

/// Shows every series of what was served, with what it means.
pub(super) fn each_served(metrics: &Metrics, show: &mut dyn FnMut(Outcome, &Histogram)) {
    metrics.each_histogram(HTTP_SERVED, &mut |labels, histogram| {
        let status = label(labels, "http_response_status_code").parse().unwrap_or_default();
        show(of_status(status), histogram);
    });
    metrics.each_histogram(RPC_SERVED, &mut |labels, histogram| {
        let outcome = match label(labels, "rpc_response_status_code") {
            "OK" => Outcome::Success,
            "CANCELLED" => Outcome::Abandoned,
            "DEADLINE_EXCEEDED" => Outcome::Timeout,
            "DATA_LOSS" | "INTERNAL" | "UNAVAILABLE" | "UNKNOWN" => Outcome::ServerFault,
            _ => Outcome::CallerFault,
        };
        show(outcome, histogram);
    });
}

/// What was called, by target.
fn called(metrics: &Metrics) -> BTreeMap<String, Tally> {
    let mut called: BTreeMap<String, Tally> = BTreeMap::new();
    metrics.each_histogram(CALL_DURATION.declared().name, &mut |labels, histogram| {
        let told = label(labels, "outcome");
        let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.label() == told);
        if let Some(outcome) = outcome {
            called.entry(label(labels, "target").to_owned()).or_default().add(outcome, histogram);
        }
    });
    called
}

fn of_status(status: u16) -> Outcome {
    match status {
        499 => Outcome::Abandoned,
        400..=498 => Outcome::CallerFault,
        504 => Outcome::Timeout,
        500.. => Outcome::ServerFault,
        _ => Outcome::Success,
    }
}

fn label<'a>(labels: &'a [LabelPair], name: &str) -> &'a str {
    labels.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
}

fn entry<'a>(all: &'a mut BTreeMap<String, Value>, target: &str) -> &'a mut Value {
    all.entry(target.to_owned()).or_insert_with(|| shown(&History::default()))
}

fn push(target: &mut Value, key: &str, value: Value) {
    match &mut target[key] {
        Value::Array(several) => several.push(value),
        none => *none = json!([value]),
    }
}

/// Milliseconds since 1970.
pub(super) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

const HTTP_SERVED: &str = "http_server_request_duration_seconds";
/// Declared by the crate above, which this one does not know.
const RPC_SERVED: &str = "rpc_server_call_duration_seconds";
/// As many as a person reads; `/platform/changes` has the others.
const CHANGES: usize = 50;
/// Endpoints of one target that are listed because they are not well; the count tells of the others.
const UNWELL: usize = 20;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use platform_core::{
        identity::Identity,
        telemetry::catalogue::{HistogramSpec, Labels},
    };

    use super::*;

    /// As platform-grpc declares it.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Rpc(&'static str, &'static str);

    impl Labels for Rpc {
        const NAMES: &'static [&'static str] =
            &["rpc_system_name", "rpc_method", "rpc_response_status_code", "error_type"];

        fn each_value(&self, show: &mut dyn FnMut(&str)) {
            ["grpc", "film.Films/Get", self.0, self.1].into_iter().for_each(show);
        }
    }

    static RPC: HistogramSpec<Rpc> =
        HistogramSpec::new("rpc_server_call_duration_seconds", "As platform-grpc has it");

    #[test]
    fn calls_of_grpc_are_served_too() {
        let metrics = Metrics::new(&Identity::default());
        let family = metrics.histogram(&RPC);
        for (status, kind) in [
            ("OK", ""),
            ("NOT_FOUND", ""),
            ("CANCELLED", "abandoned"),
            ("UNAVAILABLE", "overloaded"),
            ("DEADLINE_EXCEEDED", "timeout"),
            ("RESOURCE_EXHAUSTED", "overloaded"),
        ] {
            family.with(&Rpc(status, kind)).observe(Duration::from_millis(7), None);
        }
        let served = served(&metrics);
        assert_eq!((served.calls(), served.failed()), (5, 2));
        assert!(served.quantile(0.5).is_some_and(|(median, _)| median > Duration::from_millis(5)));
    }

    #[test]
    fn a_status_is_judged_as_on_the_boards() {
        for (status, outcome) in [
            (204, Outcome::Success),
            (304, Outcome::Success),
            (404, Outcome::CallerFault),
            (429, Outcome::CallerFault),
            (499, Outcome::Abandoned),
            (500, Outcome::ServerFault),
            (503, Outcome::ServerFault),
            (504, Outcome::Timeout),
        ] {
            assert_eq!(of_status(status), outcome, "{status}");
        }
    }
}
