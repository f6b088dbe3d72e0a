//! What stands in the tables of the manual. Shared by the tests of several crates.

use serde_json::Value;

/// The page with every default.
pub(crate) const DEFAULTS: &str = include_str!("../../src/manual/defaults.rs");

/// The rows of the table below a heading of a page, without the table's own heading: the cells of each.
pub(crate) fn section(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, rest) = page.split_once(&format!("//! # {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    rows(rest.split("//! # ").next().expect("a first part"))
}

/// The cells of each row of a table, without its heading.
pub(crate) fn rows(page: &str) -> Vec<Vec<String>> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells =
        |line: &str| line.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`']).to_owned()).collect();
    lines.skip(1).map(cells).collect()
}

/// Every default of `value` has its row below the heading, with its value and a reason, and no other has one.
pub(crate) fn has_every_default(page: &str, heading: &str, value: &Value) {
    let mut told = Vec::new();
    for row in section(page, heading) {
        let [key, value, why] = row.as_slice() else { panic!("three cells: {row:?}") };
        assert!(!why.is_empty(), "{heading} {key} has no reason");
        told.push((key.clone(), value.clone()));
    }
    told.sort();
    assert_eq!(told, flat(value), "{heading}");
}

/// The keys and values of a section, as they are written in a file, in order.
pub(crate) fn flat(value: &Value) -> Vec<(String, String)> {
    fn collect(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
        match value {
            Value::Object(table) if !table.is_empty() => {
                for (key, value) in table {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    collect(&path, value, found);
                }
            }
            Value::String(text) if text.is_empty() => found.push((path.to_owned(), "\"\"".to_owned())),
            Value::String(text) => found.push((path.to_owned(), text.clone())),
            value => found.push((path.to_owned(), value.to_string())),
        }
    }
    let mut found = Vec::new();
    collect("", value, &mut found);
    found.sort();
    found
}
