//! Builder: which sources there are; loading refuses what no section could ever mean.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use figment::{
    Figment, Provider,
    value::{Dict, Value},
};

use super::{
    Config,
    key::{self, Key, PROFILE, SECTIONS},
    name::Name,
    origin::Origin,
    otel,
    refusal::refused,
    sources::{self, File, Layer},
    suggest::{did_you_mean, nearest},
};
use crate::{Error, ErrorKind, Result};

/// Collects sources; [`load`](ConfigBuilder::load) reads them.
///
/// The order of calls does not matter between kinds: files are weaker than the chosen profile, which is weaker than
/// a source of the service's own, then come the variables of OpenTelemetry and Rust, the `PLATFORM__…` variables,
/// and the flags. Of one kind, the last wins.
#[derive(Default)]
pub struct ConfigBuilder {
    texts: Vec<Text>,
    profile: Option<String>,
    own: Vec<(String, Result<Dict, figment::Error>)>,
    environment: Vec<(String, String)>,
    flags: Vec<(String, String)>,
}

enum Text {
    File { path: PathBuf, required: bool },
    Inline(String),
}

impl ConfigBuilder {
    /// Reads a file, which must exist.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.texts.push(Text::File { path: path.into(), required: true });
        self
    }

    /// Reads a file if it exists.
    #[must_use]
    pub fn file_if_present(mut self, path: impl Into<PathBuf>) -> Self {
        self.texts.push(Text::File { path: path.into(), required: false });
        self
    }

    /// Reads TOML from code; its values say that they come from `inline`.
    #[must_use]
    pub fn toml(mut self, text: impl Into<String>) -> Self {
        self.texts.push(Text::Inline(text.into()));
        self
    }

    /// Lays `[profile.NAME.*]` over the files' own values.
    #[must_use]
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.profile = Some(name.into());
        self
    }

    /// A source of the service's own; stronger than files, weaker than the environment.
    #[must_use]
    pub fn source(mut self, provider: impl Provider) -> Self {
        let name = provider.metadata().name.into_owned();
        self.own.push((name, Figment::from(provider).extract()));
        self
    }

    /// The environment, as `std::env::vars()` gives it; nothing here reads it behind your back.
    #[must_use]
    pub fn env(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables);
        self
    }

    /// `--set KEY=VALUE`, already taken apart.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.flags.push((key.into(), value.into()));
        self
    }

    /// `--set KEY=VALUE` as it stands on the command line.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] where there is no `=`.
    pub fn flag(self, pair: &str) -> Result<Self> {
        let mut quoted = false;
        let at = pair.char_indices().find_map(|(at, c)| {
            quoted ^= c == '"';
            (c == '=' && !quoted).then_some(at)
        });
        match at {
            Some(at) => Ok(self.set(pair[..at].trim(), &pair[at + 1..])),
            None => Err(Error::new(
                ErrorKind::Usage,
                format!("--set {pair}: write KEY=VALUE, such as server.listen=127.0.0.1:8080"),
            )),
        }
    }

    /// Reads every source.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], with every problem found: a file that cannot be read or is not TOML, an unknown profile,
    /// an unknown section, a malformed variable or flag, an invalid name.
    pub fn load(self) -> Result<Config> {
        let mut loading = Loading::default();
        loading.files(self.texts);
        loading.profile(self.profile.as_deref());
        for (name, values) in self.own {
            loading.own(&name, values);
        }
        let (conventions, problems) = otel::layer(&self.environment);
        loading.problems.extend(problems);
        loading.layers.push(conventions);
        loading.environment(self.environment);
        loading.flags(&self.flags);
        for layer in &loading.layers {
            check(layer, &mut loading.problems);
        }
        if loading.problems.is_empty() {
            Ok(Config::new(loading.layers, self.profile))
        } else {
            Err(refused(loading.problems))
        }
    }
}

/// Names the sources and none of their values.
impl fmt::Debug for ConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigBuilder")
            .field("texts", &self.texts.len())
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

/// What has been read so far, weak to strong, and what was wrong with it.
#[derive(Default)]
struct Loading {
    layers: Vec<Layer>,
    profiles: Vec<BTreeMap<String, Layer>>,
    problems: Vec<String>,
}

impl Loading {
    fn files(&mut self, texts: Vec<Text>) {
        for text in texts {
            let (path, text) = match text {
                Text::Inline(text) => (Path::new(INLINE).into(), text),
                Text::File { path, required } => match fs::read_to_string(&path) {
                    Ok(text) => (Arc::from(path), text),
                    Err(error) if !required && error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => {
                        let hint = "name a file that exists and may be read";
                        self.problems.push(format!("{}: cannot be read ({error}); {hint}", path.display()));
                        continue;
                    }
                },
            };
            match File::parse(&path, &text) {
                Ok(file) => {
                    for profile in file.profiles.values() {
                        check(profile, &mut self.problems);
                    }
                    self.layers.push(file.values);
                    self.profiles.push(file.profiles);
                }
                Err(problem) => self.problems.push(problem),
            }
        }
    }

