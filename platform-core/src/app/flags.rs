//! The flags of every service.

use crate::error::{Error, ErrorKind, Result};

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) config: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) set: Vec<(String, String)>,
    pub(super) errand: Option<Errand>,
}

/// Something to do instead of serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    Check,
    Describe,
    Help,
    Version,
}

impl Flags {
    /// Reads the arguments behind the program's name.
    pub(super) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut flags = Flags::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (argument, None),
            };
            let mut value = || {
                inline
                    .clone()
                    .or_else(|| arguments.next())
                    .ok_or_else(|| usage(&format!("{name} needs a value")))
            };
            let takes_none = matches!(name.as_str(), "--check" | "--describe" | "--version" | "--help");
            if takes_none && let Some(value) = &inline {
                return Err(usage(&format!("{name} takes no value, and got {value:?}")));
            }
            match name.as_str() {
                "--config" => flags.config = Some(value()?),
                "--profile" => flags.profile = Some(value()?),
                "--set" => {
                    let pair = value()?;
                    let (key, value) = pair.split_once('=').ok_or_else(|| {
                        usage(&format!(
                            "--set {pair}: expected KEY=VALUE, as in --set server.listen=127.0.0.1:8080"
                        ))
                    })?;
                    flags.set.push((key.to_owned(), value.to_owned()));
                }
                "--check" => flags.errand = Some(Errand::Check),
                "--describe" => flags.errand = Some(Errand::Describe),
                "--version" => flags.errand = Some(Errand::Version),
                "--help" | "-h" => flags.errand = Some(Errand::Help),
                other => return Err(usage(&format!("unknown argument {other:?}"))),
            }
        }
        Ok(flags)
    }
}

/// What `--help` prints.
pub(super) fn help(service: &str) -> String {
    format!(
        "{service}: a service on the platform

  --config FILE     the configuration file (else PLATFORM_CONFIG, else ./platform.toml if it is there)
  --profile NAME    also what stands under [profile.NAME] (else PLATFORM_PROFILE)
  --set KEY=VALUE   one setting, stronger than file and environment; may be given again
  --check           say whether the configuration is fine, and end
  --describe        print identity, objectives, configuration, stack and metrics as JSON, and end
  --version         print the version, and end
  --help            print this, and end"
    )
}

fn usage(what: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("{what}; --help lists the flags"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Flags> {
        Flags::parse(arguments.iter().map(|a| (*a).to_owned()))
    }

    #[test]
    fn reads_each_flag_in_both_forms() {
        let expected = Flags {
            config: Some("a.toml".into()),
            profile: Some("dev".into()),
            set: vec![("server.listen".into(), "127.0.0.1:0".into()), ("a.b".into(), "x=y".into())],
            errand: Some(Errand::Check),
        };
        let spaced = [
            "--config",
            "a.toml",
            "--profile",
            "dev",
            "--set",
            "server.listen=127.0.0.1:0",
            "--set",
            "a.b=x=y",
            "--check",
        ];
        assert_eq!(parse(&spaced).unwrap(), expected);
        let joined = [
            "--config=a.toml",
            "--profile=dev",
            "--set=server.listen=127.0.0.1:0",
            "--set=a.b=x=y",
            "--check",
        ];
        assert_eq!(parse(&joined).unwrap(), expected);
    }

    #[test]
    fn says_what_is_wrong_and_where_to_look() {
        for (arguments, message) in [
            (&["--confg", "x"][..], "usage: unknown argument \"--confg\"; --help lists the flags"),
            (&["--config"], "usage: --config needs a value; --help lists the flags"),
            (
                &["--set", "x"],
                "usage: --set x: expected KEY=VALUE, as in --set server.listen=127.0.0.1:8080; --help lists the flags",
            ),
            (&["--check=no"], "usage: --check takes no value, and got \"no\"; --help lists the flags"),
            (&["serve"], "usage: unknown argument \"serve\"; --help lists the flags"),
        ] {
            assert_eq!(parse(arguments).unwrap_err().to_string(), message);
        }
    }
}
