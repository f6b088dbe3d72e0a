//! Which requests have a limit, or an importance, of their own?
//!
//! Named by paths, as the router names its routes, and looked up before there is a route: a request that is refused
//! reaches no router. Where nothing is named nothing is looked up.

use std::collections::BTreeMap;

use platform_core::{
    App, Error, Result,
    context::Criticality,
    stack::{ClassPolicy, DEFAULT, ServerGuards, ServerPolicy},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A class of requests: `[server.classes.NAME]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassConfig {
    /// What protects its requests.
    pub policy: ClassPolicy,
}

/// What a team has named.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    /// Classes and the paths of each.
    classes: Vec<(String, Vec<String>)>,
    criticalities: Vec<(Criticality, Vec<String>)>,
}

/// What a path says of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) class: u16,
    pub(super) criticality: Option<Criticality>,
}

/// The kinds of requests by path.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths(Option<matchit::Router<Kind>>);

impl Named {
    pub(super) fn class(&mut self, name: &str, paths: Vec<String>) {
        self.classes.push((name.to_owned(), paths));
    }

    pub(super) fn criticality(&mut self, class: Criticality, paths: Vec<String>) {
        self.criticalities.push((class, paths));
    }

    /// The guards with a class for each name, and the kinds of requests by path.
    ///
    /// # Errors
    /// A path that is none, or that another one contradicts; a class that nobody has named.
    pub(super) fn guards(
        &self,
        app: &App,
        policy: &ServerPolicy,
        configured: &BTreeMap<String, ClassConfig>,
    ) -> Result<(std::sync::Arc<ServerGuards>, Paths)> {
        let mut classes: Vec<(String, ClassPolicy)> = Vec::new();
        for (name, _) in &self.classes {
            if RESERVED.contains(&name.as_str()) {
                return Err(Error::config(format!(
                    "the class `{name}` is the platform's own; name it otherwise"
                )));
            }
            if classes.iter().all(|(known, _)| known != name) {
                let policy = configured.get(name).map(|class| class.policy).unwrap_or_default();
                classes.push((name.clone(), policy));
            }
        }
        if let Some(unknown) = configured.keys().find(|name| classes.iter().all(|(known, _)| known != *name))
        {
            let why = format!(
                "`server.classes.{unknown}` is set, and no path belongs to this class: remove it, or name its paths \
                 with Server::class"
            );
            return Err(Error::config(why));
        }
        let guards = ServerGuards::new(policy, &classes, app.metrics(), Instant::now());
        let paths = self.paths(|name| guards.class(name).unwrap_or(0))?;
        Ok((guards, paths))
    }

    fn paths(&self, number: impl Fn(&str) -> u16) -> Result<Paths> {
        let mut kinds: BTreeMap<&str, Kind> = BTreeMap::new();
        for (name, paths) in &self.classes {
            paths.iter().for_each(|path| kinds.entry(path).or_default().class = number(name));
        }
        for (criticality, paths) in &self.criticalities {
            paths.iter().for_each(|path| kinds.entry(path).or_default().criticality = Some(*criticality));
        }
        if kinds.is_empty() {
            return Ok(Paths(None));
        }
        let mut router = matchit::Router::new();
        for (path, kind) in kinds {
            router.insert(path, kind).map_err(|error| {
                let why = format!("the path `{path}` of a class or an importance cannot be used: {error}");
                Error::config(why)
            })?;
        }
        Ok(Paths(Some(router)))
    }
}

impl Paths {
    /// What is said of requests with this path.
    #[inline]
    pub(super) fn of(&self, path: &str) -> Kind {
        match &self.0 {
            None => Kind::default(),
            Some(router) => router.at(path).map(|found| *found.value).unwrap_or_default(),
        }
    }
}

const RESERVED: [&str; 2] = [DEFAULT, "stream"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_class_and_importance() {
        let mut named = Named::default();
        named.class("slow", vec!["/reports/{id}".into(), "/film.Ratings/Export".into()]);
        named.criticality(Criticality::Sheddable, vec!["/reports/{id}".into(), "/prefetch/{*rest}".into()]);
        let paths = named.paths(|_| 1).unwrap();
        let kind = |class, criticality| Kind { class, criticality };
        for (path, expected) in [
            ("/reports/7", kind(1, Some(Criticality::Sheddable))),
            ("/film.Ratings/Export", kind(1, None)),
            ("/prefetch/a/b", kind(0, Some(Criticality::Sheddable))),
            ("/reports", Kind::default()),
        ] {
            assert_eq!(paths.of(path), expected, "{path}");
        }
        assert_eq!(Named::default().paths(|_| 1).unwrap().of("/"), Kind::default());
    }

    #[test]
    fn a_path_that_makes_no_sense_is_refused_with_its_text() {
        let mut named = Named::default();
        named.class("slow", vec!["/reports/{id".into()]);
        let error = named.paths(|_| 1).unwrap_err();
        assert!(error.detail().contains("/reports/{id"), "{error}");
    }
}
