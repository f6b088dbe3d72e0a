//! Which alerts does a service have, and what do they carry?
//!
//! Those of its objectives, and those that the rooms of the code declare beside their metrics. Each says whose service
//! it is, whom it wakes, what to read and where to look; whoever is woken should not have to search for that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    Operated, Tree,
    runbook::BURN_RUNBOOK,
    slo::{Asked, LEAST_WINDOW, PAIRS, PERIOD, window},
    yaml,
};
use crate::{
    error::{Error, Result},
    telemetry::catalogue::{Alert, Board, Catalogue, Expr, Scope, Signal, Unit},
};

/// Where people find what an alert links to, and how long its windows are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Where Grafana is; links are relative where it is empty.
    pub grafana: String,
    /// The folder of the runbooks; where it is empty, the service's own runbook with the alert's name behind `#` if that
    /// is an address, and else the file beside the rules.
    pub runbooks: String,
    /// All windows are so many times shorter: for a drill in which an alert should fire at once.
    pub shorten: u64,
}

impl Default for Places {
    fn default() -> Self {
        Places { grafana: String::new(), runbooks: String::new(), shorten: 1 }
    }
}

/// The rules of one service, for Prometheus.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    about: String,
    groups: Value,
    notes: Vec<String>,
}

impl Rules {
    /// The file.
    pub fn yaml(&self) -> String {
        let notes: String = self.notes.iter().map(|note| format!("\n{note}")).collect();
        yaml::document(&format!("{}{notes}", self.about), &self.groups)
    }

    /// What is not in it, and why.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// What all alerts of one service have in common.
struct Desk<'a> {
    service: &'a Operated,
    /// The owner's parents, nearest first.
    parents: Vec<&'a str>,
    places: &'a Places,
}

/// One alert before it is anybody's. In its questions, what rates are taken over is [`OPEN`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Draft {
    name: String,
    expr: String,
    /// How long it must hold, in seconds.
    hold: u64,
    page: bool,
    labels: BTreeMap<String, String>,
    summary: String,
    runbook: String,
    board: String,
    annotations: BTreeMap<String, String>,
}

/// The rules of `service`: what its objectives record, every alert of the catalogue, and those of its own, for its owner
/// and the owner's parents.
///
/// # Errors
/// A service without an owner, because nobody could be woken; windows that are shortened beyond two scrapes; a
/// catalogue that does not say what is served, where there are objectives; an alert of its own with the name of one that
/// all have.
pub fn alerts(service: &Operated, catalogue: &Catalogue, tree: &Tree, places: &Places) -> Result<Rules> {
    let identity = &service.identity;
    let name = &identity.name;
    let shortest = PAIRS.iter().map(|pair| pair.short).min().unwrap_or_default();
    if places.shorten == 0 || shortest / places.shorten < LEAST_WINDOW.as_secs() {
        let most = shortest / LEAST_WINDOW.as_secs();
        return Err(Error::config(format!(
            "windows that are {} times shorter would see no two scrapes; 1 to {most} can be meant",
            places.shorten
        )));
    }
    let desk = Desk { service, parents: tree.parents(&identity.owner)?, places };
    let asked = match catalogue.served() {
        Some(served) => Asked::all(&service.objectives, served),
        None if service.objectives.any() => {
            return Err(Error::config(format!(
                "{name} has objectives, and the catalogue does not say what is served"
            )));
        }
        None => Vec::new(),
    };
    let mut groups = Vec::new();
    for promise in &asked {
        let mut rules = promise.records(name, places.shorten);
        for page in [true, false] {
            if let Some(draft) = desk.burning(promise, page) {
                rules.extend(desk.sign(&draft));
            }
        }
        groups.push(json!({ "name": format!("{name}-{}", promise.name), "rules": rules }));
    }
    let alerts = catalogue.signals().flat_map(|signal| signal.alerts().iter().map(move |one| (signal, *one)));
    let shared: Vec<Draft> = alerts.map(|(signal, alert)| signalled(name, signal, alert)).collect();
    let own = &service.own.alerts;
    let taken = |draft: &&Draft| {
        draft.runbook == BURN_RUNBOOK.name || shared.iter().any(|one| one.name == draft.name)
    };
    if let Some(Draft { runbook, .. }) = own.iter().find(taken) {
        return Err(Error::config(format!(
            "{name} has an alert `{runbook}` of its own, and every service has one of that name; call it something else"
        )));
    }
    for (of, drafts) in [("platform", &shared), ("own", own)] {
        let rules: Vec<Value> = drafts.iter().flat_map(|draft| desk.sign(draft)).collect();
        if of == "platform" || !rules.is_empty() {
            groups.push(json!({ "name": format!("{name}-{of}"), "rules": rules }));
        }
    }
    let notes = asked.iter().flat_map(Asked::notes).collect();
    let about = format!("Alerts of {name}, made by `platform ops rules`; what is changed here is lost.");
    Ok(Rules { about, groups: json!({ "groups": groups }), notes })
}

