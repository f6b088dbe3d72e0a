//! `platform`: what a team asks the platform from its terminal.

mod act;
mod arguments;
mod catalogue;
mod check;
mod config;
mod fleet;
mod new;
mod ops;
mod targets;
mod top;
mod undo;

use std::{env, fmt::Write as _, process::ExitCode};

use platform_core::{Error, ErrorKind, Result};

/// One command: a line of the help, and what it does with the arguments behind its name.
struct Command {
    name: &'static str,
    /// What may stand behind the name.
    takes: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<ExitCode>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "new",
        takes: "NAME [--http|--grpc|--both] …",
        about: "a service that builds, is tested and can be deployed",
        run: new::run,
    },
    Command {
        name: "check",
        takes: "[FOLDER|FILE] [--json]",
        about: "is every platform.toml of a folder what can be meant?",
        run: check::run,
    },
    Command {
        name: "config",
        takes: "show|explain KEY [SERVICE]",
        about: "what is set and where from, here or in a running service",
        run: config::run,
    },
    Command {
        name: "top",
        takes: "[SERVICE …]",
        about: "rates, errors, latencies and breakers of services, live",
        run: top::run,
    },
    Command {
        name: "targets",
        takes: "[SERVICE]",
        about: "which services there are, or whom one of them calls",
        run: targets::run,
    },
    Command {
        name: "fault",
        takes: "SERVICE --target NAME --why TEXT …",
        about: "its calls of a target go wrong on purpose, for a while",
        run: act::fault,
    },
    Command {
        name: "mode",
        takes: "SERVICE GUARD MODE --why TEXT",
        about: "a guard is off, observes or enforces, for a while",
        run: act::mode,
    },
    Command {
        name: "drain",
        takes: "SERVICE --instance NAME --why TEXT",
        about: "an instance stops, in order",
        run: act::drain,
    },
    Command {
        name: "evacuate",
        takes: "SERVICE ZONE --why TEXT",
        about: "it asks nobody in a zone, for a while",
        run: act::evacuate,
    },
    Command {
        name: "undo",
        takes: "SERVICE --why TEXT …",
        about: "the last change of a service is taken back",
        run: undo::run,
    },
    Command {
        name: "ops",
        takes: "boards|rules|alertmanager|catalog …",
        about: "what the person on call gets, made from the services",
        run: ops::command::run,
    },
    Command {
        name: "catalogue",
        takes: "[--json]",
        about: "every metric that the platform's crates write",
        run: catalogue::run,
    },
];

fn main() -> ExitCode {
    // One that is no text is none of our words, and is refused by what can be read of it.
    let arguments: Vec<String> =
        env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let Some((name, rest)) = arguments.split_first() else {
        eprint!("{}", help());
        return ExitCode::from(ErrorKind::Usage.exit_code());
    };
    match name.as_str() {
        "--version" => print(concat!("platform ", env!("CARGO_PKG_VERSION"), "\n")),
        "--help" | "-h" | "help" => print(&help()),
        name => match run(name, rest) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("error: {error:?}");
                ExitCode::from(error.kind().exit_code())
            }
        },
    }
}

fn run(name: &str, rest: &[String]) -> Result<ExitCode> {
    let found = COMMANDS.iter().find(|command| command.name == name);
    let command = found.ok_or_else(|| usage(format!("platform {name} is no command\n\n{}", help())))?;
    (command.run)(rest)
}

/// A wrong use: says what was wrong, and ends the process with 2.
fn usage(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, what.into())
}

/// Writes to standard output; a reader that has gone away, as `head` does, is no failure.
fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn help() -> String {
    let line = |command: &Command| format!("platform {} {}", command.name, command.takes);
    let lines: Vec<(String, &str)> = COMMANDS.iter().map(|command| (line(command), command.about)).collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or_default();
    let mut text = String::from("platform: what a team asks the platform from its terminal\n\n");
    for (line, about) in lines {
        let _ = writeln!(text, "  {line:width$}  {about}");
    }
    text.push_str("  platform --version\n  platform --help\n\n`platform COMMAND --help` says more of one.\n");
    text
}
