//! Render: the effective configuration as a file with comments, for `platform config show`.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    claim::Effective,
    key::{Key, SECTIONS},
    origin::Origin,
};

/// TOML that sets every value to what it is, with what the section is for and where each value came from.
pub(super) fn render(effective: &BTreeMap<Key, Effective>) -> String {
    let mut tables: BTreeMap<Key, Vec<(&str, &Effective)>> = BTreeMap::new();
    for (key, value) in effective {
        if let Some((table, name)) = key.split_last() {
            tables.entry(table).or_default().push((name, value));
        }
    }
    let mut text = String::new();
    let mut section = "";
    for (table, values) in &tables {
        if !text.is_empty() {
            text.push('\n');
        }
        let first = table.parts().first().map_or("", String::as_str);
        if first != section {
            section = first;
            let about = SECTIONS.iter().find(|known| known.name == first).map_or("", |known| known.about);
            let _ = writeln!(text, "# {about}");
        }
        let _ = writeln!(text, "[{table}]");
        for (name, value) in values {
            let name = Key::default().child(*name);
            let _ = match toml(&value.value) {
                Some(toml) => writeln!(text, "{name} = {toml}  # {}", told(&value.origin)),
                None => writeln!(text, "# {name} is not set"),
            };
        }
    }
    text
}

/// One line, whatever a path holds.
fn told(origin: &Origin) -> String {
    origin.to_string().replace(char::is_control, " ")
}

/// The value in TOML; `None` for nothing, which TOML cannot say.
fn toml(value: &serde_json::Value) -> Option<toml_edit::Value> {
    Some(match value {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(flag) => (*flag).into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64()?.into(),
        },
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Array(list) => list.iter().filter_map(toml).collect::<toml_edit::Array>().into(),
        serde_json::Value::Object(map) => {
            let entries = map.iter().filter_map(|(name, value)| Some((name.as_str(), toml(value)?)));
            toml_edit::Value::InlineTable(entries.collect())
        }
    })
}
