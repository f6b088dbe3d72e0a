//! Key: the dotted path of a value, as a person writes it in a file.

use std::fmt;

/// The path of one value: `server.times.header`; parts that are no bare TOML keys are quoted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(Vec<String>);

impl Key {
    /// Reads `a.b."c d"`; the empty text is the root.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Key::default());
        }
        match toml_edit::Key::parse(text) {
            Ok(parts) => Ok(Key(parts.iter().map(|part| part.get().to_owned()).collect())),
            Err(_) => Err(format!(
                "`{text}` is not a key; write parts separated by dots, such as server.listen, and quote a part \
                 that holds other characters"
            )),
        }
    }

    /// The parts, outermost first.
    pub(crate) fn parts(&self) -> &[String] {
        &self.0
    }

    /// This key with one more part.
    pub(crate) fn child(&self, part: impl Into<String>) -> Key {
        let mut parts = self.0.clone();
        parts.push(part.into());
        Key(parts)
    }

    /// This key with more parts.
    pub(crate) fn join(&self, rest: &[String]) -> Key {
        Key([self.0.as_slice(), rest].concat())
    }

    /// The key without its last part, and that part.
    pub(crate) fn split_last(&self) -> Option<(Key, &str)> {
        let (last, rest) = self.0.split_last()?;
        Some((Key(rest.to_vec()), last))
    }

    /// What follows `prefix`, if this key lies under it or is it.
    pub(crate) fn under(&self, prefix: &Key) -> Option<&[String]> {
        self.0.strip_prefix(prefix.0.as_slice())
    }

    /// Is the last part a name that a person chose (of a client, of a route class)?
    pub(crate) fn ends_in_name(&self) -> bool {
        NAMED.iter().any(|owner| {
            self.0.len() == owner.len() + 1 && owner.iter().zip(&self.0).all(|(word, part)| word == part)
        })
    }

    /// The environment variable that sets this key.
    pub(crate) fn variable(&self) -> String {
        let parts = self.0.iter().map(|part| part.replace('-', "_").to_uppercase());
        std::iter::once("PLATFORM".to_owned()).chain(parts).collect::<Vec<_>>().join("__")
    }
}

impl FromIterator<String> for Key {
    fn from_iter<I: IntoIterator<Item = String>>(parts: I) -> Self {
        Key(parts.into_iter().collect())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            write!(f, "{dot}{}", toml_edit::Key::new(part).display_repr())?;
        }
        Ok(())
    }
}

/// One top-level section and what it is for.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
}

/// Every section there is; a team's own keys live in `[settings]`.
pub(crate) const SECTIONS: [Section; 11] = [
    Section { name: "service", about: "Who this is: on every log line, metric and trace." },
    Section { name: "server", about: "What we listen on, what we accept, and how we protect ourselves." },
    Section { name: "admin", about: "Where operators and probes ask." },
    Section { name: "defaults", about: "What every client starts from." },
    Section { name: "clients", about: "What we call, one section for each name." },
    Section { name: "blocking", about: "Threads that may be held, one section for each kind of work." },
    Section { name: "discovery", about: "Where endpoints come from, and how others find us." },
    Section { name: "telemetry", about: "What is logged and traced." },
    Section { name: "lifecycle", about: "How long a stop may take." },
    Section { name: "slo", about: "What we promise our users." },
    Section { name: "settings", about: "The team's own." },
];

/// The table of profiles; in files only.
pub(crate) const PROFILE: &str = "profile";

/// The section a client's keys fall back to.
pub(crate) const DEFAULTS: &str = "defaults";

/// The section with one table for each client.
pub(crate) const CLIENTS: &str = "clients";

/// Is this a section?
pub(crate) fn is_section(name: &str) -> bool {
    SECTIONS.iter().any(|section| section.name == name)
}

/// Tables whose keys are names that people choose.
const NAMED: [&[&str]; 3] = [&[CLIENTS], &["server", "classes"], &["blocking"]];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_from_what_it_prints() {
        for text in ["server.listen", "clients.ratings.methods.\"film.Ratings/Get\".idempotent", "a-b.c_d"] {
            assert_eq!(Key::parse(text).unwrap().to_string(), text);
        }
        assert!(Key::parse("server..listen").unwrap_err().contains("server.listen"));
    }

    #[test]
    fn the_environment_spells_a_key_in_capitals_with_two_underscores() {
        let key = Key::parse("clients.film-ratings.policy.attempt_timeout").unwrap();
        assert_eq!(key.variable(), "PLATFORM__CLIENTS__FILM_RATINGS__POLICY__ATTEMPT_TIMEOUT");
    }

    #[test]
    fn names_stand_under_clients_classes_and_threads_only() {
        let ends = |text: &str| Key::parse(text).unwrap().ends_in_name();
        assert!(ends("clients.ratings"));
        assert!(ends("server.classes.slow"));
        assert!(ends("blocking.films"));
        assert!(!ends("clients.ratings.policy"));
        assert!(!ends("server.policy"));
    }
}
