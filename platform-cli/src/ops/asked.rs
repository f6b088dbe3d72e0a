//! What is asked of `platform ops`?

use std::path::PathBuf;

use platform_core::{Error, ErrorKind, Result, ops::Places};

/// One command line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) kind: Kind,
    pub(super) sources: Vec<Source>,
    pub(super) places: Places,
    pub(super) profile: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    /// How listeners with certificates are asked: a flag of the commands that ask services, and its value.
    pub(super) reaching: Vec<String>,
    pub(super) check: bool,
    out: Option<PathBuf>,
}

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boards,
    Rules,
    Alertmanager,
    Catalog,
}

/// Where services are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Every `platform.toml` in it.
    Folder(PathBuf),
    /// A program, perhaps with arguments.
    Binary(String),
    /// An admin listener.
    Url(String),
}

impl Asked {
    pub(super) fn parse(arguments: &[&str]) -> Result<Self> {
        let (kind, rest) = match arguments {
            ["boards", rest @ ..] => (Kind::Boards, rest),
            ["rules", rest @ ..] => (Kind::Rules, rest),
            ["alertmanager", rest @ ..] => (Kind::Alertmanager, rest),
            ["catalog", rest @ ..] => (Kind::Catalog, rest),
            [] => {
                return Err(usage(
                    "platform ops needs to know what to make: boards, rules, alertmanager or catalog",
                ));
            }
            [other, ..] => {
                return Err(usage(format!(
                    "platform ops {other} is nothing; it makes boards, rules, alertmanager or catalog"
                )));
            }
        };
        let mut asked = Asked {
            kind,
            sources: Vec::new(),
            places: Places::default(),
            profile: None,
            token_file: None,
            reaching: Vec::new(),
            check: false,
            out: None,
        };
        let mut arguments = rest.iter().copied();
        while let Some(argument) = arguments.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value)),
                _ => (argument, None),
            };
            let mut value = || {
                let value = inline.or_else(|| arguments.next()).filter(|value| !value.is_empty());
                value.ok_or_else(|| usage(format!("{name} needs a value")))
            };
            match name {
                "--check" if inline.is_none() => asked.check = true,
                "--out" => asked.out = Some(PathBuf::from(value()?)),
                "--from" => asked.sources.push(source(value()?)),
                "--grafana" => asked.places.grafana = value()?.to_owned(),
                "--runbooks" => asked.places.runbooks = value()?.to_owned(),
                "--profile" => asked.profile = Some(value()?.to_owned()),
                "--config" | "--set" | "--ca" | "--cert" | "--key" | "--server-name" => {
                    let value = value()?;
                    asked.reaching.extend([name, value].map(str::to_owned));
                }
                "--token-file" => asked.token_file = Some(PathBuf::from(value()?)),
                "--shorten" => {
                    let text = value()?;
                    asked.places.shorten = text.parse().map_err(|_| {
                        usage(format!("--shorten {text}: expected a whole number, such as 60"))
                    })?;
                }
                flag if flag.starts_with('-') => return Err(usage(format!("unknown argument {flag:?}"))),
                folder => asked.sources.push(Source::Folder(PathBuf::from(folder))),
            }
        }
        let folder = asked.sources.iter().any(|source| matches!(source, Source::Folder(_)));
        match (kind, asked.sources.is_empty()) {
            (Kind::Boards, false) if folder => Err(usage(
                "boards are the same for every service, which a variable of theirs chooses; what only one shows stands in \
                 no file, but its program knows it: --from BINARY or --from URL",
            )),
            (Kind::Rules | Kind::Alertmanager | Kind::Catalog, true) => Err(usage(
                "of which services? Name a folder of platform.toml files, --from BINARY or --from URL",
            )),
            _ => Ok(asked),
        }
    }

    /// Where files go.
    pub(super) fn folder(&self) -> PathBuf {
        let usual = if self.kind == Kind::Boards { "dashboards" } else { "ops" };
        self.out.clone().unwrap_or_else(|| PathBuf::from(usual))
    }
}

fn source(text: &str) -> Source {
    if text.contains("://") { Source::Url(text.to_owned()) } else { Source::Binary(text.to_owned()) }
}

fn usage(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Asked> {
        Asked::parse(&line.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn a_line_is_read_in_both_forms() {
        let spaced =
            parse("rules company --from bin/edge --from http://127.0.0.1:9464 --out o --check --shorten 60");
        let asked = spaced.unwrap();
        assert_eq!(
            asked.sources,
            [
                Source::Folder("company".into()),
                Source::Binary("bin/edge".to_owned()),
                Source::Url("http://127.0.0.1:9464".to_owned()),
            ]
        );
        assert_eq!((asked.folder(), asked.check, asked.places.shorten), ("o".into(), true, 60));
        assert_eq!(
            parse("rules company --from=bin/edge --from=http://127.0.0.1:9464 --out=o --check --shorten=60")
                .unwrap(),
            asked
        );
        assert_eq!(parse("boards").unwrap().folder(), PathBuf::from("dashboards"));
        assert_eq!(parse("boards --from bin/edge").unwrap().sources.len(), 1);
    }

    #[test]
    fn a_wrong_line_says_what_is_missing() {
        for (line, why) in [
            ("", "boards, rules, alertmanager or catalog"),
            ("dashboards", "platform ops dashboards is nothing"),
            ("rules", "of which services?"),
            ("boards company", "its program knows it: --from BINARY"),
            ("rules company --out", "--out needs a value"),
            ("rules company --force", "unknown argument \"--force\""),
            ("rules company --check=yes", "unknown argument \"--check\""),
            ("rules company --shorten soon", "expected a whole number"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.kind() == ErrorKind::Usage && error.detail().contains(why), "{line}: {error}");
        }
    }
}
