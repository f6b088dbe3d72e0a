//! What stands behind a command's name: words, and flags with or without a value.

use platform_core::Result;

use crate::usage;

/// The arguments of one command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    words: Vec<String>,
    flags: Vec<(&'static str, Option<String>)>,
}

/// A flag that a command knows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flag {
    /// `--json`
    Alone(&'static str),
    /// `--owner team-a`, or `--owner=team-a`
    Valued(&'static str),
}

impl Arguments {
    /// Reads what was typed. Behind `--` everything is a word.
    ///
    /// # Errors
    /// A flag that nobody knows, one that needs a value and has none, or has one and takes none.
    pub(crate) fn parse(given: &[String], known: &[Flag]) -> Result<Self> {
        let mut arguments = Arguments::default();
        let mut given = given.iter();
        while let Some(argument) = given.next() {
            if argument == "--" {
                arguments.words.extend(given.cloned());
                break;
            }
            if !argument.starts_with("--") {
                arguments.words.push(argument.clone());
                continue;
            }
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let flag = known.iter().find(|flag| flag.name() == name);
            let flag = flag.ok_or_else(|| usage(unknown(name, known)))?;
            match (flag, inline) {
                (Flag::Alone(name), None) => arguments.flags.push((name, None)),
                (Flag::Alone(name), Some(value)) => {
                    return Err(usage(format!("{name} takes no value, and got {value:?}")));
                }
                (Flag::Valued(name), inline) => {
                    let value = inline.or_else(|| given.next().cloned());
                    let value = value.ok_or_else(|| usage(format!("{name} needs a value")))?;
                    arguments.flags.push((name, Some(value)));
                }
            }
        }
        Ok(arguments)
    }

    /// Was the flag given?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|(given, _)| *given == name)
    }

    /// What the flag was given last.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let given = self.flags.iter().rev().find(|(given, _)| *given == name);
        given.and_then(|(_, value)| value.as_deref())
    }

    /// Everything that the flag was given, in order.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.flags.iter().filter(move |(given, _)| *given == name).filter_map(|(_, value)| value.as_deref())
    }

    /// The words, where a command takes `least` to `most`; `what` says which.
    ///
    /// # Errors
    /// Too few or too many.
    pub(crate) fn words(&self, least: usize, most: usize, what: &str) -> Result<&[String]> {
        match self.words.len() {
            count if count < least => Err(usage(format!("{what} is missing"))),
            count if count > most => {
                Err(usage(format!("{:?} is one word too many; {what} is all it takes", self.words[most])))
            }
            _ => Ok(&self.words),
        }
    }
}

impl Flag {
    fn name(self) -> &'static str {
        match self {
            Flag::Alone(name) | Flag::Valued(name) => name,
        }
    }
}

fn unknown(name: &str, known: &[Flag]) -> String {
    let known: Vec<&str> = known.iter().map(|flag| flag.name()).collect();
    if known.is_empty() {
        format!("{name} is no flag of it; there are none")
    } else {
        format!("{name} is no flag of it; there are {}", known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Flag; 2] = [Flag::Alone("--json"), Flag::Valued("--owner")];

    fn parse(given: &[&str]) -> Result<Arguments> {
        let given: Vec<String> = given.iter().map(|one| (*one).to_owned()).collect();
        Arguments::parse(&given, &KNOWN)
    }

    #[test]
    fn words_and_flags_stand_in_any_order() {
        let arguments = parse(&["--owner", "a", "orders", "--json", "--owner=b", "--", "--x"]).unwrap();
        assert!(arguments.has("--json"));
        assert_eq!(arguments.value("--owner"), Some("b"));
        assert_eq!(arguments.words(1, 2, "a name").unwrap(), ["orders", "--x"]);
        assert!(!parse(&[]).unwrap().has("--json"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (given, told) in [
            (&["--jsn"][..], "--jsn is no flag of it; there are --json, --owner"),
            (&["--owner"], "--owner needs a value"),
            (&["--json=yes"], "--json takes no value"),
        ] {
            let error = parse(given).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let error = parse(&[]).unwrap().words(1, 1, "a name").unwrap_err().to_string();
        assert!(error.contains("a name is missing"), "{error}");
        let error = parse(&["a", "b"]).unwrap().words(1, 1, "a name").unwrap_err().to_string();
        assert!(error.contains("\"b\" is one word too many"), "{error}");
    }
}
