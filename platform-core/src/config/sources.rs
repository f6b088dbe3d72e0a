//! Sources: files, the environment and flags, each as a figment provider that knows where its values stand.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Tag, Value},
};
use toml_edit::{ImDocument, Item};

use super::{
    key::{Key, PROFILE},
    origin::Origin,
};

/// The values of one source, and where each of them stands.
#[derive(Clone, Default)]
pub(super) struct Layer {
    pub(super) values: Dict,
    pub(super) origins: BTreeMap<Key, Origin>,
}

impl Layer {
    /// Sets one value; the tables around it come into being.
    pub(super) fn put(&mut self, key: &Key, value: Value, origin: &Origin) {
        self.note_above(key, origin);
        self.note_below(key, &value, origin);
        insert(&mut self.values, key.parts(), value);
    }

    /// What is wrong with the first key that figment would take for its own.
    pub(super) fn of_figment(&self) -> Option<String> {
        let is_own = |part: &String| part.starts_with(OF_FIGMENT);
        let (key, origin) = self.origins.iter().find(|(key, _)| key.parts().last().is_some_and(is_own))?;
        Some(format!("{origin}: `{key}`: no key begins with `{OF_FIGMENT}`; choose another name"))
    }

    /// Where `key` was set here. A variable's `_` also stands for a `-`.
    pub(super) fn origin(&self, key: &Key) -> Option<&Origin> {
        let alike = |a: &Key, b: &Key| {
            a.parts().len() == b.parts().len()
                && a.parts().iter().zip(b.parts()).all(|(a, b)| a.replace('-', "_") == b.replace('-', "_"))
        };
        self.origins.get(key).or_else(|| {
            let found = self.origins.iter().find(|(known, origin)| origin.is_text() && alike(known, key));
            found.map(|(_, origin)| origin)
        })
    }

    /// Where the list or text that `key` would lie in was set here: it hides what weaker sources say there.
    pub(super) fn origin_around(&self, key: &Key) -> Option<&Origin> {
        let mut around = Key::default();
        let mut dict = &self.values;
        for part in key.parts() {
            around = around.child(part);
            match dict.get(part)? {
                Value::Dict(_, inner) => dict = inner,
                _ => return self.origins.get(&around),
            }
        }
        None
    }

    fn note_above(&mut self, key: &Key, origin: &Origin) {
        let mut key_above = Key::default();
        for part in key.parts() {
            key_above = key_above.child(part);
            self.origins.insert(key_above.clone(), origin.clone());
        }
    }

    fn note_below(&mut self, key: &Key, value: &Value, origin: &Origin) {
        if let Value::Dict(_, dict) = value {
            for (part, value) in dict {
                let key = key.child(part);
                self.origins.insert(key.clone(), origin.clone());
                self.note_below(&key, value, origin);
            }
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("platform")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// A file: its own values, and those of each profile.
pub(super) struct File {
    pub(super) values: Layer,
    pub(super) profiles: BTreeMap<String, Layer>,
}

impl File {
    /// Reads TOML; the error says the line.
    pub(super) fn parse(path: &Arc<Path>, text: &str) -> Result<Self, String> {
        let document = ImDocument::parse(text).map_err(|error| {
            // The message only: the whole error shows the line, and a secret may stand in it.
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            format!("{}:{line}: this is not TOML: {}", path.display(), error.message().replace('\n', ", "))
        })?;
        let mut reading = Reading { text, path, origins: BTreeMap::new() };
        let mut values = reading.table(&Key::default(), document.as_table().iter(), |name| {
            document.as_table().key(name).and_then(toml_edit::Key::span)
        });
        let mut origins = reading.origins;
        let mut profiles = BTreeMap::new();
        for (name, value) in values.remove(PROFILE).and_then(Value::into_dict).unwrap_or_default() {
            profiles.insert(name.clone(), profile(&name, value, &origins));
        }
        origins.retain(|key, _| key.parts().first().is_none_or(|part| part != PROFILE));
        Ok(File { values: Layer { values, origins }, profiles })
    }
}

/// One profile's values, with their lines.
fn profile(name: &str, value: Value, origins: &BTreeMap<Key, Origin>) -> Layer {
    let root: Key = [PROFILE.to_owned(), name.to_owned()].into_iter().collect();
    let here = origins.iter().filter_map(|(key, origin)| {
        let (rest, Origin::File { path, line }) = (key.under(&root)?, origin) else { return None };
        let key: Key = rest.iter().cloned().collect();
        Some((key, Origin::Profile { name: name.into(), path: Arc::clone(path), line: *line }))
    });
    Layer { origins: here.collect(), values: value.into_dict().unwrap_or_default() }
}

/// Turns TOML into figment values and notes the line of each.
struct Reading<'a> {
    text: &'a str,
    path: &'a Arc<Path>,
    origins: BTreeMap<Key, Origin>,
}

impl Reading<'_> {
    fn table<'t>(
        &mut self,
        at: &Key,
        entries: impl Iterator<Item = (&'t str, &'t Item)>,
        span: impl Fn(&str) -> Option<std::ops::Range<usize>>,
    ) -> Dict {
        let mut dict = Dict::new();
        for (name, item) in entries {
            let key = at.child(name);
            let start = span(name).or_else(|| item.span()).map_or(0, |span| span.start);
            self.note(&key, start);
            if let Some(value) = self.item(&key, item) {
                dict.insert(name.to_owned(), value);
            }
        }
        dict
    }

