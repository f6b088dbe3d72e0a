//! What a team would build without the platform, as processes for the lab to measure.

use std::{env, process::ExitCode};

mod child;
mod server;

#[global_allocator]
static ALLOCATOR: child::Counting = child::Counting;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let served = match arguments[..] {
        ["server"] => child::answer(|listening| server::serve(listening, false)),
        ["server", "--access-line"] => child::answer(|listening| server::serve(listening, true)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "usage: peers server [--access-line]
  axum with the usual production middleware, on a free loopback port; the line goes to standard output";
