//! What is set, and why?

use std::{collections::BTreeMap, process::ExitCode};

use http::Method;
use platform_core::{Error, ErrorKind, Result, blocking};
use serde_json::{Value, json};

use crate::{
    arguments::Arguments,
    check,
    fleet::{self, Fleet, Said},
    print, usage,
};

/// A value, and where it comes from.
type Set = (Value, String);

/// `platform config show [SERVICE]`, `platform config explain KEY [SERVICE]`
pub(crate) fn run(given: &[String]) -> Result<ExitCode> {
    let arguments = Arguments::parse(given, &fleet::FLAGS)?;
    if arguments.has("--help") {
        return Ok(print(&format!("{HELP}{}", fleet::FLAGS_HELP)));
    }
    let words = arguments.words(1, 3, "show or explain KEY")?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (key, service) = match words[..] {
        ["show"] => (None, None),
        ["show", service] => (None, Some(service)),
        ["explain", key] => (Some(key), None),
        ["explain", key, service] => (Some(key), Some(service)),
        _ => return Err(usage("say `config show [SERVICE]` or `config explain KEY [SERVICE]`")),
    };
    let defaults = local(&platform_core::config::Config::default())?;
    let mut read = match service {
        Some(service) => running(&arguments, service)?,
        None => BTreeMap::from([(String::new(), local(&fleet::config(&arguments)?)?)]),
    };
    if let Some(key) = key {
        for values in read.values_mut() {
            let under = format!("{key}.");
            values.retain(|known, _| known == key || known.starts_with(&under));
        }
        if read.values().all(BTreeMap::is_empty) {
            let last = key.rsplit('.').next().unwrap_or(key);
            let alike: Vec<&str> =
                defaults.keys().map(String::as_str).filter(|known| known.contains(last)).collect();
            let alike =
                if alike.is_empty() { String::new() } else { format!("; there are {}", alike.join(", ")) };
            return Err(Error::new(ErrorKind::NotFound, format!("nothing is called `{key}` here{alike}")));
        }
    }
    print(&if arguments.has("--json") {
        let all = read.iter().map(|(instance, values)| {
            let values = values.iter().map(|(key, (value, origin))| {
                let default = default(&defaults, key);
                json!({ "key": key, "value": value, "origin": origin, "default": default })
            });
            json!({ "instance": instance, "values": values.collect::<Vec<_>>() })
        });
        format!("{:#}\n", Value::Array(all.collect()))
    } else if key.is_some() {
        explained(&read, &defaults)
    } else {
        shown(&read)
    });
    Ok(ExitCode::SUCCESS)
}

/// What a service that started here would read, as far as its sections are the platform's.
fn local(config: &platform_core::config::Config) -> Result<BTreeMap<String, Set>> {
    check::claim(config)?;
    let all = config.effective().into_iter();
    Ok(all.map(|one| (one.key, (one.value, one.origin.to_string()))).collect())
}

/// What each instance of a service reads.
fn running(arguments: &Arguments, service: &str) -> Result<BTreeMap<String, BTreeMap<String, Set>>> {
    let fleet = Fleet::new(arguments)?;
    let answers = fleet::run(fleet.ask(service, &Method::GET, "/platform/config", None))?;
    let mut all = BTreeMap::new();
    for answer in answers {
        let name = answer.instance.instance.clone();
        let values = match answer.said {
            Ok(Said::Json(Value::Array(values))) => values,
            Ok(_) => Vec::new(),
            Err(error) => return Err(Error::new(error.kind(), format!("{name}: {}", error.detail()))),
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let values =
            values.iter().map(|one| (text(&one["key"]), (one["value"].clone(), text(&one["origin"]))));
        all.insert(name, values.collect());
    }
    Ok(all)
}

/// One line a key; where instances differ, one for each of them.
fn shown(read: &BTreeMap<String, BTreeMap<String, Set>>) -> String {
    let mut keys: BTreeMap<&str, Vec<(&str, &Set)>> = BTreeMap::new();
    for (instance, values) in read {
        for (key, set) in values {
            keys.entry(key).or_default().push((instance, set));
        }
    }
    let width = keys.keys().map(|key| key.len()).max().unwrap_or_default();
    let mut out = String::new();
    for (key, sets) in keys {
        let alike = sets.iter().all(|(_, set)| *set == sets[0].1);
        for (instance, (value, origin)) in if alike { &sets[..1] } else { &sets[..] } {
            let of = if alike { String::new() } else { format!(" [{instance}]") };
            out.push_str(&format!("{key:width$} = {value}  # {origin}{of}\n"));
        }
    }
    out
}

fn explained(read: &BTreeMap<String, BTreeMap<String, Set>>, defaults: &BTreeMap<String, Set>) -> String {
    let mut out = String::new();
    for (instance, values) in read {
        for (key, (value, origin)) in values {
            let of = if instance.is_empty() { String::new() } else { format!(" of {instance}") };
            let default = match default(defaults, key) {
                Some(default) => default.to_string(),
                None => "none".to_owned(),
            };
            out.push_str(&format!(
                "{key}{of}\n  value    {value}\n  from     {origin}\n  default  {default}\n  \
                 set it   in platform.toml, {}, or --set {key}=…\n",
                variable(key)
            ));
        }
    }
    out
}

/// A client's default is that of all clients, and threads of every name begin alike.
fn default(defaults: &BTreeMap<String, Set>, key: &str) -> Option<Value> {
    let (section, name) = key.split_once('.').unwrap_or_default();
    let (_, rest) = name.split_once('.').unwrap_or_default();
    match section {
        "blocking" => serde_json::to_value(blocking::Config::default()).ok()?.get(rest).cloned(),
        "clients" => defaults.get(&format!("defaults.{rest}")).map(|(value, _)| value.clone()),
        _ => defaults.get(key).map(|(value, _)| value.clone()),
    }
}

fn variable(key: &str) -> String {
    let parts: Vec<String> = key.split('.').map(|part| part.to_uppercase().replace('-', "_")).collect();
    format!("PLATFORM__{}", parts.join("__"))
}

const HELP: &str = "\
platform config show [SERVICE]: every value that counts, and where it comes from: here, or in a service that runs
platform config explain KEY [SERVICE]: one of them, or all below it, with its default and how to set it
";
