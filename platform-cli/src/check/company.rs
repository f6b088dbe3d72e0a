//! All services of a folder: what do they do to each other?

use std::{collections::BTreeMap, path::Path, time::Duration};

use platform_core::{config::Mode, recovery::Recovery};
use platform_discovery::Place as Where;

use super::{
    finding::{Finding, Place},
    service::{Call, Service, by_name, nearest},
};

/// What is wrong between services that is right in each of them.
pub(super) fn findings(services: &[Service]) -> Vec<Finding> {
    let known = by_name(services);
    let mut findings = Vec::new();
    for (index, service) in services.iter().enumerate() {
        if let Some(other) = services[..index].iter().find(|other| other.name == service.name) {
            let why =
                format!("two services are called {}; a registry would mix their instances", service.name);
            let place = Place::of(&service.file, "service.name");
            findings
                .push(Finding::new(place, why).note(Place::of(&other.file, "service.name"), "the other one"));
        }
    }
    for caller in services {
        for call in &caller.calls {
            let Some(callee) = called(call).and_then(|name| known.get(name)) else { continue };
            for next in &callee.calls {
                findings.extend(shrinks_not(caller, call, callee, next));
                if called(next).is_some_and(|name| known.contains_key(name)) || next.target.is_stranger() {
                    findings.extend(multiplies(caller, call, callee, next));
                }
            }
        }
    }
    for service in services {
        let mut path = Vec::new();
        walk(service, &known, &mut path, 1.0, &mut findings);
    }
    findings.sort();
    findings.dedup();
    findings
}

/// Whoever waits longer than its caller works for nobody.
fn shrinks_not(caller: &Service, call: &Call, callee: &Service, next: &Call) -> Option<Finding> {
    let (outer, inner) = (call.settings.policy.timeout, next.settings.policy.timeout);
    let longer = match (outer, inner) {
        (None, _) => false,
        (Some(_), None) => true,
        // As long as nobody thought about them, all limits are alike, and the deadline that travels cuts them.
        (Some(outer), Some(inner)) if outer == inner => is_set(caller, call) || is_set(callee, next),
        (Some(outer), Some(inner)) => inner > outer,
    };
    longer.then(|| {
        let told = |limit: Option<Duration>| limit.map_or("for ever".to_owned(), |limit| format!("{limit:?}"));
        let (callee_name, caller_name, last) = (&callee.name, &caller.name, &next.client);
        let why = format!(
            "{callee_name} waits {} for {last}, and {caller_name} waits {} for {callee_name}: nobody is left to hear what \
             comes after that, nor is there time for a repeat; make it shorter than its caller's",
            told(inner),
            told(outer)
        );
        Finding::new(place(callee, next, "policy.timeout"), why)
            .note(place(caller, call, "policy.timeout"), format!("{caller_name} waits for {callee_name} here"))
    })
}

/// A repeat that the callee does not know for one is repeated there again.
fn multiplies(caller: &Service, call: &Call, callee: &Service, next: &Call) -> Option<Finding> {
    let (outer, inner) = (attempts(call), attempts(next));
    if !call.target.is_stranger() || outer < 2 || inner < 2 {
        return None;
    }
    let why = format!(
        "{} calls {} as a stranger, who is not told that a call is a repeat: {outer} attempts here and {inner} there are {} \
         at {}; call it by its name, or write `recovery = \"none\"` in one of the two",
        caller.name,
        callee.name,
        outer * inner,
        next.client
    );
    let finding = Finding::new(place(caller, call, "target"), why);
    Some(finding.note(place(callee, next, "policy.recovery"), format!("{} repeats here", callee.name)))
}

/// Follows all calls from `service`, carrying how much of one request may arrive at most, and who is on the way.
fn walk<'a>(
    service: &'a Service,
    known: &BTreeMap<&str, &'a Service>,
    path: &mut Vec<&'a Service>,
    load: f64,
    findings: &mut Vec<Finding>,
) {
    path.push(service);
    for call in &service.calls {
        let Some(next) = called(call).and_then(|name| known.get(name)).copied() else { continue };
        let names = |last: &str| {
            let names: Vec<&str> = path.iter().map(|service| service.name.as_str()).chain([last]).collect();
            names.join(" → ")
        };
        if path.iter().any(|before| before.name == next.name) {
            // Told once, by the one whose name comes first.
            if path[0].name == next.name && path.iter().all(|other| path[0].name <= other.name) {
                let why =
                    format!("{} is a circle: one request may go round until its deadline", names(&next.name));
                findings.push(Finding::new(place(service, call, "target"), why));
            }
            continue;
        }
        let extra = if repeats(call) { call.settings.policy.budget.ratio.as_f64() } else { 0.0 };
        let arriving = load * (1.0 + extra);
        if load <= MOST_LOAD && arriving > MOST_LOAD {
            let why = format!(
                "budgets multiply along {}: when all of it fails, {} may be asked {arriving:.1} times for each request; lower \
                 `budget.ratio` on the way (at most {MOST_LOAD} times)",
                names(&next.name),
                next.name
            );
            findings.push(Finding::new(place(service, call, "policy.budget.ratio"), why));
        }
        walk(next, known, path, arriving, findings);
    }
    path.pop();
}

/// The service that is called, if it may be one of ours.
fn called(call: &Call) -> Option<&str> {
    match call.target.place() {
        // The first word of a host is the service's name in a cluster.
        Where::Host { host, .. } | Where::Dns { host, .. } => host.split('.').next(),
        Where::Kubernetes { service, .. } => Some(service),
        _ => call.target.service(),
    }
}

fn attempts(call: &Call) -> u32 {
    if repeats(call) { call.settings.policy.retry.max_attempts } else { 1 }
}

fn repeats(call: &Call) -> bool {
    let policy = &call.settings.policy;
    policy.recovery != Recovery::None && policy.retry.mode == Mode::Enforce
}

/// Does the file say it, rather than the library?
fn is_set(service: &Service, call: &Call) -> bool {
    let file = |key: &str| service.config.has(key);
    file(&format!("clients.{}.policy.timeout", call.client)) || file("defaults.policy.timeout")
}

fn place(service: &Service, call: &Call, key: &str) -> Place {
    let file: &Path = &service.file;
    Place::of(file, &nearest(&service.config, &call.client, key))
}

/// A path of five services under default budgets stays at one and a half; beyond twice its load a service that is
/// ill is kept ill by those who ask again.
const MOST_LOAD: f64 = 2.0;