impl Desk<'_> {
    /// The budget of a promise burns too fast.
    fn burning(&self, promise: &Asked, page: bool) -> Option<Draft> {
        let Operated { identity, objectives, .. } = self.service;
        let shorten = self.places.shorten;
        let expr = promise.condition(&identity.name, page, objectives.min_failures, shorten)?;
        let worst = |label| query(&promise.worst(&identity.name, label, shorten), label);
        Some(Draft {
            name: "ErrorBudgetBurn".to_owned(),
            expr,
            hold: 0,
            page,
            labels: texts([("slo", promise.name.to_owned())]),
            summary: format!(
                "{} breaks its promise that {}: at {{{{ $value | humanizePercentage }}}} its budget of {PERIOD} is gone {}",
                identity.name,
                promise.about,
                if page { "within days" } else { "before they are over" }
            ),
            runbook: BURN_RUNBOOK.name.to_owned(),
            board: super::board::uid(Board::Service, ""),
            annotations: texts([
                ("worst_version", worst("service_version")),
                ("admin", admin(&worst("instance"))),
            ]),
        })
    }

    /// The alert for its owner, and where it is a page its later twins for the parents, up the chain.
    fn sign(&self, draft: &Draft) -> Vec<Value> {
        let owner = &self.service.identity.owner;
        let mut rules = vec![self.rule(draft, owner, 0)];
        if draft.page {
            rules.extend((1..).zip(&self.parents).map(|(step, parent)| self.rule(draft, parent, step)));
        }
        rules
    }

    fn rule(&self, draft: &Draft, team: &str, step: u64) -> Value {
        let identity = &self.service.identity;
        let hold = (draft.hold + step * PATIENCE) / self.places.shorten;
        let over = format!("[{}]", window(RATES / self.places.shorten));
        let asked = |text: &str| text.replace(&format!("[{OPEN}]"), &over);
        let mut labels = Map::new();
        labels.insert("service".to_owned(), json!(identity.name));
        labels.insert("owner".to_owned(), json!(identity.owner));
        labels.insert("team".to_owned(), json!(team));
        labels.insert("severity".to_owned(), json!(if draft.page { "page" } else { "ticket" }));
        if step > 0 {
            labels.insert("escalation".to_owned(), json!("parent"));
        }
        labels.extend(draft.labels.iter().map(|(name, text)| (name.clone(), json!(text))));
        let Places { grafana, .. } = self.places;
        let mut annotations = Map::new();
        annotations.insert("summary".to_owned(), json!(draft.summary));
        annotations.insert("runbook".to_owned(), json!(self.runbook(&draft.runbook)));
        let grafana = grafana.trim_end_matches('/');
        let board = format!("{grafana}/d/{}?var-service={}", draft.board, identity.name);
        annotations.insert("board".to_owned(), json!(board));
        annotations.extend(draft.annotations.iter().map(|(name, text)| (name.clone(), json!(asked(text)))));
        let mut rule = json!({
            "alert": draft.name, "expr": asked(&draft.expr), "labels": labels, "annotations": annotations,
        });
        if hold > 0 {
            rule["for"] = json!(window(hold));
        }
        rule
    }

    fn runbook(&self, name: &str) -> String {
        let own = &self.service.identity.runbook;
        match self.places.runbooks.trim_end_matches('/') {
            "" if !is_address(own) => format!("runbooks/{name}.md"),
            "" => format!("{own}#{name}"),
            folder => format!("{folder}/{name}.md"),
        }
    }
}

