//! What is set?
//!
//! Every value has a default with a reason; a file, a profile in it, the environment and flags change it, each
//! stronger than the one before. A section is plain serde data, claimed by the room that owns it:
//!
//! ```
//! use std::time::Duration;
//! use platform_core::config::{Config, duration};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Lifecycle {
//!     #[serde(with = "duration")]
//!     grace: Duration,
//! }
//!
//! impl Default for Lifecycle {
//!     fn default() -> Self {
//!         Lifecycle { grace: Duration::from_secs(20) }
//!     }
//! }
//!
//! # fn main() -> platform_core::Result<()> {
//! let config = Config::builder()
//!     .toml("[lifecycle]\ngrace = \"10s\"")
//!     .env([("PLATFORM__LIFECYCLE__GRACE".to_owned(), "5s".to_owned())])
//!     .load()?;
//! assert_eq!(config.section::<Lifecycle>("lifecycle")?.grace, Duration::from_secs(5));
//! assert_eq!(config.origin("lifecycle.grace").unwrap().to_string(), "environment PLATFORM__LIFECYCLE__GRACE");
//! # Ok(())
//! # }
//! ```
//!
//! What cannot be meant refuses the start: an unknown key, a bad duration, a section that nobody reads. The message
//! names the source, the key, and what to write instead. figment merges and reads the values; it shows in no
//! signature but [`ConfigBuilder::source`].

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use figment::{
    Figment,
    value::{Dict, Value},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result};

mod builder;
mod claim;
pub mod duration;
mod fit;
mod key;
mod limit;
mod live;
mod mode;
mod name;
mod origin;
mod otel;
pub mod ratio;
mod refusal;
mod render;
mod secret;
pub mod size;
mod sources;
mod suggest;
mod together;

pub use builder::ConfigBuilder;
pub use claim::Effective;
pub use live::Live;
pub use mode::Mode;
pub use name::Name;
pub use origin::Origin;
pub use ratio::Ratio;
pub use refusal::{Refusal, Rules};
pub use secret::{Secret, without_credentials};
pub(crate) use together::Together;

use claim::{Claim, Claims, set_by};
use key::Key;
use refusal::{explain, refused};
use sources::{Layer, find};

/// What is set. Cheap to clone; clones share what was claimed.
#[derive(Clone)]
pub struct Config(Arc<Inner>);

struct Inner {
    /// Weak to strong.
    layers: Vec<Layer>,
    /// All of them merged.
    values: Dict,
    profile: Option<String>,
    claims: Mutex<Claims>,
}

impl Config {
    /// Which sources there are.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// What somebody asks for while the process runs, as the section `path`; for [`overlay`](Self::overlay) and
    /// [`check`](Self::check), so that it is explained as if it stood in a file.
    pub(crate) fn asked(path: &str, section: &impl Serialize) -> Result<Self> {
        let at = Key::parse(path).map_err(Error::config)?;
        let origin = Origin::Source(Arc::from("the request"));
        let section =
            Value::serialize(section).map_err(|error| Error::config(format!("{origin}: {error}")))?;
        let mut layer = Layer::default();
        layer.put(&at, section, &origin);
        match layer.of_figment() {
            Some(problem) => Err(Error::config(problem)),
            None => Ok(Config::new(vec![layer], None)),
        }
    }

    fn new(layers: Vec<Layer>, profile: Option<String>) -> Self {
        let values = sources::merged(&layers).expect("a tree of plain values is read back as it is");
        Config(Arc::new(Inner { layers, values, profile, claims: Mutex::default() }))
    }

    /// Reads the section at `path` over `T`'s defaults, and claims it.
    ///
    /// `T` has `#[serde(default, deny_unknown_fields)]`, and so have the sections within it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with every value that `T` refuses: unknown keys, wrong types,
    /// durations, sizes and ratios that are none.
    pub fn section<T: Serialize + DeserializeOwned + Default>(&self, path: &str) -> Result<T> {
        self.overlay(&T::default(), path)
    }

