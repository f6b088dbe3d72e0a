//! Origin: where an effective value came from.

use std::{fmt, path::Path, sync::Arc};

use serde::{Serialize, Serializer};

/// Where a value came from; prints as a person would look for it (`platform.toml:12`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody set it: the library's default.
    Default,
    /// A preset, or a builder in the service's code.
    Code,
    /// A line of a file; text given in code is called `inline`.
    File {
        /// The file.
        path: Arc<Path>,
        /// The line, the first is 1.
        line: usize,
    },
    /// A line of a file, in the profile that was chosen.
    Profile {
        /// The profile.
        name: Arc<str>,
        /// The file.
        path: Arc<Path>,
        /// The line, the first is 1.
        line: usize,
    },
    /// A source of the service's own.
    Source(Arc<str>),
    /// A variable that OpenTelemetry or Rust agree on, by its name.
    Convention(Arc<str>),
    /// A `PLATFORM__…` variable, by its name.
    Environment(Arc<str>),
    /// `--set KEY=VALUE`, by its key.
    Flag(Arc<str>),
}

impl Origin {
    /// Is a value from here text, whose type the section decides?
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Origin::Convention(_) | Origin::Environment(_) | Origin::Flag(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Code => f.write_str("code"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Profile { name, path, line } => write!(f, "{}:{line} (profile {name})", path.display()),
            Origin::Source(name) => f.write_str(name),
            Origin::Convention(variable) | Origin::Environment(variable) => {
                write!(f, "environment {variable}")
            }
            Origin::Flag(key) => write!(f, "flag --set {key}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