/// What a room of the code declares, of this service.
pub(super) fn signalled(service: &str, signal: &Signal, alert: Alert) -> Draft {
    let base = Scope::over(OPEN).only("service_name", service);
    let labels = signal.expr().labels();
    let known = labels.iter().filter(|label| **label != "service_version");
    let told: String = known.map(|label| format!(" {label} {{{{ $labels.{label} }}}}")).collect();
    let worst = worst_instance(signal.expr(), alert, &base);
    let version = labels.contains(&"service_version");
    Draft {
        name: camel(alert.runbook.name),
        expr: signal.condition(alert.when, &base.by(&["service_name"])),
        hold: u64::from(alert.when.minutes()) * 60,
        page: alert.page,
        labels: texts(version.then(|| ("version", "{{ $labels.service_version }}".to_owned()))),
        summary: format!("{service}{told}: {} ({})", lower(signal.title()), value(signal.unit())),
        runbook: alert.runbook.name.to_owned(),
        board: super::board::uid(signal.board(), service),
        annotations: texts([("admin", admin(&query(&worst, "instance")))]),
    }
}

fn texts(named: impl IntoIterator<Item = (&'static str, String)>) -> BTreeMap<String, String> {
    named.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
}

/// A file's name leads nowhere from where an alert or a catalog is read.
pub(super) fn is_address(runbook: &str) -> bool {
    runbook.contains("://")
}

/// Of all instances the one where it is worst, as a question.
fn worst_instance(expr: &Expr, alert: Alert, scope: &Scope) -> String {
    let extreme = if alert.when.is_below() { "bottomk" } else { "topk" };
    format!("{extreme}(1, {})", expr.promql_in(&scope.clone().by(&["instance"])))
}

/// A question that is asked when the alert is sent: the label of the first answer, or nothing.
fn query(expr: &str, label: &str) -> String {
    format!("{{{{ with query `{expr}` }}}}{{{{ . | first | label \"{label}\" }}}}{{{{ end }}}}")
}

fn admin(instance: &str) -> String {
    format!("http://{instance}/")
}

fn value(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => "{{ $value | humanize1024 }}B",
        Unit::BytesPerSecond => "{{ $value | humanize1024 }}B a second",
        Unit::Count => "{{ $value | humanize }}",
        Unit::PerSecond => "{{ $value | humanize }} a second",
        Unit::Ratio => "{{ $value | humanizePercentage }}",
        Unit::Seconds => "{{ $value | humanizeDuration }}",
    }
}

/// `breaker-open` is `BreakerOpen`.
fn camel(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
    });
    words.collect()
}

fn lower(title: &str) -> String {
    let mut chars = title.chars();
    chars.next().map(|first| first.to_lowercase().to_string() + chars.as_str()).unwrap_or_default()
}

