//! Whom does a service call, and how are they?

use std::process::ExitCode;

use http::Method;
use platform_core::Result;
use serde_json::{Value, json};

use crate::{
    arguments::Arguments,
    fleet::{self, Answer, Fleet, Said, table},
    print,
};

/// `platform targets SERVICE`
pub(crate) fn run(given: &[String]) -> Result<ExitCode> {
    let arguments = Arguments::parse(given, &fleet::FLAGS)?;
    if arguments.has("--help") {
        return Ok(print(&format!("{HELP}{}", fleet::FLAGS_HELP)));
    }
    let service = &arguments.words(1, 1, "a service")?[0];
    let fleet = Fleet::new(&arguments)?;
    let answers = fleet::run(fleet.ask(service, &Method::GET, "/platform/targets", None))?;
    print(&if arguments.has("--json") { data(&answers) } else { told(&answers) });
    Ok(ExitCode::from(u8::from(answers.iter().any(|answer| answer.said.is_err()))))
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
platform targets SERVICE: whom each of its instances calls, and how they are
";
