//! What may a service be called, and what is it called elsewhere?

use platform_core::{Error, ErrorKind, Result, config::Name};

/// A service's name and its spellings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// `film-ratings`
    pub(super) name: String,
    /// Rust's and protobuf's packages: `film_ratings`
    pub(super) snake: String,
    /// The proto's service: `FilmRatings`
    pub(super) pascal: String,
    /// How tonic calls the modules of that service: `film_ratings`, but `s3` for `s-3`
    pub(super) module: String,
}

impl Names {
    /// # Errors
    /// What is no name of a service, a crate, a protobuf package or a host.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |why: String| Error::new(ErrorKind::Usage, why);
        let name = Name::parse(text).map_err(wrong)?.as_str().to_owned();
        let snake = name.replace('-', "_");
        if name.ends_with('-') || name.contains("--") {
            return Err(wrong(format!(
                "{name:?} is no host's name: no hyphen may stand at the end, nor two together"
            )));
        }
        if let Some(whose) = taken(&name, &snake) {
            return Err(wrong(format!("{name:?} is {whose}; take another name, such as {name}-service")));
        }
        let pascal: String = name.split('-').map(capital).collect();
        let mut module = String::new();
        for (index, letter) in pascal.char_indices() {
            if letter.is_ascii_uppercase() && index > 0 {
                module.push('_');
            }
            module.push(letter.to_ascii_lowercase());
        }
        Ok(Names { name, snake, pascal, module })
    }
}

fn capital(part: &str) -> String {
    let mut letters = part.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// Whose name it is already.
fn taken(name: &str, snake: &str) -> Option<&'static str> {
    if KEYWORDS.contains(&snake) {
        Some("a word of Rust")
    } else if CARGO.contains(&name) {
        Some("a folder or a crate that cargo needs")
    } else if CRATES.contains(&name) || name.starts_with("platform-") || name == "platform" {
        Some("a crate that every service depends on")
    } else if MESSAGES.contains(&name) {
        Some("a message of the proto that is written for it")
    } else {
        None
    }
}

const KEYWORDS: [&str; 50] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while",
];
const CARGO: [&str; 9] =
    ["alloc", "build", "core", "deps", "examples", "incremental", "proc-macro", "std", "test"];
const CRATES: [&str; 7] = ["axum", "prost", "serde", "serde-json", "tokio", "tonic", "tonic-prost"];
const MESSAGES: [&str; 2] = ["find-request", "find-reply"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_spelled_as_each_place_wants_it() {
        for (name, snake, pascal, module) in [
            ("orders", "orders", "Orders", "orders"),
            ("film-ratings", "film_ratings", "FilmRatings", "film_ratings"),
            ("s-3-gate", "s_3_gate", "S3Gate", "s3_gate"),
        ] {
            let names = Names::parse(name).unwrap();
            let spelled = (names.snake.as_str(), names.pascal.as_str(), names.module.as_str());
            assert_eq!(spelled, (snake, pascal, module));
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        for (name, told) in [
            ("Orders", "did you mean `orders`?"),
            ("film_ratings", "did you mean `film-ratings`?"),
            ("../orders", "is not a name"),
            ("", "is not a name"),
            ("orders-", "no host's name"),
            ("a--b", "no host's name"),
            ("match", "a word of Rust"),
            ("test", "cargo needs"),
            ("tokio", "every service depends on"),
            ("platform-http", "every service depends on"),
            ("find-reply", "a message"),
        ] {
            let error = Names::parse(name).unwrap_err();
            assert!(error.to_string().contains(told), "{name}: {error}");
            assert_eq!(error.kind(), ErrorKind::Usage);
        }
    }
}
