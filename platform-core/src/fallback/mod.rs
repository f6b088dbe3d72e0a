//! What do we answer without it?
//!
//! A page with yesterday's ratings, or with none, is better than no page. [`OrDegraded`] answers with a fallback
//! where a dependency failed, and [`Stale`] with the last good value; both say so: the reply of the request being
//! served carries `platform-degraded: ratings`, its canonical line `degraded`, and
//! `platform_server_degraded_requests_total` counts it. A fallback that nobody notices hides an outage.
//!
//! ```
//! # use platform_core::{Error, ErrorKind, Result, fallback::OrDegraded as _};
//! # fn ask() -> Result<f64> { Err(Error::new(ErrorKind::Unreachable, "refused")) }
//! # fn handler() -> Result<()> {
//! let stars: Option<f64> = ask().map(Some).or_degraded("ratings", |_| None)?;
//! assert_eq!(stars, None);
//! # Ok(())
//! # }
//! # handler().unwrap();
//! ```
//!
//! # Defaults
//! Nothing is answered with a fallback unless a handler says so, and [`Stale`] keeps a value for as long as its maker wants it
//! shown: what a page is worth without something is known to the team that owns the page, and to no policy.
//!
//! # Signals
//! `platform_server_degraded_requests_total` by what was missing; `platform-degraded` on the reply, of which strangers see a
//! plain `yes`; `degraded` on the canonical line.
//!
//! # Traps
//! A fallback that asks another service: it fails on the same day. Answer with something that is at hand. And a
//! caller's mistake is no failure of the dependency: a 404 stays a 404.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    context,
    error::{Error, Result},
    outcome::Outcome,
};

/// Answers without a dependency that failed.
pub trait OrDegraded<T> {
    /// The value; or the fallback where `dependency` failed, and the reply says that it is degraded.
    ///
    /// # Errors
    /// What is no failure of the dependency: the caller's own mistake, or that nobody waits any more.
    fn or_degraded(self, dependency: &str, fallback: impl FnOnce(&Error) -> T) -> Result<T>;
}

impl<T, E: Into<Error>> OrDegraded<T> for Result<T, E> {
    fn or_degraded(self, dependency: &str, fallback: impl FnOnce(&Error) -> T) -> Result<T> {
        let error = match self {
            Ok(value) => return Ok(value),
            Err(error) => error.into(),
        };
        if !is_failure(&error) {
            return Err(error);
        }
        degrade(dependency, &error);
        Ok(fallback(&error))
    }
}

/// The last good value of something, for the day when it cannot be had. Clones share it.
#[derive(Clone, Debug)]
pub struct Stale<T> {
    dependency: Arc<str>,
    max_age: Duration,
    kept: Arc<Mutex<Option<(Instant, T)>>>,
}

impl<T: Clone> Stale<T> {
    /// A place for the last good value of `dependency`, worth showing for `max_age`.
    pub fn new(dependency: impl Into<Arc<str>>, max_age: Duration) -> Self {
        Stale { dependency: dependency.into(), max_age, kept: Arc::default() }
    }

    /// A good value, which is kept; else the kept one, and the reply says that it is degraded.
    ///
    /// # Errors
    /// The failure itself where no value is kept that is young enough, and what is no failure of the dependency.
    pub fn fresh_or_kept<E: Into<Error>>(&self, result: Result<T, E>, now: Instant) -> Result<T> {
        let error = match result {
            Ok(value) => {
                *self.lock() = Some((now, value.clone()));
                return Ok(value);
            }
            Err(error) => error.into(),
        };
        if !is_failure(&error) {
            return Err(error);
        }
        let kept = self.lock().clone();
        let Some((since, value)) = kept else { return Err(error) };
        let age = now.saturating_duration_since(since);
        if age > self.max_age {
            return Err(error.noting(&format!(
                "the last good value is {age:.0?} old, and worth showing for {:?}",
                self.max_age
            )));
        }
        degrade(&self.dependency, &error);
        Ok(value)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, T)>> {
        // Whoever panicked while cloning a value left the place whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_failure(error: &Error) -> bool {
    !matches!(error.outcome(), Outcome::CallerFault | Outcome::Abandoned)
}

fn degrade(dependency: &str, error: &Error) {
    tracing::info!(dependency, reason = %error.kind(), "answered without it");
    context::with_current(|context| {
        if let Some(notes) = context.notes() {
            notes.degrade(dependency);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        context::{Context, Notes},
        error::ErrorKind,
    };

    const HOUR: Duration = Duration::from_secs(3600);

    fn fails(kind: ErrorKind) -> Result<u32> {
        Err(Error::new(kind, "no"))
    }

    async fn serving<T>(work: impl FnOnce() -> T) -> (T, String) {
        let notes = Arc::new(Notes::default());
        let mut context = Context::root(Instant::now());
        context.set_notes(Arc::clone(&notes));
        let done = context::scope(context, async { work() }).await;
        (done, notes.degraded().unwrap_or_default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_dependency_that_fails_is_answered_without_and_the_reply_says_so() {
        for kind in [ErrorKind::Timeout, ErrorKind::Unreachable, ErrorKind::BreakerOpen, ErrorKind::Upstream]
        {
            let (answer, degraded) = serving(|| fails(kind).or_degraded("ratings", |_| 7)).await;
            assert_eq!((answer.unwrap(), &*degraded), (7, "ratings"), "{kind}");
        }
        let twice = || {
            let _ = fails(ErrorKind::Timeout).or_degraded("ratings", |_| 7);
            let _ = fails(ErrorKind::Timeout).or_degraded("ratings", |_| 7);
            let _ = fails(ErrorKind::Timeout).or_degraded("catalog", |_| 7);
        };
        assert_eq!(serving(twice).await.1, "ratings,catalog");
        // Outside a request there is nobody to tell, and still an answer.
        assert_eq!(fails(ErrorKind::Timeout).or_degraded("ratings", |_| 7).unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_callers_mistake_is_no_failure() {
        for kind in [ErrorKind::NotFound, ErrorKind::Invalid, ErrorKind::Abandoned] {
            let (answer, degraded) = serving(|| fails(kind).or_degraded("ratings", |_| 7)).await;
            assert_eq!((answer.unwrap_err().kind(), &*degraded), (kind, ""));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_value_serves_for_its_age() {
        let now = Instant::now();
        let stale = Stale::new("ratings", HOUR);
        assert!(stale.fresh_or_kept(fails(ErrorKind::Timeout), now).is_err(), "nothing is kept yet");
        assert_eq!(stale.fresh_or_kept(Ok::<_, Error>(5), now).unwrap(), 5);
        let (answer, degraded) = serving(|| stale.fresh_or_kept(fails(ErrorKind::Timeout), now + HOUR)).await;
        assert_eq!((answer.unwrap(), &*degraded), (5, "ratings"));
        let late = now + HOUR + Duration::from_secs(1);
        let error = stale.fresh_or_kept(fails(ErrorKind::Timeout), late).unwrap_err();
        assert!(error.detail().contains("worth showing for 3600s"), "{error}");
    }
}
