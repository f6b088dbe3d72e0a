//! What the command line says.

use std::time::Duration;

use platform_core::{Error, ErrorKind, Result, config::duration};

use crate::{
    fault::Fault,
    operator::Manner,
    outage::{Kind, Outage},
};

/// What the fleet is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flags {
    /// End by itself after this; `None` runs until Ctrl-C.
    pub(crate) length: Option<Duration>,
    /// Requests of users a second.
    pub(crate) rps: u32,
    /// Stop one instance and start it again this often.
    pub(crate) kill_every: Option<Duration>,
    /// How it is stopped.
    pub(crate) kill_with: Manner,
    /// Where instances find each other.
    pub(crate) registry: Kind,
    /// When that is away.
    pub(crate) outage: Option<Outage>,
    /// What goes wrong on purpose.
    pub(crate) faults: Vec<Fault>,
    /// Where the first edge listens; `None` takes a free port.
    pub(crate) port: Option<u16>,
    /// Leave the folder with logs and registry behind.
    pub(crate) keep: bool,
}

/// What this process is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    /// The operator of a fleet.
    Fleet(Flags),
    /// One service of it: its name, and the flags that every service knows.
    Role(String, Vec<String>),
    /// `--help`.
    Help,
}

impl Default for Flags {
    fn default() -> Self {
        Flags {
            length: None,
            rps: DEFAULT_RPS,
            kill_every: None,
            kill_with: Manner::default(),
            registry: Kind::default(),
            outage: None,
            faults: Vec::new(),
            port: None,
            keep: false,
        }
    }
}

impl Asked {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] naming the flag and what it expects.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut arguments = arguments.into_iter();
        let mut flags = Flags::default();
        while let Some(argument) = arguments.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (argument, None),
            };
            if inline.is_some() && matches!(&*name, "--keep" | "--help") {
                return Err(usage(format!("{name} takes no value")));
            }
            let mut value = || {
                inline
                    .clone()
                    .or_else(|| arguments.next())
                    .ok_or_else(|| usage(format!("{name} needs a value")))
            };
            match name.as_str() {
                "--for" => flags.length = Some(length(&name, &value()?)?),
                "--kill-every" => flags.kill_every = Some(length(&name, &value()?)?),
                "--kill-with" => flags.kill_with = manner(&name, &value()?)?,
                "--registry" => {
                    let text = value()?;
                    flags.registry =
                        Kind::parse(&text).map_err(|why| usage(format!("{name} {text}: {why}")))?;
                }
                "--registry-down" => {
                    let text = value()?;
                    let outage =
                        Outage::parse(&text).map_err(|why| usage(format!("{name} {text}: {why}")))?;
                    flags.outage = Some(outage);
                }
                "--fault" => flags.faults.push(fault(&name, &value()?)?),
                "--rps" => flags.rps = whole(&name, &value()?, 1, MAX_RPS)?,
                "--port" => flags.port = Some(whole(&name, &value()?, 1, u16::MAX)?),
                "--keep" => flags.keep = true,
                "--help" | "-h" => return Ok(Asked::Help),
                // Not in the help: the operator starts its services so.
                "--role" => return Ok(Asked::Role(value()?, arguments.collect())),
                other => return Err(usage(format!("unknown argument {other:?}"))),
            }
        }
        if flags.outage.is_some() && flags.registry == Kind::Dir {
            return Err(usage(
                "--registry-down needs --registry etcd: a folder has no process to kill".to_owned(),
            ));
        }
        Ok(Asked::Fleet(flags))
    }
}

/// What `--help` prints, and what follows a wrong flag.
pub(crate) fn help() -> String {
    format!(
        "fleet: a film company of eleven services on this machine, its users, and you as its operator

  --for LENGTH         end by itself after this (20s, 2m); without it, Ctrl-C ends it
  --rps N              requests of users a second, 1 to {MAX_RPS} (default {DEFAULT_RPS})
  --kill-every LENGTH  stop one instance after the other and start it again
  --kill-with HOW      term (they drain) or kill (they say nothing to anybody; the edge is spared, because what a
                       browser has under way there is lost with it); default term
  --registry KIND      dir, a folder, or etcd, which has to be installed; default dir
  --registry-down WHEN kill the registry and start it again later (at=5s,for=30s); etcd only
  --fault TARGET:SPEC  calls to catalog, ratings or recommendations go wrong on purpose; may be given again
                       (ratings:error=100% or catalog:delay=500ms,share=20%; after=3s and for=10s say when)
  --port N             where the first edge listens (default: a free port)
  --keep               leave the folder with logs and registry behind
  --help               print this, and end

Exit status: 0 no request failed for a user, 1 some did, 2 wrong flags, 69 could not start."
    )
}

