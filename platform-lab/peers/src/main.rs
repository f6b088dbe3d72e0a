//! What a team would build without the platform, as processes for the lab to measure.

use std::{env, process::ExitCode};

mod call;
mod child;
mod server;

#[global_allocator]
static ALLOCATOR: child::Counting = child::Counting;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["server"] => child::answer(|listening| server::serve(listening, false)),
        ["server", "--access-line"] => child::answer(|listening| server::serve(listening, true)),
        ["call", name, ref orders @ ..] => match child::Orders::parse(orders.iter().copied()) {
            Some(orders) => call::call(name, orders).map(|taken| println!("{taken}")),
            None => return usage(),
        },
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

const USAGE: &str = "usage: peers server [--access-line]
  axum with the usual production middleware, on a free loopback port; the line goes to standard output
       peers call VARIANT N [--pending] [--port N]
  N calls through a client stack; says what they took";
