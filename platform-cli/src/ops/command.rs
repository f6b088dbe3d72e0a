//! The command as a person types it.

use std::process::ExitCode;

use platform_core::{ErrorKind, Result};

use crate::{catalogue, print, usage};

/// Makes or checks files; 1 where something has to be done, or could not be.
pub(crate) fn run(given: &[String]) -> Result<ExitCode> {
    let arguments: Vec<&str> = given.iter().map(String::as_str).collect();
    if let ["--help" | "-h"] = arguments[..] {
        return Ok(print(OPS_HELP));
    }
    match super::run(&arguments, &catalogue::everything()) {
        Ok(seen) => {
            seen.notes.iter().for_each(|note| eprintln!("note: {note}"));
            if seen.stale {
                eprintln!("not as it should be; run the same without --check");
            }
            let text: String = seen.lines.iter().map(|line| format!("{line}\n")).collect();
            print(&text);
            Ok(ExitCode::from(u8::from(seen.stale)))
        }
        Err(error) if error.kind() == ErrorKind::Usage => {
            Err(usage(format!("{}\n\n{OPS_HELP}", error.detail())))
        }
        Err(error) => {
            // Whatever its kind: 2 is for wrong flags, and all else is 1.
            eprintln!("error: {}", error.detail());
            Ok(ExitCode::FAILURE)
        }
    }
}

const OPS_HELP: &str = "\
platform ops: what the person on call gets, made from what the services say of themselves

  platform ops boards       [--from BINARY|URL] [--out dashboards] [--check]
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
  --from URL       a running service's admin listener, http://HOST:PORT or https://HOST:PORT
  These two count before the file of the same service in FOLDER. They tell what only this service shows as well:
  dashboards/own/own-NAME.json, alerts among its rules, and their runbooks.

  --check          write nothing, say what is not as it should be, and end with 1 if anything is
  --out FOLDER     where files go; one that is not ours is never replaced, and what is replaced is said
  --grafana URL    where boards are, for links
  --runbooks URL   where ops/runbooks is published, for links; else a service's own runbook
  --profile NAME   what stands under [profile.NAME] of each platform.toml as well
  --token-file FILE  NAME:TOKEN for admin listeners that are not on this machine; else PLATFORM_ADMIN_TOKEN
  --ca FILE, --cert FILE, --key FILE, --server-name NAME, --config FILE, --set KEY=VALUE
                     how listeners with TLS are asked, as in `platform targets --help`
  --shorten N      windows N times shorter, at most 60: for a drill in which alerts fire within a minute

Exit status: 0 fine, 1 something differs or could not be read or written, 2 wrong use.
";
