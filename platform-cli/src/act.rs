//! What an operator does to a service: `fault`, `mode`, `drain`, `evacuate`.
//!
//! Each is one request of the admin listener, sent to every instance. They answer with a change record each, and it
//! ends by itself unless it is a drain.

use std::process::ExitCode;

use http::Method;
use platform_core::Result;
use serde_json::{Map, Value, json};

use crate::{
    arguments::{Arguments, Flag},
    fleet::{self, Answer, Fleet, Said, paint, table},
    print, usage,
};

/// `platform fault SERVICE …`
pub(crate) fn fault(given: &[String]) -> Result<ExitCode> {
    let flags = ["--target", "--name", "--delay", "--abort", "--share", "--scope", "--zone"];
    let Some((arguments, words)) = read(given, &flags, &["--clear"], 1, 1, "a service", FAULT)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let service = words[0].as_str();
    if arguments.has("--clear") {
        let path = match arguments.value("--name") {
            Some(name) => format!("/platform/faults/{}", step(name)?),
            None => "/platform/faults".to_owned(),
        };
        return act(&arguments, service, &Method::DELETE, &path, Some(&json!({ "why": why(&arguments)? })));
    }
    let target =
        arguments.value("--target").ok_or_else(|| usage("--target is missing: the calls to whom?"))?;
    if arguments.value("--delay").is_none() && arguments.value("--abort").is_none() {
        return Err(usage("say --delay 300ms, --abort 503, or both"));
    }
    let mut body = change(&arguments)?;
    body.insert("target".to_owned(), target.into());
    body.insert("name".to_owned(), arguments.value("--name").unwrap_or(target).into());
    for (flag, field) in
        [("--delay", "delay"), ("--abort", "abort"), ("--scope", "scope"), ("--zone", "zone")]
    {
        if let Some(value) = arguments.value(flag) {
            body.insert(field.to_owned(), value.into());
        }
    }
    if let Some(share) = arguments.value("--share") {
        let number: f64 = share.parse().map_err(|_| usage(format!("--share {share}: say 0.0 to 1.0")))?;
        body.insert("share".to_owned(), number.into());
    }
    act(&arguments, service, &Method::POST, "/platform/faults", Some(&Value::Object(body)))
}

/// `platform mode SERVICE GUARD MODE`
pub(crate) fn mode(given: &[String]) -> Result<ExitCode> {
    let what = "a service, a guard and a mode";
    let Some((arguments, words)) = read(given, &["--target"], &["--server"], 3, 3, what, MODE)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let mut body = change(&arguments)?;
    body.insert("mode".to_owned(), words[2].as_str().into());
    let (target, served) = (arguments.value("--target"), arguments.has("--server"));
    if target.is_some() && served {
        return Err(usage("a server's guard has no target: say --target NAME or --server"));
    }
    if let Some(target) = target {
        body.insert("target".to_owned(), target.into());
    }
    let whose = if served { "server/" } else { "" };
    let path = format!("/platform/modes/{whose}{}", step(&words[1])?);
    act(&arguments, &words[0], &Method::PUT, &path, Some(&Value::Object(body)))
}

/// `platform drain SERVICE --instance NAME`
pub(crate) fn drain(given: &[String]) -> Result<ExitCode> {
    let Some((arguments, words)) = read(given, &[], &["--all"], 1, 1, "a service", DRAIN)? else {
        return Ok(ExitCode::SUCCESS);
    };
    if arguments.value("--instance").is_none() && !arguments.has("--all") {
        return Err(usage("a drain has no way back: say --instance NAME, or --all"));
    }
    let body = json!({ "why": why(&arguments)? });
    act(&arguments, &words[0], &Method::POST, "/platform/drain", Some(&body))
}

/// `platform evacuate SERVICE ZONE`
pub(crate) fn evacuate(given: &[String]) -> Result<ExitCode> {
    let Some((arguments, words)) = read(given, &[], &[], 2, 2, "a service and a zone", EVACUATE)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let body = Value::Object(change(&arguments)?);
    let path = format!("/platform/zones/{}", step(&words[1])?);
    act(&arguments, &words[0], &Method::PUT, &path, Some(&body))
}

