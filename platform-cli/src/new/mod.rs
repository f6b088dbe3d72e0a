//! How does a service begin?
//!
//! Answers come from flags, or from a person where standard input and error are a terminal. The files are those of
//! `template/`, filled in by `render`; all of them are written, or none.

mod ask;
mod files;
mod names;
mod place;
mod plan;
mod render;
mod source;

use std::{
    env,
    io::{self, IsTerminal as _},
    path::Path,
    process::ExitCode,
};

use platform_core::{Error, ErrorKind, Result};

use self::{
    ask::ask,
    files::{RUNBOOK, files},
    names::Names,
    plan::{Asked, Plan, Serves},
    source::Source,
};
use crate::{
    arguments::{Arguments, Flag},
    print, usage,
};

/// `platform new NAME …`
pub(crate) fn run(given: &[String]) -> Result<ExitCode> {
    let arguments = Arguments::parse(given, &FLAGS)?;
    if arguments.has("--help") {
        return Ok(print(HELP));
    }
    let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    let here = env::current_dir().map_err(|error| failed(&error))?;
    let here = here.canonicalize().map_err(|error| failed(&error))?;
    let plan = plan(&arguments, terminal, &here)?;

    let folder = here.join(&plan.names.name);
    let own = place::needs_own_workspace(&folder)?;
    let files = files(&plan, &folder, own).map_err(|why| Error::new(ErrorKind::Internal, why))?;
    place::write(&folder, &files, plan.source.lock().as_deref())?;
    Ok(print(&said(&plan, files.len())))
}

fn plan(arguments: &Arguments, terminal: bool, here: &Path) -> Result<Plan> {
    let words = arguments.words(usize::from(!terminal), 1, "the name of the service")?;
    let (mut input, mut output) = (io::stdin().lock(), io::stderr().lock());
    let free = |text: &str| {
        let names = Names::parse(text)?;
        place::refuse_taken(&here.join(&names.name))?;
        Ok(names)
    };
    let names = match words {
        [name, ..] => free(name)?,
        [] => ask(&mut input, &mut output, "The service's name", "", free)?,
    };
    let source = Source::parse(arguments.value("--platform"))?;
    let serves = match serves(arguments)? {
        Some(serves) => serves,
        None if terminal => {
            ask(&mut input, &mut output, "It serves (http, grpc, both)", "http", Serves::parse)?
        }
        None => Serves::Http,
    };
    let read = |words: &str| Asked::parse(words, &names);
    let asks = match arguments.value("--depends-on") {
        Some(words) => read(words)?,
        None if terminal => {
            let question = "It depends on, such as inventory,payments:grpc (nothing)";
            ask(&mut input, &mut output, question, "", read)?
        }
        None => Vec::new(),
    };
    let owner = match arguments.value("--owner") {
        Some(owner) => plan::owner(owner)?,
        None => {
            let default = format!("team-{}", names.name);
            if terminal {
                ask(&mut input, &mut output, "Who is called at night", &default, plan::owner)?
            } else {
                plan::owner(&default)?
            }
        }
    };
    let read = |text: &str| plan::parent(text, &owner);
    let reports_to = match arguments.value("--reports-to") {
        Some(parent) => read(parent)?,
        None if terminal => {
            let question = "Who is called when nobody came within half an hour (nobody)";
            ask(&mut input, &mut output, question, "", read)?
        }
        None => String::new(),
    };
    let why = match arguments.value("--why") {
        Some(why) => plan::sentence("--why", why)?,
        None => {
            let default = format!("answers for {}.", names.name.replace('-', " "));
            let read = |text: &str| plan::sentence("the reason", text);
            if terminal { ask(&mut input, &mut output, "Why it runs", &default, read)? } else { default }
        }
    };
    let runbook = plan::sentence("--runbook", arguments.value("--runbook").unwrap_or(RUNBOOK))?;
    if runbook.contains(['"', '\\', ' ', '(', ')']) {
        return Err(usage(format!("--runbook {runbook:?}: say an address or a file's name")));
    }
    Ok(Plan { names, serves, asks, owner, reports_to, why, runbook, source })
}

fn serves(arguments: &Arguments) -> Result<Option<Serves>> {
    let told = [("--http", Serves::Http), ("--grpc", Serves::Grpc), ("--both", Serves::Both)];
    let mut told = told.into_iter().filter(|(flag, _)| arguments.has(flag));
    match (told.next(), told.next()) {
        (Some((one, _)), Some((other, _))) => Err(usage(format!("{one} and {other}: say one of them"))),
        (one, _) => Ok(one.map(|(_, serves)| serves)),
    }
}

/// What is there now, and what to type next.
fn said(plan: &Plan, count: usize) -> String {
    let Plan { names, asks, owner, .. } = plan;
    let name = &names.name;
    let mut text = format!(
        "{name}: {count} files. Its owner is {owner} (platform.toml).\n\n  \
         cd {name}\n  cargo test\n  cargo run\n"
    );
    if plan.serves.http() {
        text.push_str(&format!("  curl localhost:8080/{name}/7\n"));
    }
    if !asks.is_empty() {
        let names: Vec<&str> = asks.iter().map(|one| one.names.name.as_str()).collect();
        let run = if names.len() == 1 { "runs" } else { "run" };
        text.push_str(&format!(
            "\nUntil {} {run} too, requests are refused, and the answer names who is missing; README.md says how to start \
             several on one machine.\n",
            names.join(" and ")
        ));
    }
    let grpc: Vec<&str> = asks.iter().filter(|one| one.grpc).map(|one| one.names.name.as_str()).collect();
    if !grpc.is_empty() {
        let text_of = |name: &&str| format!("proto/{name}.proto");
        let protos: Vec<String> = grpc.iter().map(text_of).collect();
        text.push_str(&format!(
            "\nPut the files of those teams in the place of {}; src/clients has what is asked.\n",
            protos.join(" and ")
        ));
    }
    text
}

fn failed(error: &io::Error) -> Error {
    Error::new(ErrorKind::Start, format!("the current folder: {error}"))
}

const FLAGS: [Flag; 10] = [
    Flag::Alone("--http"),
    Flag::Alone("--grpc"),
    Flag::Alone("--both"),
    Flag::Valued("--depends-on"),
    Flag::Valued("--owner"),
    Flag::Valued("--reports-to"),
    Flag::Valued("--why"),
    Flag::Valued("--runbook"),
    Flag::Valued("--platform"),
    Flag::Alone("--help"),
];

const HELP: &str = "\
platform new NAME: a service in a folder of its name. What is not said is asked where a terminal is there.

  --http | --grpc | --both      what it serves (http)
  --depends-on A,B:grpc         whom it asks, over HTTP unless it says grpc; a client and a scripted peer for each
  --owner TEAM                  who is called at night (team-NAME)
  --reports-to TEAM             who is called when nobody came within half an hour (nobody)
  --why TEXT                    why it runs, one line
  --runbook ADDRESS             where it says what to do (RUNBOOK.md, which is then written)
  --platform path[=FOLDER]      where the platform's crates are: a checkout (the one that this program is of)
             git=URL[#TAG]      … or a repository
             registry[=VERSION] … or a registry
";
