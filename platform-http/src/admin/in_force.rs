//! In force: changes for a time, which go back by themselves.
//!
//! A change that somebody forgets is the next outage. So each has an end, and at most one is in force for one
//! subject: a second one replaces the first and later goes back to what was there before both.

use std::{
    borrow::Cow,
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use platform_core::{
    Error, ErrorKind, Result,
    app::{Change, ChangeKind, Changes, PLATFORM},
};
use tokio::{sync::Notify, time::Instant};

/// The changes of one process that are in force.
pub(super) struct InForce {
    changes: Changes,
    list: Mutex<Vec<Temporary>>,
    /// The next end may be another one.
    turned: Notify,
}

struct Temporary {
    id: u64,
    kind: ChangeKind,
    subject: Subject,
    until: Instant,
    undo: Undo,
}

/// What is changed: `log`, `fault pay-down`.
pub(super) type Subject = Cow<'static, str>;

/// Puts things back, and says in words what is in force then.
pub(super) type Undo = Box<dyn FnOnce() -> Result<String> + Send>;

/// Who makes a change, why, and for how long.
#[derive(Clone, Debug)]
pub(super) struct By {
    pub(super) who: String,
    pub(super) why: String,
    pub(super) length: Duration,
}

impl InForce {
    pub(super) fn new(changes: Changes) -> Self {
        InForce { changes, list: Mutex::default(), turned: Notify::new() }
    }

    /// Makes a change: `apply` makes it, and returns what changed in words and how to put it back.
    pub(super) fn make(
        &self,
        (kind, subject): (ChangeKind, impl Into<Subject>),
        by: By,
        now: Instant,
        apply: impl FnOnce() -> Result<(String, Undo)>,
    ) -> Result<Change> {
        let subject = subject.into();
        let mut list = self.lock();
        let (what, undo) = apply()?;
        let change = self.changes.record_for(kind, by.who, what, by.why, by.length);
        tracing::info!(change = change.id, who = change.who, why = change.why, "{}", change.what);
        let earlier = list.iter().position(|earlier| earlier.subject == subject);
        let undo = match earlier.map(|at| list.remove(at)) {
            Some(earlier) => {
                self.changes.mark_undone(earlier.id);
                earlier.undo
            }
            None => undo,
        };
        list.push(Temporary { id: change.id, kind, subject, until: now + by.length, undo });
        drop(list);
        self.turned.notify_one();
        Ok(change)
    }

    /// Puts the change of this id back before its time.
    pub(super) fn undo(&self, id: u64, who: &str, why: &str) -> Result<Change> {
        let mut list = self.lock();
        let Some(at) = list.iter().position(|change| change.id == id) else {
            drop(list);
            return Err(self.not_in_force(id));
        };
        let change = list.remove(at);
        self.put_back(change, who, why)
    }

    /// Ends what is in force of one kind, or of one subject of it, before its time: `apply` does so at once, for what
    /// was never a change here as well, and says it in words. One change is recorded for all of them.
    pub(super) fn end(
        &self,
        kind: ChangeKind,
        subject: Option<&str>,
        who: &str,
        why: &str,
        apply: impl FnOnce() -> Result<String>,
    ) -> Result<Change> {
        let mut list = self.lock();
        let what = apply()?;
        list.retain(|change| {
            let ended = change.kind == kind && subject.is_none_or(|subject| change.subject == subject);
            if ended {
                self.changes.mark_undone(change.id);
            }
            !ended
        });
        let change = self.changes.record(kind, who, what, why);
        tracing::info!(change = change.id, who = change.who, why = change.why, "{}", change.what);
        Ok(change)
    }

    /// Puts each change back when its time is over; never ends.
    pub(super) async fn run(&self) -> Infallible {
        loop {
            let next = self.lock().iter().map(|change| change.until).min();
            tokio::select! {
                () = self.turned.notified() => continue,
                () = sleep_until(next) => {}
            }
            let now = Instant::now();
            let mut list = self.lock();
            while let Some(at) = list.iter().position(|change| change.until <= now) {
                let change = list.remove(at);
                let (id, subject) = (change.id, change.subject.clone());
                if let Err(error) = self.put_back(change, PLATFORM, "its time is over") {
                    tracing::error!(change = id, subject = &*subject, error = ?error, "a change could not be put back");
                }
            }
        }
    }

    fn put_back(&self, change: Temporary, who: &str, why: &str) -> Result<Change> {
        let now = (change.undo)()?;
        self.changes.mark_undone(change.id);
        let what = format!("{now}, as before change {}", change.id);
        let back = self.changes.record(change.kind, who, what, why);
        tracing::info!(change = back.id, who = back.who, why = back.why, "{}", back.what);
        Ok(back)
    }

    fn not_in_force(&self, id: u64) -> Error {
        let Some(change) = self.changes.find(id) else {
            return Error::new(
                ErrorKind::NotFound,
                format!("no change {id} is kept; GET /platform/changes lists them"),
            );
        };
        let why = if change.undone {
            "is in force no more: it was undone or replaced, or its time was over"
        } else {
            "cannot be undone; only changes with `until_unix_ms` can"
        };
        Error::new(ErrorKind::Invalid, format!("change {id} ({}) {why}", change.what))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Temporary>> {
        // A change that panics while it is made or undone leaves the list without it, and whole.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sleep_until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// Long enough to look for a cause, short enough that a forgotten change is gone before the next shift.
pub const DEFAULT_LENGTH: Duration = Duration::from_secs(30 * 60);
/// What should last longer than a day belongs into the configuration.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use platform_core::{App, config::Config};

    use super::*;

    const LOG: (ChangeKind, &str) = (ChangeKind::Log, "log");

    async fn ground() -> (Arc<InForce>, Arc<Mutex<&'static str>>, Changes) {
        let app = App::builder("orders").config(Config::default()).start().await.unwrap();
        let in_force = Arc::new(InForce::new(app.changes().clone()));
        (in_force, Arc::new(Mutex::new("info")), app.changes().clone())
    }

    fn by(who: &str, minutes: u64) -> By {
        By { who: who.to_owned(), why: "looking".to_owned(), length: Duration::from_secs(60 * minutes) }
    }

    fn set(in_force: &InForce, value: &Arc<Mutex<&'static str>>, to: &'static str, by: By) -> Change {
        let value = Arc::clone(value);
        let apply = move || {
            let before = std::mem::replace(&mut *value.lock().unwrap(), to);
            let undo: Undo = Box::new(move || {
                *value.lock().unwrap() = before;
                Ok(format!("value {before}"))
            });
            Ok((format!("value {to}"), undo))
        };
        in_force.make(LOG, by, Instant::now(), apply).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_goes_back_when_its_time_is_over() {
        let (in_force, value, changes) = ground().await;
        let change = set(&in_force, &value, "debug", by("ann", 30));
        let run = async {
            tokio::time::sleep(Duration::from_secs(29 * 60)).await;
            assert_eq!(*value.lock().unwrap(), "debug");
            tokio::time::sleep(Duration::from_secs(2 * 60)).await;
            assert_eq!(*value.lock().unwrap(), "info");
        };
        tokio::select! { _ = in_force.run() => {}, () = run => {} }
        assert!(changes.find(change.id).unwrap().undone);
        let back = changes.latest().remove(0);
        assert_eq!((back.who.as_str(), back.why.as_str()), (PLATFORM, "its time is over"));
        assert_eq!(back.what, format!("value info, as before change {}", change.id));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_change_replaces_the_first_and_goes_back_to_what_was_before_both() {
        let (in_force, value, changes) = ground().await;
        let first = set(&in_force, &value, "debug", by("ann", 10));
        let second = set(&in_force, &value, "trace", by("bob", 30));
        assert!(changes.find(first.id).unwrap().undone);
        let run = tokio::time::sleep(Duration::from_secs(20 * 60));
        tokio::select! { _ = in_force.run() => {}, () = run => {} }
        assert_eq!(*value.lock().unwrap(), "trace", "the end of the first means nothing any more");

        let refused = in_force.undo(first.id, "ann", "done").unwrap_err();
        assert!(refused.to_string().contains("is in force no more"), "{refused}");
        in_force.undo(second.id, "ann", "done").unwrap();
        assert_eq!(*value.lock().unwrap(), "info");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ended_together_is_recorded_once_and_leaves_other_kinds_in_force() {
        let (in_force, value, changes) = ground().await;
        let log = set(&in_force, &value, "debug", by("ann", 10));
        let fault = |name: &str| {
            let undo: Undo = Box::new(|| panic!("whoever ended it has put it back"));
            let apply = || Ok(("down".to_owned(), undo));
            let subject = format!("fault {name}");
            in_force.make((ChangeKind::Fault, subject), by("bob", 10), Instant::now(), apply).unwrap()
        };
        let (one, two, three) = (fault("one"), fault("two"), fault("three"));
        let undone = |change: &Change| changes.find(change.id).unwrap().undone;

        let refused = || Err(Error::new(ErrorKind::NotFound, "none"));
        in_force.end(ChangeKind::Fault, Some("fault one"), "ann", "x", refused).unwrap_err();
        assert!(!undone(&one), "what could not be ended goes on");

        let ended = in_force.end(ChangeKind::Fault, Some("fault one"), "ann", "x", || Ok("up".to_owned()));
        assert_eq!((ended.unwrap().what.as_str(), undone(&one), undone(&two)), ("up", true, false));
        let before = changes.latest().len();
        in_force.end(ChangeKind::Fault, None, "ann", "x", || Ok("all up".to_owned())).unwrap();
        assert!(undone(&two) && undone(&three) && !undone(&log));
        assert_eq!(changes.latest().len(), before + 1);
        in_force.undo(log.id, "ann", "done").unwrap();
        assert_eq!(*value.lock().unwrap(), "info");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_undone_says_why() {
        let (in_force, _, changes) = ground().await;
        let start = changes.latest().remove(0).id;
        assert!(in_force.undo(start, "ann", "x").unwrap_err().to_string().contains("cannot be undone"));
        assert_eq!(in_force.undo(99, "ann", "x").unwrap_err().kind(), ErrorKind::NotFound);
    }
}
