//! A stack as data: for the admin page, and for the tests that hold it equal to what runs.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::config::duration;

/// One layer of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// How often it is asked.
    pub storey: Storey,
    /// Its name, as in the errors it makes.
    pub layer: &'static str,
    /// The question it answers.
    pub question: &'static str,
    /// What is set, as it would be written in a file.
    pub settings: BTreeMap<&'static str, String>,
}

/// How often a layer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storey {
    /// Once per call.
    Call,
    /// Once per try.
    Attempt,
    /// Once per try, about one endpoint.
    Endpoint,
}

/// A setting as it would be written in a file.
pub trait Shown {
    /// The text.
    fn shown(&self) -> String;
}

impl Row {
    /// A layer without settings.
    pub fn new(storey: Storey, layer: &'static str, question: &'static str) -> Self {
        Row { storey, layer, question, settings: BTreeMap::new() }
    }

    /// The same with a setting.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: &impl Shown) -> Self {
        self.settings.insert(key, value.shown());
        self
    }
}

impl Shown for Duration {
    fn shown(&self) -> String {
        // A policy made in code may be finer than a file can say.
        duration::format(*self).unwrap_or_else(|_| format!("{self:?}"))
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Shown::shown)
    }
}

impl Shown for fmt::Arguments<'_> {
    fn shown(&self) -> String {
        self.to_string()
    }
}
