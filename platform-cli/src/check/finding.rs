//! What was found, as compilers tell it: file, line, column, and the place underlined.

use std::{
    fmt::Write as _,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use toml_edit::{ImDocument, Item, Key, TableLike};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) place: Place,
    pub(super) what: String,
    /// What else takes part in it.
    pub(super) notes: Vec<(Place, String)>,
}

/// Where it stands. Without a line it is about the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: Option<usize>,
    /// The key that is wrong, as the file's tables nest.
    pub(super) key: String,
}

impl Finding {
    pub(super) fn new(place: Place, what: impl Into<String>) -> Self {
        Finding { place, what: what.into(), notes: Vec::new() }
    }

    pub(super) fn note(mut self, place: Place, what: impl Into<String>) -> Self {
        self.notes.push((place, what.into()));
        self
    }

    /// For a person.
    pub(super) fn render(&self) -> String {
        let mut out = format!("error: {}\n", self.what);
        show(&self.place, &mut out);
        for (place, what) in &self.notes {
            let _ = writeln!(out, "note: {what}");
            show(place, &mut out);
        }
        out
    }

    /// For a script.
    pub(super) fn json(&self) -> Value {
        let notes = self.notes.iter().map(|(place, what)| json!({ "message": what, "at": place.json() }));
        json!({ "message": self.what, "at": self.place.json(), "notes": notes.collect::<Vec<_>>() })
    }
}

impl Place {
    pub(super) fn file(file: &Path) -> Self {
        Place { file: file.to_path_buf(), line: None, key: String::new() }
    }

    /// Where `key` stands in the file, or the nearest table around it.
    pub(super) fn of(file: &Path, key: &str) -> Self {
        let mut place = Place { key: key.to_owned(), ..Place::file(file) };
        if let Some((text, span)) = fs::read_to_string(file).ok().and_then(|text| {
            let span = span(&text, key)?;
            Some((text, span))
        }) {
            place.line = Some(line_of(&text, span.start));
        }
        place
    }

    fn json(&self) -> Value {
        json!({ "file": self.file, "line": self.line, "column": self.spot().map(|spot| spot.column + 1), "key": self.key })
    }

    /// The line and what of it is underlined.
    fn spot(&self) -> Option<Spot> {
        let text = fs::read_to_string(&self.file).ok()?;
        let number = self.line?;
        let line = text.lines().nth(number.checked_sub(1)?)?.to_owned();
        let begin = text.split_inclusive('\n').take(number - 1).map(str::len).sum::<usize>();
        let within = begin..begin + line.len();
        let blank = line.len() - line.trim_start().len();
        let meant = span(&text, &self.key).filter(|span| within.contains(&span.start));
        let meant = meant.map_or(blank..line.trim_end().len(), |span| {
            span.start - begin..span.end.min(within.end) - begin
        });
        let column = line.get(..meant.start)?.chars().count();
        let width = line.get(meant)?.chars().count().max(1);
        Some(Spot { line, column, width })
    }
}

struct Spot {
    line: String,
    column: usize,
    width: usize,
}

fn show(place: &Place, out: &mut String) {
    let file = place.file.display();
    match (place.line, place.spot()) {
        (Some(number), Some(Spot { line, column, width })) => {
            let margin = " ".repeat(number.to_string().len());
            let _ = writeln!(out, "{margin}--> {file}:{number}:{}", column + 1);
            let _ = writeln!(out, "{margin} |\n{number} | {line}");
            let _ = writeln!(out, "{margin} | {}{}", " ".repeat(column), "^".repeat(width));
        }
        (Some(number), None) => drop(writeln!(out, " --> {file}:{number}")),
        (None, _) => drop(writeln!(out, " --> {file}")),
    }
}

/// From a key's first letter to its value's last, or the nearest table's head that stands around it.
fn span(text: &str, key: &str) -> Option<Range<usize>> {
    let document = ImDocument::parse(text.to_owned()).ok()?;
    let mut table: &dyn TableLike = document.as_table();
    let mut nearest = None;
    for part in Key::parse(key).ok()? {
        let Some((key, item)) = table.get_key_value(part.get()) else { break };
        let value = item.span().filter(|_| item.is_value() && !item.is_inline_table());
        nearest = match (key.span(), value) {
            (Some(key), Some(value)) => Some(key.start..value.end.max(key.end)),
            (Some(key), None) => Some(key),
            (None, value) => value.or(nearest),
        };
        match item {
            Item::Table(inner) => {
                // The head of a table says more than the word in it.
                let head = |span: Range<usize>| {
                    let end = text[span.clone()].find(['\n', '#']).map_or(span.end, |end| span.start + end);
                    span.start..span.start + text[span.start..end].trim_end().len()
                };
                nearest = inner.span().map(head).or(nearest);
                table = inner;
            }
            other => match other.as_table_like() {
                Some(inner) => table = inner,
                None => break,
            },
        }
    }
    nearest
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
[service]
owner = \"team-a\" # at night

[clients.inventory]
policy = { timeout = \"1s\", retry = { max_attempts = 9 } }
";

    #[test]
    fn a_key_is_underlined_with_its_value_and_a_table_by_its_head() {
        for (key, told) in [
            ("service.owner", "owner = \"team-a\""),
            ("clients.inventory.policy.retry.max_attempts", "max_attempts = 9"),
            ("clients.inventory.policy.timeout", "timeout = \"1s\""),
            ("clients.inventory.policy.nothing", "policy"),
            ("clients.inventory.target", "[clients.inventory]"),
        ] {
            assert_eq!(&FILE[span(FILE, key).unwrap()], told, "{key}");
        }
        assert_eq!(span(FILE, "lifecycle.grace"), None);
    }

    #[test]
    fn a_finding_shows_its_line() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("platform.toml");
        fs::write(&file, FILE).unwrap();
        let finding = Finding::new(Place::of(&file, "clients.inventory.policy.timeout"), "it is long")
            .note(Place::of(&file, "service.owner"), "and this");
        let shown = format!(
            "error: it is long\n --> {0}:5:12\n  |\n5 | policy = {{ timeout = \"1s\", retry = {{ max_attempts = 9 }} }}\n  \
             |            ^^^^^^^^^^^^^^\nnote: and this\n --> {0}:2:1\n  |\n2 | owner = \"team-a\" # at night\n  | ^^^^^^^^^^^^^^^^\n",
            file.display()
        );
        assert_eq!(finding.render(), shown);
        assert_eq!(finding.json()["at"]["column"], 12);
    }
}
