//! Which services are there, whom does one call, and how are they?

use std::{collections::BTreeSet, process::ExitCode, sync::Arc};

use futures_util::future::join_all;

use http::Method;
use platform_core::{Error, ErrorKind, Result};
use platform_discovery::{Endpoint, State};
use serde_json::{Value, json};

use crate::{
    arguments::Arguments,
    fleet::{self, Answer, Fleet, Said, table},
    print,
};

/// `platform targets [SERVICE]`
pub(crate) fn run(given: &[String]) -> Result<ExitCode> {
    let arguments = Arguments::parse(given, &fleet::FLAGS)?;
    if arguments.has("--help") {
        return Ok(print(&format!("{HELP}{}", fleet::FLAGS_HELP)));
    }
    let service = arguments.words(0, 1, "a service")?.first();
    let fleet = Fleet::new(&arguments)?;
    let Some(service) = service else { return list(&arguments, &fleet) };
    let answers = fleet::run(fleet.ask(service, &Method::GET, "/platform/targets", None))?;
    print(&if arguments.has("--json") { data(&answers) } else { told(&answers) });
    Ok(ExitCode::from(u8::from(answers.iter().any(|answer| answer.said.is_err()))))
}

/// Every service of the registry, and who answers for it.
fn list(arguments: &Arguments, fleet: &Fleet) -> Result<ExitCode> {
    let services = fleet::run(async {
        let names = fleet.services().await?;
        Ok(join_all(names.into_iter().map(|name| async {
            let known = fleet.instances(&name).await;
            (name, known)
        }))
        .await)
    })?;
    if services.is_empty() {
        let nobody = format!("the registry `{}` knows no service", fleet.registry());
        return Err(Error::new(ErrorKind::NoEndpoints, nobody));
    }
    let status = ExitCode::from(u8::from(services.iter().any(|(_, known)| known.is_err())));
    if arguments.has("--json") {
        let each = services.iter().map(|(name, known)| {
            let (known, trouble) = asked(known);
            json!({ "service": name, "ready": ready(known), "known": known.len(), "versions": versions(known),
                "zones": each(known, |one| &one.zone), "owners": each(known, |one| &one.owner), "trouble": trouble })
        });
        print(&format!("{:#}\n", Value::Array(each.collect())));
        return Ok(status);
    }
    let mut rows = vec![["service", "ready", "versions", "zones", "owner"].map(str::to_owned).to_vec()];
    let mut notes = String::new();
    for (name, known) in &services {
        let (known, trouble) = asked(known);
        if !trouble.is_empty() {
            notes.push_str(&format!("{name}: {trouble}\n"));
        }
        let joined = |words: BTreeSet<String>| {
            if words.is_empty() { "-".to_owned() } else { words.into_iter().collect::<Vec<_>>().join(", ") }
        };
        rows.push(vec![
            name.clone(),
            format!("{}/{}", ready(known), known.len()),
            joined(versions(known)),
            joined(each(known, |one| &one.zone)),
            joined(each(known, |one| &one.owner)),
        ]);
    }
    print(&format!("{}{notes}", table(&rows)));
    Ok(status)
}

/// Who answers, and why nobody does.
fn asked(known: &Result<Vec<Arc<Endpoint>>>) -> (&[Arc<Endpoint>], &str) {
    match known {
        Ok(known) => (known, ""),
        Err(error) => (&[], error.detail()),
    }
}

fn ready(known: &[Arc<Endpoint>]) -> usize {
    known.iter().filter(|one| one.state == State::Ready).count()
}

fn versions(known: &[Arc<Endpoint>]) -> BTreeSet<String> {
    known.iter().map(|one| fleet::version(one)).filter(|version| !version.is_empty()).collect()
}

fn each(known: &[Arc<Endpoint>], field: impl Fn(&Endpoint) -> &String) -> BTreeSet<String> {
    known.iter().map(|one| field(one)).filter(|text| !text.is_empty()).cloned().collect()
}

fn told(answers: &[Answer]) -> String {
    let head =
        ["target", "endpoint", "address", "zone", "version", "state", "latency", "ok", "failed", "seen by"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut notes = String::new();
    for answer in answers {
        let seen_by = answer.instance.instance.as_str();
        let targets = match &answer.said {
            Ok(Said::Json(Value::Array(targets))) => targets.as_slice(),
            Ok(_) => &[],
            Err(error) => {
                notes.push_str(&format!("{seen_by}: {}\n", error.detail()));
                continue;
            }
        };
        for target in targets {
            let name = text(&target["target"]);
            for field in ["failing", "suspect", "panic"] {
                if let Some(why) = target[field].as_str() {
                    notes.push_str(&format!("{seen_by}: {name}: {why}\n"));
                }
            }
            let endpoints = target["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
            if endpoints.is_empty() {
                rows.push(vec![name.clone(), "nobody".to_owned()]);
            }
            for endpoint in endpoints {
                let state = match (&endpoint["ejected"], &endpoint["connecting"]) {
                    (Value::Bool(true), _) => "ejected".to_owned(),
                    (_, Value::Bool(true)) => "connecting".to_owned(),
                    _ => text(&endpoint["state"]),
                };
                if let Some(why) = endpoint["sick"].as_str() {
                    notes.push_str(&format!("{seen_by}: {}: {why}\n", text(&endpoint["instance"])));
                }
                let latency =
                    endpoint["latency_ms"].as_f64().map_or("-".to_owned(), |ms| format!("{ms:.1}ms"));
                let mut row = vec![name.clone()];
                row.extend(["instance", "address", "zone", "version"].map(|field| text(&endpoint[field])));
                row.extend([state, latency, text(&endpoint["successes"]), text(&endpoint["failures"])]);
                row.push(seen_by.to_owned());
                rows.push(row);
            }
        }
    }
    if rows.len() == 1 && notes.is_empty() {
        return "it calls nobody\n".to_owned();
    }
    format!("{}{notes}", table(&rows))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn data(answers: &[Answer]) -> String {
    let each = answers.iter().map(|answer| {
        let (field, value) = match &answer.said {
            Ok(Said::Json(targets)) => ("targets", targets.clone()),
            Ok(Said::Text(text)) => ("error", Value::from(text.as_str())),
            Err(error) => ("error", Value::from(error.detail())),
        };
        json!({ "service": answer.service, "instance": answer.instance.instance, field: value })
    });
    format!("{:#}\n", Value::Array(each.collect()))
}

const HELP: &str = "\
platform targets [SERVICE]: whom each of its instances calls, and how they are; without a name every service that the
registry knows
";
