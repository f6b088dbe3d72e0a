//! A film-streaming company on one machine: eleven processes of this one program, their users, and an operator.
//!
//! `cargo run --release -p examples -- --for 20s --kill-every 4s`

mod company;
mod fault;
mod films;
mod flags;
mod followers;
mod leash;
mod operator;
mod outage;
mod reasons;
mod services;
mod users;

use std::{env, process::ExitCode};

use platform_core::{Error, ErrorKind, Result};

use crate::{company::Role, flags::Asked};

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Asked::parse(env::args().skip(1)) {
        Ok(Asked::Fleet(flags)) => operator::run(&flags).await.map(ExitCode::from),
        Ok(Asked::Role(name, arguments)) => serve(&name, arguments).await,
        Ok(Asked::Help) => {
            println!("{}", flags::help());
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("fleet: {}", error.detail());
        if error.kind() == ErrorKind::Usage {
            eprintln!("\n{}", flags::help());
        }
        ExitCode::from(error.kind().exit_code())
    })
}

async fn serve(name: &str, arguments: Vec<String>) -> Result<ExitCode> {
    leash::hold()
        .map_err(|error| Error::new(ErrorKind::Start, "no thread for the leash").with_source(error))?;
    if name == "etcd" {
        return leash::walk(name, arguments).await;
    }
    let role = Role::parse(name)?;
    services::run(role, arguments).await
}
