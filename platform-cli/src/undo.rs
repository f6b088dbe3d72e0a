//! How is a change of a service taken back?
//!
//! Each instance counts its own changes, so that a number means nothing to a service. What means something is what was
//! done: the last change that is in force somewhere, wherever it is in force.

use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use futures_util::future::join_all;
use http::Method;
use platform_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::{
    act,
    arguments::{Arguments, Flag},
    fleet::{self, Answer, Fleet, Said},
    print, usage,
};

/// `platform undo SERVICE`
pub(crate) fn run(given: &[String]) -> Result<ExitCode> {
    let mut flags = fleet::FLAGS.to_vec();
    flags.extend([Flag::Valued("--why"), Flag::Valued("--change"), Flag::Alone("--all")]);
    let arguments = Arguments::parse(given, &flags)?;
    if arguments.has("--help") {
        return Ok(print(&format!("{HELP}{}", fleet::FLAGS_HELP)));
    }
    let service = &arguments.words(1, 1, "a service")?[0];
    let wanted = Wanted::of(&arguments)?;
    let why = act::why(&arguments)?;
    let fleet = Fleet::new(&arguments)?;
    let answers = fleet::run(undo(&fleet, service, &wanted, &why))?;
    Ok(act::tell(&arguments, &answers))
}

/// Which changes.
enum Wanted {
    /// The one that was made last, on every instance where it is in force.
    Last,
    /// The one of this number, of one instance.
    Numbered(u64),
    /// Whatever is in force.
    All,
}

impl Wanted {
    fn of(arguments: &Arguments) -> Result<Self> {
        match (arguments.value("--change"), arguments.has("--all")) {
            (Some(_), true) => Err(usage("say --change ID or --all, not both")),
            (None, true) => Ok(Wanted::All),
            (None, false) => Ok(Wanted::Last),
            (Some(id), false) if arguments.values("--instance").count() != 1 => Err(usage(format!(
                "each instance counts its own changes: say whose change {id} it is, with one --instance NAME"
            ))),
            (Some(id), false) => {
                let id = id.parse().map_err(|_| usage(format!("--change {id}: a change has a number")))?;
                Ok(Wanted::Numbered(id))
            }
        }
    }

    /// Those of an instance's changes that are meant; `last` is the last one of all.
    fn among<'a>(&self, changes: &'a [Value], last: Option<&Value>) -> Vec<&'a Value> {
        let same = |one: &&Value| {
            // One command makes one change of each instance.
            last.is_some_and(|last| {
                ["kind", "who", "what", "why"].iter().all(|field| one[*field] == last[*field])
            })
        };
        match self {
            Wanted::All => changes.iter().collect(),
            // The newest stands first; an older one of the same words was another command.
            Wanted::Last => changes.iter().find(same).into_iter().collect(),
            Wanted::Numbered(id) => changes.iter().filter(|one| one["id"] == *id).collect(),
        }
    }
}

async fn undo(fleet: &Fleet, service: &str, wanted: &Wanted, why: &str) -> Result<Vec<Answer>> {
    let mut answers = fleet.ask(service, &Method::GET, "/platform/changes", None).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    for answer in &mut answers {
        if let Ok(Said::Json(Value::Array(changes))) = &mut answer.said {
            changes.retain(|change| is_in_force(change, now));
        }
    }
    let last =
        answers.iter().flat_map(changes_of).max_by_key(|change| change["at_unix_ms"].as_u64()).cloned();
    let meant = |answer: &Answer| -> Vec<Value> {
        wanted.among(changes_of(answer), last.as_ref()).into_iter().cloned().collect()
    };
    if answers.iter().all(|answer| answer.said.is_ok() && meant(answer).is_empty()) {
        let what = match wanted {
            Wanted::Numbered(id) => format!("change {id} is not in force (any more)"),
            Wanted::Last | Wanted::All => "no change is in force".to_owned(),
        };
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("there is nothing to undo in {service}: {what}"),
        ));
    }
    let undone = answers.into_iter().map(|answer| {
        let meant = meant(&answer);
        async move {
            if answer.said.is_err() {
                return answer;
            }
            let mut said = Vec::new();
            for change in meant {
                let path = format!("/platform/changes/{}", change["id"]);
                let body = json!({ "why": why });
                match fleet
                    .ask_one(&answer.service, &answer.instance, &Method::DELETE, &path, Some(&body))
                    .await
                {
                    Ok(Said::Json(change)) => said.push(change),
                    Ok(Said::Text(text)) => said.push(json!({ "what": text.trim() })),
                    Err(error) => {
                        said.push(
                            json!({ "id": change["id"], "what": change["what"], "error": error.detail() }),
                        );
                        // One that refuses may take back the others; one that does not answer is not asked again.
                        if error.kind() != ErrorKind::Upstream {
                            break;
                        }
                    }
                }
            }
            Answer { said: Ok(Said::Json(Value::Array(said))), ..answer }
        }
    });
    Ok(join_all(undone).await)
}

fn changes_of(answer: &Answer) -> &[Value] {
    match &answer.said {
        Ok(Said::Json(Value::Array(changes))) => changes,
        _ => &[],
    }
}

/// What has an end is in force until then, or until somebody undoes it; all else has happened.
fn is_in_force(change: &Value, now_unix_ms: u128) -> bool {
    change["undone"] == false
        && change["until_unix_ms"].as_u64().is_some_and(|until| u128::from(until) > now_unix_ms)
}

const HELP: &str = "\
platform undo SERVICE --why TEXT: takes back the last change that is in force, on every instance where it is in force

  --all               every change that is in force
  --change ID         this one, of the one --instance NAME
  --why TEXT          the reason, for those who look at the changes later
";

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: u64, what: &str) -> Value {
        json!({ "id": id, "at_unix_ms": id, "kind": "fault", "who": "ann", "what": what, "why": "INC-7",
            "until_unix_ms": 1_000, "undone": false })
    }

    #[test]
    fn the_last_command_is_one_change_of_each_instance() {
        let (one, other) =
            ([change(9, "b"), change(7, "a"), change(3, "b")], [change(8, "a"), change(2, "a")]);
        let ids = |wanted: &Wanted, changes: &[Value]| -> Vec<u64> {
            wanted.among(changes, Some(&one[0])).iter().filter_map(|one| one["id"].as_u64()).collect()
        };
        assert_eq!((ids(&Wanted::Last, &one), ids(&Wanted::Last, &other)), (vec![9], vec![]));
        assert_eq!((ids(&Wanted::All, &one).len(), ids(&Wanted::Numbered(2), &other)), (3, vec![2]));
    }

    #[test]
    fn what_is_over_cannot_be_undone() {
        assert!(is_in_force(&change(1, "a"), 999));
        assert!(!is_in_force(&change(1, "a"), 1_000), "it went back by itself");
        for (field, value) in [("undone", json!(true)), ("until_unix_ms", Value::Null)] {
            let mut change = change(1, "a");
            change[field] = value;
            assert!(!is_in_force(&change, 0), "{field}");
        }
    }
}