    fn item(&mut self, key: &Key, item: &Item) -> Option<Value> {
        match item {
            Item::None => None,
            Item::Value(value) => Some(self.value(key, value)),
            Item::Table(table) => {
                let dict =
                    self.table(key, table.iter(), |name| table.key(name).and_then(toml_edit::Key::span));
                Some(Value::Dict(Tag::Default, dict))
            }
            Item::ArrayOfTables(tables) => {
                let mut list = Vec::new();
                for (at, table) in tables.iter().enumerate() {
                    let key = key.child(at.to_string());
                    self.note(&key, table.span().map_or(0, |span| span.start));
                    list.extend(self.item(&key, &Item::Table(table.clone())));
                }
                Some(Value::Array(Tag::Default, list))
            }
        }
    }

    fn value(&mut self, key: &Key, value: &toml_edit::Value) -> Value {
        match value {
            toml_edit::Value::Array(array) => {
                let mut list = Vec::new();
                for (at, value) in array.iter().enumerate() {
                    let key = key.child(at.to_string());
                    self.note(&key, value.span().map_or(0, |span| span.start));
                    list.push(self.value(&key, value));
                }
                Value::Array(Tag::Default, list)
            }
            toml_edit::Value::InlineTable(table) => {
                let mut dict = Dict::new();
                for (name, value) in table {
                    let key = key.child(name);
                    self.note(
                        &key,
                        table.key(name).and_then(toml_edit::Key::span).map_or(0, |span| span.start),
                    );
                    dict.insert(name.to_owned(), self.value(&key, value));
                }
                Value::Dict(Tag::Default, dict)
            }
            scalar => plain(scalar),
        }
    }

    fn note(&mut self, key: &Key, offset: usize) {
        let line = line_of(self.text, offset);
        self.origins.insert(key.clone(), Origin::File { path: Arc::clone(self.path), line });
    }
}

/// One TOML value without its place.
pub(super) fn plain(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::from(text.value().as_str()),
        toml_edit::Value::Integer(number) => Value::from(*number.value()),
        toml_edit::Value::Float(number) => Value::from(*number.value()),
        toml_edit::Value::Boolean(flag) => Value::from(*flag.value()),
        toml_edit::Value::Datetime(time) => Value::from(time.value().to_string()),
        toml_edit::Value::Array(array) => Value::from(array.iter().map(plain).collect::<Vec<_>>()),
        toml_edit::Value::InlineTable(table) => {
            let dict: Dict = table.iter().map(|(name, value)| (name.to_owned(), plain(value))).collect();
            Value::from(dict)
        }
    }
}

/// The key behind `PLATFORM__SERVER__LISTEN`; `None` for a variable that is no key.
pub(super) fn variable_key(variable: &str) -> Option<Result<Key, String>> {
    let rest = variable.strip_prefix(PREFIX)?;
    let Some(rest) = rest.strip_prefix('_') else {
        // One underscore is outside the scheme (PLATFORM_CONFIG; what Kubernetes sets for a service of that name),
        // but nobody else writes two between words.
        return rest.contains("__").then(|| {
            Err(format!(
                "environment {variable}: the prefix takes two underscores; did you mean `{PREFIX}_{rest}`?"
            ))
        });
    };
    let parts: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
    if parts.iter().any(String::is_empty) {
        return Some(Err(format!("environment {variable}: an empty part; write {PREFIX}_SECTION__KEY")));
    }
    Some(Ok(parts.into_iter().collect()))
}

/// A value given as text. A table is read at once, so that it is merged and not replaced; the rest waits for the
/// section, which knows its types.
pub(super) fn text_value(text: &str) -> Value {
    let table = text.trim_start().starts_with('{').then(|| text.parse::<toml_edit::Value>().ok()).flatten();
    table.as_ref().map_or_else(|| Value::from(text), plain)
}