/// What was typed, or nothing where somebody asked for help.
fn read(
    given: &[String],
    valued: &[&'static str],
    alone: &[&'static str],
    least: usize,
    most: usize,
    what: &str,
    help: &str,
) -> Result<Option<(Arguments, Vec<String>)>> {
    let mut flags = fleet::FLAGS.to_vec();
    flags.extend([Flag::Valued("--why"), Flag::Valued("--for")]);
    flags.extend(valued.iter().map(|name| Flag::Valued(name)));
    flags.extend(alone.iter().map(|name| Flag::Alone(name)));
    let arguments = Arguments::parse(given, &flags)?;
    if arguments.has("--help") {
        print(&format!("{help}{CHANGE_HELP}{}", fleet::FLAGS_HELP));
        return Ok(None);
    }
    let words = arguments.words(least, most, what)?.to_vec();
    Ok(Some((arguments, words)))
}

fn change(arguments: &Arguments) -> Result<Map<String, Value>> {
    let mut body = Map::new();
    body.insert("why".to_owned(), why(arguments)?.into());
    if let Some(length) = arguments.value("--for") {
        body.insert("for".to_owned(), length.into());
    }
    Ok(body)
}

/// The reason that was given.
///
/// # Errors
/// There is none.
pub(crate) fn why(arguments: &Arguments) -> Result<String> {
    let why = arguments.value("--why").map(str::trim).filter(|why| !why.is_empty());
    why.map(str::to_owned).ok_or_else(|| usage("--why is missing: a reason, for those who look at it later"))
}

/// A step of a path.
fn step(text: &str) -> Result<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.is_empty() || !text.bytes().all(plain) {
        return Err(usage(format!("{text:?} is no name: letters, digits, `.`, `_` and `-`")));
    }
    Ok(text)
}

fn act(
    arguments: &Arguments,
    service: &str,
    method: &Method,
    path: &str,
    body: Option<&Value>,
) -> Result<ExitCode> {
    let fleet = Fleet::new(arguments)?;
    let answers = fleet::run(fleet.ask(service, method, path, body))?;
    Ok(tell(arguments, &answers))
}

/// What each instance did, for a person or a script; 1 if one did not.
pub(crate) fn tell(arguments: &Arguments, answers: &[Answer]) -> ExitCode {
    print(&if arguments.has("--json") { json_of(answers) } else { told(answers) });
    ExitCode::from(u8::from(answers.iter().any(|answer| failed(answer).is_some())))
}

/// Why an instance did not do what was asked of it, or not all of it.
fn failed(answer: &Answer) -> Option<String> {
    match &answer.said {
        Ok(Said::Json(Value::Array(changes))) => {
            let errors: Vec<&str> = changes.iter().filter_map(|change| change["error"].as_str()).collect();
            (!errors.is_empty()).then(|| errors.join("; "))
        }
        Ok(_) => None,
        Err(error) => Some(error.detail().to_owned()),
    }
}

fn told(answers: &[Answer]) -> String {
    let rows = answers.iter().map(|answer| {
        let text = match &answer.said {
            Ok(Said::Json(Value::Array(changes))) if changes.is_empty() => {
                "there was nothing to do".to_owned()
            }
            Ok(Said::Json(Value::Array(changes))) => {
                changes.iter().map(record).collect::<Vec<_>>().join("; ")
            }
            Ok(Said::Json(change)) => record(change),
            Ok(Said::Text(text)) => text.trim().to_owned(),
            Err(error) => error.detail().to_owned(),
        };
        let mark = if failed(answer).is_none() { paint("done", GREEN) } else { paint("FAILED", RED) };
        vec![answer.instance.instance.clone(), mark, text]
    });
    table(&rows.collect::<Vec<_>>())
}

/// A change record in words, or what was refused instead.
fn record(change: &Value) -> String {
    let text = |field: &str| change[field].as_str().map(str::to_owned);
    let id = change["id"].as_u64().map(|id| format!(" (change {id})")).unwrap_or_default();
    text("error").unwrap_or_else(|| format!("{}{id}", text("what").unwrap_or_default()))
}

fn json_of(answers: &[Answer]) -> String {
    let all: Vec<Value> = answers
        .iter()
        .map(|answer| {
            let Answer { service, instance, said } = answer;
            let failed = failed(answer);
            let mut told = json!({
                "service": service, "instance": instance.instance, "admin": instance.admin, "done": failed.is_none(),
            });
            match said {
                Ok(Said::Json(value)) => told["answer"] = value.clone(),
                Ok(Said::Text(text)) => told["answer"] = text.as_str().into(),
                Err(_) => {}
            }
            if let Some(why) = failed {
                told["error"] = why.into();
            }
            told
        })
        .collect();
    format!("{:#}\n", Value::Array(all))
}

const GREEN: &str = "32";
const RED: &str = "1;31";

const FAULT: &str = "\
platform fault SERVICE --target NAME --why TEXT: its calls of that target go wrong on purpose

  --delay 300ms       they take so much longer
  --abort 503         they fail: an HTTP status, a gRPC code name, or unreachable
  --share 0.2         so many of them (all)
  --scope consent     only requests that consent to it (all)
  --zone NAME         only calls to endpoints of that zone
  --name NAME         what it is called (the target's name); the same name replaces it
  --clear             ends it, and all of them without --name
";
const MODE: &str = "\
platform mode SERVICE GUARD off|observe|enforce --why TEXT: a guard of its clients is switched
(rate-limit, bulkhead, throttle, breaker, concurrency, retry, hedge, eject)

  --target NAME       only for this target
  --server            a guard of its own server instead
                      (expired, rate-limit, fair-share, shed, concurrency)
";
const DRAIN: &str = "\
platform drain SERVICE --instance NAME --why TEXT: it stops, in order, and has no way back

  --all               every instance
";
const EVACUATE: &str = "\
platform evacuate SERVICE ZONE --why TEXT: its instances ask nobody in that zone while somebody elsewhere is healthy
";
const CHANGE_HELP: &str = "
  --why TEXT          the reason, for those who look at the changes later
  --for 10m           how long (30m; at most 24h)";
