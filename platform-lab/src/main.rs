//! Where arguments end: measurements beside peers.
//!
//! `platform-lab NAME` runs one measurement, prints a table, and ends with lines `result: KEY VALUE`.

use std::{env, error::Error as _, process::ExitCode};

use platform_core::{Error, ErrorKind, Result};
use tokio::runtime::Builder;

mod child;
mod choice;
mod client;
mod cores;
mod grpc;
mod limits;
mod load;
mod log;
mod measure;
mod options;
mod peers;
mod scenes;
mod server;
mod storms;
mod table;

use options::Options;
use table::Report;

#[global_allocator]
static ALLOCATOR: child::Counting = child::Counting;

/// Something that can be measured.
struct Measurement {
    name: &'static str,
    about: &'static str,
    run: fn(&Options) -> Result<Report>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((serve, [name])) if serve == server::SERVE => server::serve(name),
        Some((call, words)) if call == client::CALL => client::call(words),
        Some((call, words)) if call == grpc::CALL => grpc::call(words),
        Some((pick, words)) if pick == choice::SCENES.verb => choice::SCENES.play(words),
        Some((say, words)) if say == log::SCENES.verb => log::SCENES.play(words),
        Some((name, flags)) if name == "storms" => storms(flags),
        Some((name, flags)) => measure(name, flags),
        None => Err(Error::new(ErrorKind::Usage, "which measurement?")),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    eprintln!("platform-lab: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    if error.kind() != ErrorKind::Usage {
        return ExitCode::FAILURE;
    }
    eprintln!("\n{}", usage());
    ExitCode::from(2)
}

fn measure(name: &str, flags: &[String]) -> Result<()> {
    let measurement = MEASUREMENTS
        .iter()
        .find(|measurement| measurement.name == name)
        .ok_or_else(|| Error::new(ErrorKind::Usage, format!("no measurement is named {name}")))?;
    print!("{}", (measurement.run)(&Options::parse(flags)?)?);
    Ok(())
}

fn storms(arguments: &[String]) -> Result<()> {
    let (mut how, mut named) = (storms::Wanted::default(), Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => how.quick = true,
            "--replicas" => how.replicas = Some(options::value(word, words.next(), replicas)?),
            "--seed" => how.seed = Some(options::value(word, words.next(), |text| text.parse().ok())?),
            flag if flag.starts_with("--") => {
                let why = format!("unknown flag {flag}; storms know --quick, --replicas N and --seed N");
                return Err(Error::new(ErrorKind::Usage, why));
            }
            _ => named.push(word.clone()),
        }
    }
    print!("{}", storms::run(&named, how)?);
    Ok(())
}

/// An address of a replica has one byte for its number.
fn replicas(text: &str) -> Option<usize> {
    text.parse().ok().filter(|replicas| (1..=250).contains(replicas))
}

fn usage() -> String {
    let names: String =
        MEASUREMENTS.iter().map(|known| format!("  {:<12}{}\n", known.name, known.about)).collect();
    let storms = format!("[{}] [--quick] [--replicas N] [--seed N]: {STORMS}", storms::names());
    format!("usage: platform-lab NAME [flags]\n{names}  {:<12}{storms}\n{}", "storms", options::USAGE)
}

/// Runs on this thread alone: the generator has one core, and shares it with nothing.
fn alone<T>(measurement: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Error::new(ErrorKind::Start, "no runtime can be had").with_source(error))?
        .block_on(measurement)
}

const STORMS: &str =
    "what the client stack and its balancer survive, in paused time, naive ones beside them.";

const MEASUREMENTS: [Measurement; 6] = [
    Measurement {
        name: "server",
        about: "CPU, user instructions and allocations of one HTTP/1 request on our server stack and beside it.",
        run: |options| alone(server::run(options)),
    },
    Measurement {
        name: "client",
        about: "Time, user instructions and allocations of one call through our client stack and beside it.",
        run: client::run,
    },
    Measurement {
        name: "grpc",
        about: "CPU, user instructions and allocations of one gRPC call, server and channel, beside bare tonic's.",
        run: grpc::run,
    },
    Measurement {
        name: "balance",
        about: "Instructions and allocations of choosing an endpoint; a change of ten thousand; memory of each.",
        run: choice::run,
    },
    Measurement {
        name: "log",
        about: "Instructions and allocations of a request's line and a team's, said or suppressed.",
        run: log::run,
    },
    Measurement {
        name: "limits",
        about: "What each rule for a concurrency limit makes of simulated targets: ours, AIMD, Gradient2.",
        run: limits::run,
    },
];
