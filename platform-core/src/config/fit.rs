//! Fit: text from the environment and from flags, read as the type that the section has in that place.

use figment::value::{Dict, Value};

use super::{key::Key, sources::plain};

/// Reads every text value under `at` that `is_text` names as the type that stands in `shape`, and gives keys the
/// hyphens that a variable cannot have.
pub(super) fn fit(set: Dict, shape: Option<&Dict>, at: &Key, is_text: &impl Fn(&Key) -> bool) -> Dict {
    let fitted = set.into_iter().map(|(name, value)| {
        let key = at.child(&name);
        let name = if is_text(&key) { hyphenated(name, shape) } else { name };
        let place = shape.and_then(|shape| shape.get(&name));
        let value = match value {
            Value::Dict(tag, dict) => {
                Value::Dict(tag, fit(dict, place.and_then(Value::as_dict), &key, is_text))
            }
            Value::String(_, text) if is_text(&key) => typed(text, place),
            other => other,
        };
        (name, value)
    });
    fitted.collect()
}

fn hyphenated(name: String, shape: Option<&Dict>) -> String {
    let Some(shape) = shape.filter(|shape| !shape.contains_key(&name)) else { return name };
    shape.keys().find(|known| known.replace('-', "_") == name).cloned().unwrap_or(name)
}

/// `text` as the type of `place`. Where that is unknown (an option, an entry of a map) it is what TOML makes of it;
/// if the section refuses that, it gets the text.
fn typed(text: String, place: Option<&Value>) -> Value {
    if matches!(place, Some(Value::String(..) | Value::Char(..))) {
        return Value::from(text);
    }
    match text.trim().parse::<toml_edit::Value>() {
        Ok(toml_edit::Value::Datetime(_)) | Err(_) => Value::from(text),
        Ok(value) => plain(&value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_decides_what_a_text_is() {
        let table = [
            ("1.4", Some(Value::from("")), Value::from("1.4")),
            ("1.4", Some(Value::from(0.5)), Value::from(1.4)),
            ("5", Some(Value::from(1_u16)), Value::from(5_i64)),
            ("true", Some(Value::from(false)), Value::from(true)),
            ("yes", Some(Value::from(false)), Value::from("yes")),
            ("[\"a\"]", Some(Value::from(Vec::<String>::new())), Value::from(vec!["a"])),
            ("5", None, Value::from(5_i64)),
            ("\"5\"", None, Value::from("5")),
            ("250ms", None, Value::from("250ms")),
            ("0.0.0.0:8080", None, Value::from("0.0.0.0:8080")),
            ("2024-01-01", None, Value::from("2024-01-01")),
        ];
        for (text, place, expected) in table {
            assert_eq!(typed(text.to_owned(), place.as_ref()), expected, "{text} in {place:?}");
        }
    }
}
