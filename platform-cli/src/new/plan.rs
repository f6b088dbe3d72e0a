//! What is made: the answers that somebody gave, as flags or at a terminal.

use platform_core::{Result, config::Name};

use super::{names::Names, source::Source};
use crate::usage;

/// A service to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) names: Names,
    pub(super) serves: Serves,
    pub(super) asks: Vec<Asked>,
    pub(super) owner: String,
    /// Empty where it is nobody.
    pub(super) reports_to: String,
    pub(super) why: String,
    pub(super) runbook: String,
    pub(super) source: Source,
}

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serves {
    Http,
    Grpc,
    Both,
}

/// What it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) names: Names,
    pub(super) grpc: bool,
}

impl Serves {
    pub(super) fn parse(word: &str) -> Result<Self> {
        match word.trim() {
            "http" => Ok(Serves::Http),
            "grpc" => Ok(Serves::Grpc),
            "both" => Ok(Serves::Both),
            other => Err(usage(format!("{other:?}: say http, grpc or both"))),
        }
    }

    pub(super) fn http(self) -> bool {
        self != Serves::Grpc
    }

    pub(super) fn grpc(self) -> bool {
        self != Serves::Http
    }
}

impl Asked {
    /// `inventory,payments:grpc`
    ///
    /// # Errors
    /// What is no name, stands twice, or speaks something else.
    pub(super) fn parse(words: &str, of: &Names) -> Result<Vec<Self>> {
        let mut all: Vec<Asked> = Vec::new();
        for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (name, grpc) = match word.split_once(':') {
                None | Some((_, "http")) => (word.trim_end_matches(":http"), false),
                Some((name, "grpc")) => (name, true),
                Some((name, other)) => {
                    return Err(usage(format!("{name} speaks {other:?}: say {name} (HTTP) or {name}:grpc")));
                }
            };
            let names = Names::parse(name)?;
            if names.name == of.name {
                return Err(usage(format!("{name} would depend on itself")));
            }
            if all.iter().any(|other| other.names.snake == names.snake) {
                return Err(usage(format!("{name} stands twice among the dependencies")));
            }
            all.push(Asked { names, grpc });
        }
        Ok(all)
    }
}

/// Who is called at night.
///
/// # Errors
/// What is no name.
pub(super) fn owner(text: &str) -> Result<String> {
    let name = Name::parse(text).map_err(|why| usage(format!("the owner: {why}")))?;
    Ok(name.as_str().to_owned())
}

/// Who is called when `owner` does not come; nobody where it is empty.
///
/// # Errors
/// What is no name, and the owner itself.
pub(super) fn parent(text: &str, owner: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(String::new());
    }
    let name = Name::parse(text).map_err(|why| usage(format!("whom the owner reports to: {why}")))?;
    if name.as_str() == owner {
        return Err(usage(format!("{owner} would report to itself")));
    }
    Ok(name.as_str().to_owned())
}

/// A sentence that stands in comments, in quotes and on a page.
///
/// # Errors
/// More than a line.
pub(super) fn sentence(what: &str, text: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(usage(format!("{what} is one line of text, and {text:?} is none")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_say_what_they_speak() {
        let orders = Names::parse("orders").unwrap();
        let asked = Asked::parse("inventory, payments:grpc,stock:http", &orders).unwrap();
        let told: Vec<_> = asked.iter().map(|one| (one.names.name.as_str(), one.grpc)).collect();
        assert_eq!(told, [("inventory", false), ("payments", true), ("stock", false)]);
        assert_eq!(Asked::parse("", &orders).unwrap(), []);
        for (words, told) in [
            ("a:soap", "a speaks \"soap\""),
            ("a,b,a:grpc", "a stands twice"),
            ("orders", "depend on itself"),
            ("A", "did you mean `a`?"),
        ] {
            let error = Asked::parse(words, &orders).unwrap_err().to_string();
            assert!(error.contains(told), "{words}: {error}");
        }
    }

    #[test]
    fn owners_are_names_and_sentences_are_one_line() {
        assert!(owner("Team A").unwrap_err().to_string().contains("did you mean `team-a`?"));
        assert_eq!(parent(" commerce", "team-a").unwrap(), "commerce");
        assert_eq!(parent(" ", "team-a").unwrap(), "");
        assert!(parent("team-a", "team-a").unwrap_err().to_string().contains("report to itself"));
        assert!(parent("The Boss", "team-a").is_err());
        assert_eq!(sentence("why", " it sells ").unwrap(), "it sells");
        assert!(sentence("why", "a\nb").is_err());
        assert!(sentence("why", " ").is_err());
    }
}
