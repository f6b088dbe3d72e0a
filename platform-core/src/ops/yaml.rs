//! Values as YAML that a person can read.
//!
//! Only what rules, routes and entries need: maps, lists, texts, numbers. Whatever could be taken for something else
//! stands in quotes.

use std::fmt::Write as _;

use serde_json::Value;

/// The value as a YAML document, `about` as the comment above it.
pub(super) fn document(about: &str, value: &Value) -> String {
    let mut out = String::new();
    about.lines().for_each(|line| {
        let _ = writeln!(out, "# {line}");
    });
    write(value, 0, &mut out);
    out
}

/// Several values in one file.
pub(super) fn documents(about: &str, values: &[Value]) -> String {
    let each: Vec<String> = values.iter().map(|value| document("", value)).collect();
    let about = document(about, &Value::Null);
    about.trim_end_matches("null\n").to_owned() + &each.join("---\n")
}

fn write(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (index, (key, value)) in map.iter().enumerate() {
                // The first key of a map in a list stands behind its dash.
                if index > 0 || !out.ends_with("- ") {
                    indent(depth, out);
                }
                out.push_str(&scalar(key));
                out.push(':');
                below(value, depth, out);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                indent(depth, out);
                out.push_str("- ");
                write(value, depth + 1, out);
            }
        }
        scalar => {
            let _ = writeln!(out, "{}", scalar_of(scalar));
        }
    }
}

/// What stands behind `key:`.
fn below(value: &Value, depth: usize, out: &mut String) {
    let nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        write(value, depth + 1, out);
    } else {
        let _ = writeln!(out, " {}", scalar_of(value));
    }
}

fn scalar_of(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        // Numbers, booleans, null, and the empty map and list are the same in both languages.
        other => other.to_string(),
    }
}

fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-/.".contains(&b))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        text.to_owned()
    } else if text.chars().any(char::is_control) {
        // JSON's quotes are YAML's.
        Value::from(text).to_string()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn indent(depth: usize, out: &mut String) {
    (0..depth).for_each(|_| out.push_str("  "));
}

/// What is not a text in YAML, or was not once.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_of_maps_are_indented_and_what_is_ambiguous_is_quoted() {
        let value = json!({
            "groups": [{ "name": "a", "rules": [{ "expr": "max(x{y=\"z\"}) > 2", "on": "no" }, 5, [], {}] }],
            "text": "it's\nhere",
            "apostrophe": "it's",
            "empty": "",
        });
        assert_eq!(
            document("made by a test\ntwo lines", &value),
            "# made by a test\n# two lines\n\
             apostrophe: 'it''s'\nempty: ''\ngroups:\n  - name: a\n    rules:\n      - expr: 'max(x{y=\"z\"}) > 2'\n        'on': 'no'\n      \
             - 5\n      - []\n      - {}\ntext: \"it's\\nhere\"\n"
        );
        assert_eq!(documents("two", &[json!({"a": 1}), json!({"b": 2})]), "# two\na: 1\n---\nb: 2\n");
    }
}