/// The key that a variable means: a `_` matches a `-` in what is known, and always in a name.
pub(super) fn spelled(key: &Key, known: &Dict) -> Key {
    let mut found = Key::default();
    let mut dict = Some(known);
    for part in key.parts() {
        let exact = dict.is_some_and(|dict| dict.contains_key(part));
        let alike = dict.and_then(|dict| dict.keys().find(|name| name.replace('-', "_") == *part));
        let next = match alike {
            Some(name) if !exact => found.child(name),
            None if found.child(part).ends_in_name() => found.child(part.replace('_', "-")),
            _ => found.child(part),
        };
        let last = next.parts().last().expect("a child has a last part");
        dict = dict.and_then(|dict| dict.get(last)).and_then(Value::as_dict);
        found = next;
    }
    found
}

/// Layers from weak to strong, merged by figment;
/// `None` if a table has a key of [`OF_FIGMENT`] and is not what figment takes it for.
pub(super) fn merged<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> Option<Dict> {
    let figment = layers.into_iter().fold(Figment::new(), |figment, layer| figment.merge(layer));
    figment.extract().ok()
}

/// The value under `parts`.
pub(super) fn find<'a>(dict: &'a Dict, parts: &[String]) -> Option<&'a Value> {
    let (first, rest) = parts.split_first()?;
    let value = dict.get(first)?;
    if rest.is_empty() { Some(value) } else { find(value.as_dict()?, rest) }
}

/// Sets the value under `parts`.
pub(super) fn insert(dict: &mut Dict, parts: &[String], value: Value) {
    match parts {
        [] => {}
        [last] => {
            dict.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let entry = dict.entry(first.clone()).or_insert_with(|| Value::from(Dict::new()));
            if entry.as_dict().is_none() {
                *entry = Value::from(Dict::new());
            }
            if let Value::Dict(_, dict) = entry {
                insert(dict, rest, value);
            }
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

const PREFIX: &str = "PLATFORM_";
/// How the keys begin by which figment knows values that stand for something else.
const OF_FIGMENT: &str = "___figment_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_variable_is_which_key() {
        let key = |variable: &str| variable_key(variable).map(|key| key.map(|key| key.to_string()));
        assert_eq!(key("PLATFORM__SERVER__LISTEN"), Some(Ok("server.listen".to_owned())));
        assert_eq!(key("PLATFORM__SERVER__TIMES__BODY_IDLE"), Some(Ok("server.times.body_idle".to_owned())));
        for outside in
            ["PLATFORM_CONFIG", "PLATFORM_PROFILE", "PLATFORM_REQUIRE_OUTSIDE", "PLATFORM_PORT", "PATH"]
        {
            assert_eq!(key(outside), None, "{outside}");
        }
        assert!(key("PLATFORM____LISTEN").unwrap().is_err());
        assert!(key("PLATFORM__").unwrap().is_err());
        let meant = key("PLATFORM_SERVER__LISTEN").unwrap().unwrap_err();
        assert!(meant.contains("did you mean `PLATFORM__SERVER__LISTEN`?"), "{meant}");
    }

    #[test]
    fn every_value_of_a_file_knows_its_line() {
        let text = "[server]\nlisten = \"x\"\nlimits = { body = \"8MiB\",\n headers = \"1KiB\" }\n\n[[settings.list]]\na = 1\n\
                    [profile.dev.lifecycle]\ngrace = \"0ms\"\n";
        let text = text.replace(",\n headers", ", headers");
        let path: Arc<Path> = Path::new("platform.toml").into();
        let file = File::parse(&path, &text).unwrap();
        let line = |key: &str| file.values.origin(&Key::parse(key).unwrap()).unwrap().to_string();
        assert_eq!(line("server"), "platform.toml:1");
        assert_eq!(line("server.listen"), "platform.toml:2");
        assert_eq!(line("server.limits.headers"), "platform.toml:3");
        assert_eq!(line("settings.list.0.a"), "platform.toml:6");
        let dev = &file.profiles["dev"];
        let origin = dev.origin(&Key::parse("lifecycle.grace").unwrap()).unwrap();
        assert_eq!(origin.to_string(), "platform.toml:8 (profile dev)");
        assert!(!file.values.values.contains_key(PROFILE));
    }

    #[test]
    fn a_table_given_as_text_is_a_table_and_other_text_stays_text() {
        assert!(text_value("{ body = \"1MiB\" }").as_dict().is_some());
        assert_eq!(text_value("{broken").as_str(), Some("{broken"));
        assert_eq!(text_value("5").as_str(), Some("5"));
    }
}
