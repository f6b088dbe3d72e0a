//! `platform`: what a team asks the platform from its terminal.

mod catalogue;
mod ops;

use std::{env, process::ExitCode};

use platform_core::ErrorKind;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["catalogue"] => print(&catalogue::table(&catalogue::everything())),
        ["catalogue", "--json"] => print(&catalogue::json(&catalogue::everything())),
        ["--version"] => print(concat!("platform ", env!("CARGO_PKG_VERSION"), "\n")),
        ["--help" | "-h"] => print(HELP),
        ["ops", "--help" | "-h"] => print(OPS_HELP),
        ["ops", ref rest @ ..] => ops(rest),
        _ => {
            eprint!(
                "{}{HELP}",
                if arguments.is_empty() {
                    String::new()
                } else {
                    format!("error: platform {} is no command\n\n", arguments.join(" "))
                }
            );
            ExitCode::from(WRONG_USE)
        }
    }
}

/// Makes or checks files; 1 where something has to be done, or could not be.
fn ops(arguments: &[&str]) -> ExitCode {
    match ops::run(arguments, &catalogue::everything()) {
        Ok(seen) => {
            seen.notes.iter().for_each(|note| eprintln!("note: {note}"));
            if seen.stale {
                eprintln!("not as it should be; run the same without --check");
            }
            let text: String = seen.lines.iter().map(|line| format!("{line}\n")).collect();
            print(&text);
            ExitCode::from(u8::from(seen.stale))
        }
        Err(error) if error.kind() == ErrorKind::Usage => {
            eprint!("error: {}\n\n{OPS_HELP}", error.detail());
            ExitCode::from(WRONG_USE)
        }
        Err(error) => {
            eprintln!("error: {}", error.detail());
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard output; a reader that has gone away, as `head` does, is no failure.
fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

const HELP: &str = "\
platform: what a team asks the platform from its terminal

  platform catalogue [--json]   every metric that the platform's crates write, with its kind, labels and meaning
  platform ops boards           Grafana boards, the same for every service
  platform ops rules            alerts for Prometheus, and a runbook for each
  platform ops alertmanager     who is called: Alertmanager's routes, from who owns what and who reports to whom
  platform ops catalog          entries for Backstage
  platform ops --help           how these read services and write files
  platform --version
  platform --help
";
const OPS_HELP: &str = "\
platform ops: what the person on call gets, made from what the services say of themselves

  platform ops boards       [--out dashboards] [--check]
  platform ops rules        SERVICES [--out ops] [--check]    ops/rules/NAME.yaml, ops/runbooks/ALERT.md
  platform ops alertmanager SERVICES [--out ops] [--check]    ops/alertmanager.yaml
  platform ops catalog      SERVICES [--out ops] [--check]    ops/catalog/NAME.yaml, ops/catalog/teams.yaml

SERVICES is one of these, or several:
  FOLDER           every platform.toml in it and below; company.toml in it says what no service knows:
                     [teams.team-orders]
                     reports_to = \"commerce\"
                     page = \"https://…\"        the webhook that wakes somebody
                     ticket = \"https://…\"      the webhook that makes a ticket
  --from BINARY    a service's program, which is asked with --describe; its own arguments follow in quotes
  --from URL       a running service's admin listener, http://HOST:PORT

  --check          write nothing, say what is not as it should be, and end with 1 if anything is
  --out FOLDER     where files go; one that is not ours is never replaced, and what is replaced is said
  --grafana URL    where boards are, for links
  --runbooks URL   where ops/runbooks is published, for links; else a service's own runbook
  --profile NAME   what stands under [profile.NAME] of each platform.toml as well
  --token-file FILE  NAME:TOKEN for admin listeners that are not on this machine
  --shorten N      windows N times shorter, at most 60: for a drill in which alerts fire within a minute

Exit status: 0 fine, 1 something differs or could not be read or written, 2 wrong use.
";
/// As `platform check` has it in the contract: 2 is wrong use.
const WRONG_USE: u8 = 2;
