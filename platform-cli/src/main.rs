//! `platform`: what a team asks the platform from its terminal.

mod catalogue;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["catalogue"] => print(&catalogue::table(&catalogue::everything())),
        ["catalogue", "--json"] => print(&catalogue::json(&catalogue::everything())),
        ["--version"] => print(concat!("platform ", env!("CARGO_PKG_VERSION"), "\n")),
        ["--help" | "-h"] => print(HELP),
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

/// Writes to standard output; a reader that has gone away, as `head` does, is no failure.
fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

const HELP: &str = "\
platform: what a team asks the platform from its terminal

  platform catalogue [--json]   every metric that the platform's crates write, with its kind, labels and meaning
  platform --version
  platform --help
";
/// As `platform check` has it in the contract: 2 is wrong use.
const WRONG_USE: u8 = 2;