    /// Reads the section at `path` over `base`, and claims it: what nobody sets stays as `base` has it.
    ///
    /// So a client stacks the defaults of all clients, its preset, its code and its own section: a value from code is
    /// not overridden by a default in a file.
    ///
    /// # Errors
    ///
    /// As [`Config::section`]; also where `base` holds what no file can say (a duration finer than a millisecond).
    pub fn overlay<T: Serialize + DeserializeOwned>(&self, base: &T, path: &str) -> Result<T> {
        let at = Key::parse(path).map_err(Error::config)?;
        let base = carried(base).map_err(|problem| refused(vec![format!("code: `{at}`: {problem}")]))?;
        let mut set = self.set_at(&at, &base)?;
        let mut problems = Vec::new();
        loop {
            let merged = Figment::from(Tree(&base)).merge(Tree(&set));
            match merged.extract::<T>() {
                Ok(section) if problems.is_empty() => {
                    self.claim_as(at, &section, &set)?;
                    return Ok(section);
                }
                Ok(_) => return Err(refused(problems)),
                Err(error) => {
                    let key = at.join(&error.path);
                    if self.as_text(&key, &error.path, &base, &mut set) {
                        continue;
                    }
                    problems.push(explain(&error.kind, &key, &self.set_by(&key)));
                    // Without the value that is wrong, the next one shows.
                    if !remove(&mut set, &error.path) {
                        return Err(refused(problems));
                    }
                }
            }
        }
    }

    /// Refuses a section that contradicts itself; call it on what [`section`](Config::section) or
    /// [`overlay`](Config::overlay) gave for `path`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with every contradiction, and where its values come from.
    pub fn check(&self, path: &str, section: &impl Rules) -> Result<()> {
        let at = Key::parse(path).map_err(Error::config)?;
        let refusals = section.refusals();
        let claims = self.claims();
        let mut problems = Vec::new();
        for Refusal { keys, why } in refusals {
            let mut told = keys.iter().filter_map(|key| {
                let key = at.join(Key::parse(key).ok()?.parts());
                let origin = claims.origin(&key, &self.0.layers);
                Some((key, origin))
            });
            let Some((key, origin)) = told.next() else { continue };
            let others: Vec<_> = told.map(|(key, origin)| format!("`{key}` comes from {origin}")).collect();
            let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
            problems.push(format!("{origin}: `{key}` {why}{others}"));
        }
        if problems.is_empty() { Ok(()) } else { Err(refused(problems)) }
    }

    /// Says that the section at `path` is known though nobody reads it in this process, so that a file which many
    /// services share is not refused.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where `path` is no key.
    pub fn claim(&self, path: &str) -> Result<()> {
        let at = Key::parse(path).map_err(Error::config)?;
        self.claims().insert_unread(at);
        Ok(())
    }

    /// Is anything set at `path`?
    pub fn has(&self, path: &str) -> bool {
        Key::parse(path).is_ok_and(|key| find(&self.0.values, key.parts()).is_some())
    }

    /// The names under `path`: of the clients under `clients`.
    pub fn names(&self, path: &str) -> Vec<String> {
        let found =
            Key::parse(path).ok().and_then(|key| find(&self.0.values, key.parts()).and_then(Value::as_dict));
        found.map(|dict| dict.keys().cloned().collect()).unwrap_or_default()
    }

    /// The profile that was chosen.
    pub fn profile(&self) -> Option<&str> {
        self.0.profile.as_deref()
    }

    /// Refuses every section and every client that is set and that nobody has read; call it when all is built.
    ///
    /// Variables that other programs honour too (`RUST_LOG`, `OTEL_…`) may be set for nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with each of them.
    pub fn refuse_unclaimed(&self) -> Result<()> {
        let problems = self.claims().unclaimed(&self.0.values, &self.0.layers);
        if problems.is_empty() { Ok(()) } else { Err(refused(problems)) }
    }

    /// The strongest source that sets `key`; `None` where nobody does.
    pub fn origin(&self, key: &str) -> Option<Origin> {
        set_by(&self.0.layers, &Key::parse(key).ok()?).cloned()
    }