/// How long a page fires before the owner's parent gets it as well, and the parent's parent so much later, in seconds.
/// Alertmanager does not know whether somebody has answered; who repairs something silences it.
pub const PATIENCE: u64 = 30 * 60;
/// Rates of alerts are taken over this, in seconds: four scrapes of a slow scraper, and short enough to end soon after.
const RATES: u64 = 5 * 60;
/// Stands for that in an alert which does not know yet whether it is rendered for a drill. A `$` in a value that is
/// looked for has a backslash before it.
const OPEN: &str = "$rates";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::Identity,
        ops::{Objectives, Slo, Teams},
    };

    fn orders() -> Operated {
        Operated {
            identity: Identity {
                name: "orders".to_owned(),
                owner: "team-orders".to_owned(),
                reports_to: "commerce".to_owned(),
                runbook: "https://runbooks.example/orders".to_owned(),
                ..Identity::default()
            },
            ..Operated::default()
        }
    }

    fn rules(service: &Operated, places: &Places) -> Result<Rules> {
        let tree = Tree::of([service], &Teams::default())?;
        alerts(service, &crate::catalogue(), &tree, places)
    }

    fn of<'a>(rules: &'a Rules, name: &str) -> Vec<&'a Value> {
        let groups = rules.groups["groups"].as_array().unwrap().iter();
        let all = groups.flat_map(|group| group["rules"].as_array().unwrap());
        all.filter(|rule| rule["alert"] == name).collect()
    }

    #[test]
    fn a_page_goes_to_the_owner_and_half_an_hour_later_to_the_parent_as_well() {
        let rules = rules(&orders(), &Places::default()).unwrap();
        let twins = of(&rules, "BreakerOpen");
        assert_eq!(twins.len(), 2);
        assert_eq!(twins[0]["expr"], twins[1]["expr"]);
        let labels = |twin: &Value| {
            let of = |name: &str| twin["labels"][name].as_str().unwrap_or_default().to_owned();
            (
                of("team"),
                of("owner"),
                of("severity"),
                of("escalation"),
                twin["for"].as_str().unwrap().to_owned(),
            )
        };
        let expect = |texts: [&str; 5]| {
            let [a, b, c, d, e] = texts.map(str::to_owned);
            (a, b, c, d, e)
        };
        assert_eq!(labels(twins[0]), expect(["team-orders", "team-orders", "page", "", "5m"]));
        assert_eq!(labels(twins[1]), expect(["commerce", "team-orders", "page", "parent", "35m"]));
        assert_eq!(of(&rules, "SpansLost").len(), 1, "a ticket waits for the morning");
    }

    #[test]
    fn every_alert_says_whose_it_is_and_where_to_look() {
        let service =
            Operated { objectives: Objectives { min_failures: 7, ..Objectives::default() }, ..orders() };
        let rules =
            rules(&service, &Places { grafana: "https://grafana.example/".to_owned(), ..Places::default() });
        let rules = rules.unwrap();
        let alert = of(&rules, "FileDescriptors")[0];
        assert_eq!(alert["labels"]["version"], "{{ $labels.service_version }}");
        assert_eq!(alert["annotations"]["runbook"], "https://runbooks.example/orders#file-descriptors");
        assert_eq!(
            alert["annotations"]["board"],
            "https://grafana.example/d/platform-runtime?var-service=orders"
        );
        for group in rules.groups["groups"].as_array().unwrap() {
            for rule in group["rules"].as_array().unwrap().iter().filter(|rule| rule["alert"].is_string()) {
                for name in ["summary", "runbook", "board", "admin"] {
                    assert!(!rule["annotations"][name].as_str().unwrap().is_empty(), "{rule}");
                }
                for name in ["service", "owner", "team", "severity"] {
                    assert!(!rule["labels"][name].as_str().unwrap().is_empty(), "{rule}");
                }
            }
        }
    }

    #[test]
    fn a_runbook_that_is_a_file_of_the_service_is_no_link() {
        let identity = Identity { runbook: "RUNBOOK.md".to_owned(), ..orders().identity };
        let rules = rules(&Operated { identity, ..orders() }, &Places::default()).unwrap();
        assert_eq!(of(&rules, "SpansLost")[0]["annotations"]["runbook"], "runbooks/spans-lost.md");
    }

    #[test]
    fn a_drill_has_shorter_windows_and_not_too_short_ones() {
        let of_length = |shorten| rules(&orders(), &Places { shorten, ..Places::default() });
        let drill = of_length(60).unwrap();
        let twins = of(&drill, "BreakerOpen");
        assert!(twins[0]["expr"].as_str().unwrap().contains("[5s]"), "{}", twins[0]["expr"]);
        assert_eq!((&twins[0]["for"], &twins[1]["for"]), (&json!("5s"), &json!("35s")));
        assert!(of_length(61).unwrap_err().detail().contains("1 to 60"));
        assert!(of_length(0).is_err());
    }

    #[test]
    fn who_has_no_owner_has_no_alerts() {
        let nobody =
            Operated { identity: Identity { owner: String::new(), ..orders().identity }, ..orders() };
        let error = rules(&nobody, &Places::default()).unwrap_err();
        assert!(error.detail().contains("orders has no owner"), "{error}");
        let promised = Operated { objectives: Objectives::of([Slo::availability(0.999)]), ..orders() };
        let error = rules(&promised, &Places::default()).unwrap_err();
        assert!(error.detail().contains("does not say what is served"), "core serves nothing: {error}");
    }
}