fn length(flag: &str, text: &str) -> Result<Duration> {
    match duration::parse(text) {
        Ok(length) if length.is_zero() => {
            Err(usage(format!("{flag} {text}: expected more than nothing, as in 5s")))
        }
        Ok(length) => Ok(length),
        Err(why) => Err(usage(format!("{flag}: {why}"))),
    }
}

fn manner(flag: &str, text: &str) -> Result<Manner> {
    match text {
        "term" => Ok(Manner::Asked),
        "kill" => Ok(Manner::Killed),
        _ => Err(usage(format!("{flag} {text}: expected term or kill"))),
    }
}

fn fault(flag: &str, text: &str) -> Result<Fault> {
    Fault::parse(text).map_err(|why| usage(format!("{flag} {text}: {why}")))
}

fn whole<T>(flag: &str, text: &str, least: T, most: T) -> Result<T>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
{
    let number = text.parse::<T>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| usage(format!("{flag} {text}: expected a whole number from {least} to {most}")))
}

fn usage(what: String) -> Error {
    Error::new(ErrorKind::Usage, what)
}

/// Busy enough to see every path in every second, and gentle enough for a laptop.
const DEFAULT_RPS: u32 = 200;
/// More than this machine's loopback serves; beyond it the clock of the arrivals is the measurement.
const MAX_RPS: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Asked> {
        Asked::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_flag_is_read_in_both_forms() {
        let all = Flags {
            length: Some(Duration::from_secs(20)),
            rps: 50,
            kill_every: Some(Duration::from_secs(4)),
            kill_with: Manner::Killed,
            registry: Kind::Etcd,
            outage: Some(Outage { at: Duration::from_secs(5), length: Duration::from_secs(30) }),
            faults: ["ratings:error=100%", "catalog:delay=500ms,share=20%,after=1s"]
                .map(|text| Fault::parse(text).unwrap())
                .into(),
            port: Some(8080),
            keep: true,
        };
        let spaced = "--for 20s --rps 50 --kill-every 4s --kill-with kill --registry etcd \
                      --registry-down at=5s,for=30s --fault ratings:error=100% \
                      --fault catalog:delay=500ms,share=20%,after=1s --port 8080 --keep";
        assert_eq!(parse(spaced).unwrap(), Asked::Fleet(all.clone()));
        let inline = "--for=20s --rps=50 --kill-every=4s --kill-with=kill --registry=etcd \
                      --registry-down=at=5s,for=30s --fault=ratings:error=100% \
                      --fault=catalog:delay=500ms,share=20%,after=1s --port=8080 --keep";
        assert_eq!(parse(inline).unwrap(), Asked::Fleet(all));
        assert_eq!(parse("").unwrap(), Asked::Fleet(Flags::default()));
        assert_eq!(parse("--rps 50 --help").unwrap(), Asked::Help);
        let role = Asked::Role("edge".into(), vec!["--set".into(), "a=b".into()]);
        assert_eq!(parse("--role edge --set a=b").unwrap(), role);
    }

    #[test]
    fn a_wrong_flag_says_what_was_expected() {
        for (line, message) in [
            ("--fro 20s", "unknown argument \"--fro\""),
            ("20s", "unknown argument \"20s\""),
            ("--for", "--for needs a value"),
            (
                "--for 20",
                "--for: \"20\" has no unit; write an integer with ms, s, m or h, \"20ms\" or \"20s\"",
            ),
            ("--for 0s", "--for 0s: expected more than nothing, as in 5s"),
            ("--rps 0", "--rps 0: expected a whole number from 1 to 100000"),
            ("--rps many", "--rps many: expected a whole number from 1 to 100000"),
            ("--port 70000", "--port 70000: expected a whole number from 1 to 65535"),
            ("--fault", "--fault needs a value"),
            (
                "--fault edge:error=1%",
                "--fault edge:error=1%: no service calls \"edge\"; expected one of catalog, ratings, recommendations, \
                 as in ratings:error=100% or catalog:delay=500ms,share=20%",
            ),
            ("--keep=yes", "--keep takes no value"),
            ("--kill-with rm", "--kill-with rm: expected term or kill"),
            ("--registry nis", "--registry nis: expected dir or etcd"),
            ("--registry-down at=5s", "--registry-down at=5s: expected both, as in at=5s,for=30s"),
            (
                "--registry-down at=5s,for=30s",
                "--registry-down needs --registry etcd: a folder has no process to kill",
            ),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!((error.kind(), error.detail()), (ErrorKind::Usage, message), "{line}");
        }
    }
}