    /// Every value of every section that was read, in the order of keys.
    pub fn effective(&self) -> Vec<Effective> {
        self.claims().effective(&self.0.layers).into_values().collect()
    }

    /// The same as a file with comments, which can be read again but for its secrets.
    pub fn render(&self) -> String {
        render::render(&self.claims().effective(&self.0.layers))
    }

    /// What the sources set at `at`, its texts read as the types that stand in `base`.
    fn set_at(&self, at: &Key, base: &Dict) -> Result<Dict> {
        match find(&self.0.values, at.parts()) {
            None => Ok(Dict::new()),
            Some(Value::Dict(_, set)) => {
                let is_text = |key: &Key| set_by(&self.0.layers, key).is_some_and(Origin::is_text);
                Ok(fit::fit(set.clone(), Some(base), at, &is_text))
            }
            Some(_) => {
                let origin = self.set_by(at);
                Err(Error::config(format!("{origin}: `{at}` is a section, not a value; set one of its keys")))
            }
        }
    }

    /// Puts back the text that was given for `key` where the base did not say its type, and a number that was read
    /// into it was refused.
    fn as_text(&self, key: &Key, parts: &[String], base: &Dict, set: &mut Dict) -> bool {
        let untyped = matches!(find(base, parts), None | Some(Value::Empty(..)));
        let read = find(set, parts).is_some_and(|value| value.as_str().is_none());
        match find(&self.0.values, key.parts()) {
            Some(text @ Value::String(..)) if untyped && read => {
                sources::insert(set, parts, text.clone());
                true
            }
            _ => false,
        }
    }

    fn claim_as<T: Serialize + DeserializeOwned>(&self, at: Key, section: &T, set: &Dict) -> Result<()> {
        let unreadable = |problem: String| Error::config(format!("`{at}`: {problem}"));
        let shown = tree(section).map_err(unreadable)?;
        let carried = carried(section).map_err(unreadable)?;
        // A section with a default for every key can be read without any base.
        let library = Figment::from(Tree(set)).extract::<T>().ok().and_then(|all| self::carried(&all).ok());
        self.claims().insert(at, Claim { shown, carried, library });
        Ok(())
    }

    /// The strongest source that sets `key`, else the code that gave the base.
    fn set_by(&self, key: &Key) -> Origin {
        set_by(&self.0.layers, key).cloned().unwrap_or(Origin::Code)
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        // Nothing panics while it holds the claims; if something did, they are still whole.
        self.0.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No source at all: every section is its default.
impl Default for Config {
    fn default() -> Self {
        Config::new(Vec::new(), None)
    }
}

/// Names the sections that are set and none of their values, which may be secret.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("sections", &self.0.values.keys().collect::<Vec<_>>())
            .field("profile", &self.0.profile)
            .finish_non_exhaustive()
    }
}

/// A tree of values as a figment source.
struct Tree<'a>(&'a Dict);

impl figment::Provider for Tree<'_> {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named("platform")
    }

    fn data(&self) -> Result<figment::value::Map<figment::Profile, Dict>, figment::Error> {
        Ok([(figment::Profile::Default, self.0.clone())].into())
    }
}

/// A section as a tree, its secrets as they are.
fn carried<T: Serialize>(section: &T) -> Result<Dict, String> {
    secret::carried(|| tree(section))
}

/// A section as a tree.
fn tree<T: Serialize>(section: &T) -> Result<Dict, String> {
    let value = Value::serialize(section).map_err(|error| error.to_string())?;
    value.into_dict().ok_or_else(|| "a section is a struct or a map".to_owned())
}

/// Takes away the value at `parts`, or the list it lies in.
fn remove(dict: &mut Dict, parts: &[String]) -> bool {
    match parts {
        [] => false,
        [first, rest @ ..] => match dict.get_mut(first) {
            Some(Value::Dict(_, inner)) if !rest.is_empty() => remove(inner, rest),
            Some(_) => dict.remove(first).is_some(),
            None => false,
        },
    }
}
