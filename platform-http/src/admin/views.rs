//! Views: what other rooms show here.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use platform_core::App;
use serde_json::Value;

/// Lists for `/platform/NAME`, to which other rooms add: `targets`, `stack`. The admin listener knows none of them.
///
/// ```
/// # use platform_core::App;
/// # use platform_http::admin::Views;
/// # fn client(app: &App, pool: std::sync::Weak<Vec<u16>>) {
/// Views::of(app).add("targets", move || match pool.upgrade() {
///     Some(pool) => serde_json::json!({ "target": "catalog", "endpoints": pool.len() }),
///     None => serde_json::Value::Null, // nothing to show any more
/// });
/// # }
/// ```
#[derive(Default)]
pub struct Views(Mutex<BTreeMap<String, Vec<Entry>>>);

type Entry = Arc<dyn Fn() -> Value + Send + Sync>;

impl Views {
    /// The views of this process.
    pub fn of(app: &App) -> Arc<Views> {
        app.once(NAME, || Ok(Views::default())).expect("making an empty list cannot fail")
    }

    /// Adds an entry to the list `view`, asked whenever somebody looks, in the order of addition. `Null` is left
    /// out, and an array adds each of its values. An entry must not wait: it is read where requests are answered.
    ///
    /// A view with the name of a path of our own (`info`, `config`, `changes`, `faults`, `state`, `stream`,
    /// `fleet`, `pulse`) is never seen.
    pub fn add(&self, view: &str, entry: impl Fn() -> Value + Send + Sync + 'static) {
        self.lock().entry(view.to_owned()).or_default().push(Arc::new(entry));
    }

    /// What is to be seen under `view`; `None` for one that nobody knows.
    pub(super) fn show(&self, view: &str) -> Option<Vec<Value>> {
        // Cloned out of the lock, so that an entry may add another.
        let entries = match self.lock().get(view) {
            Some(entries) => entries.clone(),
            None if STANDING.contains(&view) => Vec::new(),
            None => return None,
        };
        let each = entries.iter().flat_map(|entry| match entry() {
            Value::Null => Vec::new(),
            Value::Array(several) => several,
            one => vec![one],
        });
        Some(each.collect())
    }

    /// The names of all views.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.lock().keys().cloned().collect();
        names.extend(STANDING.iter().map(|name| (*name).to_owned()));
        names.sort_unstable();
        names.dedup();
        names
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Entry>>> {
        // Nothing of ours panics while it holds the list, and an entry is asked outside of the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Views").field(&self.names()).finish()
    }
}

const NAME: &str = "admin";
/// They are there before anybody adds to them: a service without clients has no targets, which is an answer.
const STANDING: [&str; 2] = ["stack", "targets"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_view_lists_what_was_added_and_leaves_out_what_is_gone() {
        let views = Views::default();
        assert_eq!(views.show("targets"), Some(vec![]));
        assert_eq!(views.show("orders"), None);
        views.add("targets", || json!({ "target": "catalog" }));
        views.add("targets", || Value::Null);
        views.add("orders", || json!(7));
        assert_eq!(views.show("targets"), Some(vec![json!({ "target": "catalog" })]));
        assert_eq!(views.names(), ["orders", "stack", "targets"]);
    }
}
