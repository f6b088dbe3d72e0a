//! Targets: everything that this process calls, for who looks at it and who operates it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::{Parts, Row, describe::STATE};
use crate::{
    app::App,
    error::{Error, ErrorKind, Result},
};

/// The targets of one process, and the order of each client of them.
#[derive(Default)]
pub struct Targets {
    parts: Mutex<Known>,
    shown: Mutex<Vec<Box<dyn Shown>>>,
}

#[derive(Default)]
struct Known {
    parts: BTreeMap<Arc<str>, Arc<Parts>>,
    /// How many processes of this kind are known; 0 as long as nobody counted.
    clients: u32,
}

impl Targets {
    /// Those of this process.
    pub fn of(app: &App) -> Arc<Targets> {
        app.once("", || Ok(Targets::default())).expect("making an empty list cannot fail")
    }

    /// The parts of a target, made where there are none.
    pub fn parts(&self, app: &App, target: &Arc<str>) -> Arc<Parts> {
        let mut known = self.lock();
        let clients = known.clients;
        let parts = known.parts.entry(Arc::clone(target)).or_insert_with(|| {
            let parts = Parts::new(target, app.metrics());
            parts.set_clients(clients);
            Arc::new(parts)
        });
        Arc::clone(parts)
    }

    /// So many processes of this one's kind are known, this one included: they share the floor of each target's
    /// budget. Whoever knows the registry says so, and again when it changes.
    pub fn set_clients(&self, known: u32) {
        let mut targets = self.lock();
        targets.clients = known;
        targets.parts.values().for_each(|parts| parts.set_clients(known));
    }

    /// One target, or with `None` all of them, that somebody has a client of.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a target that nobody calls, with those that somebody does.
    pub fn called(&self, target: Option<&str>) -> Result<Vec<Arc<Parts>>> {
        let known = self.lock();
        let used: Vec<_> = known.parts.values().filter(|parts| parts.is_used()).cloned().collect();
        drop(known);
        let wanted = |parts: &&Arc<Parts>| target.is_none_or(|target| &**parts.target() == target);
        let found: Vec<_> = used.iter().filter(wanted).cloned().collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let names: Vec<&str> = used.iter().map(|parts| &**parts.target()).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let why = match target {
            Some(target) => format!("no client here calls `{target}`; there is {there}"),
            None => "this process has no client yet".to_owned(),
        };
        Err(Error::new(ErrorKind::NotFound, why))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a client in [`described`](Self::described) for as long as it lives.
    pub fn show<T: Send + Sync + 'static>(
        &self,
        target: &Arc<str>,
        client: &Arc<T>,
        look: fn(&T) -> Vec<Row>,
    ) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|one| one.lives());
        shown.push(Box::new(One { target: Arc::clone(target), client: Arc::downgrade(client), look }));
    }

    /// The order of every client, by target, with what is in force now. Clients that are set alike are shown once.
    pub fn described(&self) -> Vec<(Arc<str>, Vec<Row>)> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(Arc<str>, Vec<Row>)> = Vec::new();
        for (target, rows) in shown.iter().filter_map(|one| one.look()) {
            if !all.iter().any(|(known, others)| *known == target && alike(others, &rows)) {
                all.push((target, rows));
            }
        }
        all
    }
}

/// A state tells times, which differ between two looks at the same guard.
fn alike(rows: &[Row], others: &[Row]) -> bool {
    let set = |row: &Row| {
        let mut settings = row.settings.clone();
        settings.remove(STATE);
        (row.storey, row.layer, settings)
    };
    rows.iter().map(set).eq(others.iter().map(set))
}

trait Shown: Send + Sync {
    fn lives(&self) -> bool;
    fn look(&self) -> Option<(Arc<str>, Vec<Row>)>;
}

struct One<T> {
    target: Arc<str>,
    client: Weak<T>,
    look: fn(&T) -> Vec<Row>,
}

impl<T: Send + Sync> Shown for One<T> {
    fn lives(&self) -> bool {
        self.client.strong_count() > 0
    }

    fn look(&self) -> Option<(Arc<str>, Vec<Row>)> {
        let client = self.client.upgrade()?;
        Some((Arc::clone(&self.target), (self.look)(&client)))
    }
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Targets").field(&self.lock().parts.keys()).finish()
    }
}