    fn profile(&mut self, name: Option<&str>) {
        let Some(name) = name else { return };
        let chosen: Vec<Layer> = self.profiles.iter_mut().filter_map(|file| file.remove(name)).collect();
        if chosen.is_empty() {
            let known: Vec<&str> =
                self.profiles.iter().flat_map(|file| file.keys().map(String::as_str)).collect();
            let there_are = match known.as_slice() {
                [] => format!(
                    "no file has a profile; write [{PROFILE}.{name}.SECTION] into one, or leave it out"
                ),
                known => format!(
                    "the file has {}{}",
                    known.join(", "),
                    did_you_mean(nearest(name, known.iter().copied()))
                ),
            };
            self.problems.push(format!("unknown profile `{name}`: {there_are}"));
        }
        self.layers.extend(chosen);
    }

    fn own(&mut self, name: &str, values: Result<Dict, figment::Error>) {
        match values {
            Ok(values) => {
                let mut layer = Layer::default();
                for (part, value) in values {
                    layer.put(&Key::default().child(part), value, &Origin::Source(name.into()));
                }
                self.layers.push(layer);
            }
            Err(error) => self.problems.push(format!("{name}: {error}")),
        }
    }

    fn environment(&mut self, mut variables: Vec<(String, String)>) {
        // What cannot be merged is refused when all is read.
        let known = sources::merged(&self.layers).unwrap_or_default();
        let mut layer = Layer::default();
        // The order of an environment is no order that anybody chose.
        variables.sort();
        for (variable, value) in variables {
            match sources::variable_key(&variable) {
                None => {}
                Some(Err(problem)) => self.problems.push(problem),
                Some(Ok(key)) if key.parts()[0] == PROFILE => self.problems.push(format!(
                    "environment {variable}: profiles stand in a file; PLATFORM_PROFILE chooses one"
                )),
                Some(Ok(key)) => {
                    let origin = Origin::Environment(variable.into());
                    layer.put(&sources::spelled(&key, &known), sources::text_value(&value), &origin);
                }
            }
        }
        self.layers.push(layer);
    }

    fn flags(&mut self, flags: &[(String, String)]) {
        let mut layer = Layer::default();
        for (text, value) in flags {
            match Key::parse(text) {
                Ok(key) if key.parts().first().is_none_or(|part| part == PROFILE) => {
                    self.problems.push(format!(
                        "flag --set {text}: write SECTION.KEY=VALUE; --profile chooses a profile"
                    ));
                }
                Ok(key) => layer.put(&key, sources::text_value(value), &Origin::Flag(text.as_str().into())),
                Err(problem) => self.problems.push(format!("flag --set: {problem}")),
            }
        }
        self.layers.push(layer);
    }
}

/// Refuses unknown sections, sections that are no tables, invalid names, and those that only figment itself may use.
fn check(layer: &Layer, problems: &mut Vec<String>) {
    problems.extend(layer.of_figment());
    for (key, origin) in &layer.origins {
        let [.., last] = key.parts() else { continue };
        if key.parts().len() == 1 {
            if !key::is_section(last) {
                problems.push(unknown_section(key, last, origin));
            } else if !matches!(layer.values.get(last), Some(Value::Dict(..))) {
                problems.push(format!("{origin}: `{key}` is a section, not a value; set one of its keys"));
            }
        } else if key.ends_in_name()
            && let Err(problem) = Name::parse(last)
        {
            problems.push(format!("{origin}: `{key}`: {problem}"));
        }
    }
}

fn unknown_section(key: &Key, name: &str, origin: &Origin) -> String {
    let known: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
    let known = known.join(", ");
    let meant = nearest(name, SECTIONS.iter().map(|section| section.name).chain([PROFILE]));
    let meant = meant.map(|meant| match origin {
        // The whole variable, as it was written but for the section.
        Origin::Environment(variable) => {
            let rest = &variable[key.variable().len()..];
            format!("{}{rest}", Key::default().child(meant).variable())
        }
        _ => meant.to_owned(),
    });
    format!(
        "{origin}: unknown section `{key}`{} (the sections are {known}; a team's own keys stand in [settings])",
        did_you_mean(meant)
    )
}

/// What text from code calls its file.
const INLINE: &str = "inline";
