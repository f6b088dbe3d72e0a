//! Who may hold a thread, and for how long may others wait?
//!
//! Work that blocks (a file, an embedded database, a password's hash) holds a thread; on a runtime's own threads it
//! holds every request that would have been served there. tokio has five hundred threads beside those, first come first
//! served and with a queue that never ends: what hangs takes them all, and what waits for one waits for everything that
//! came before. So work of one kind has a [`Blocking`] of its own: so many threads at a time, a short line in front of
//! them, and a refusal that says so.
//!
//! ```
//! # use platform_core::{Result, blocking::{Blocking, Config}, identity::Identity, telemetry::Metrics};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! # let metrics = Metrics::new(&Identity::default());
//! # fn hash(password: &str) -> usize { password.len() }
//! let hashing = Blocking::new("hashing", &Config { threads: 2, ..Config::default() }, &metrics)?;
//! assert_eq!(hashing.run(|_| hash("secret")).await?, 6);
//! # Ok(())
//! # }
//! ```
//!
//! The work has the request's context, so that what it logs and notes is the request's. It begins only if its deadline
//! has not passed when a thread is free. A thread cannot be taken back: work whose caller has left goes on and keeps its
//! thread, so long work looks at [`Wanted`] now and then.
//!
//! # Defaults
//! | Key of `[blocking.NAME]` | Default | Reason |
//! |---|---|---|
//! | `threads` | 16 | [`config::THREADS`] |
//! | `queue` | 64 | [`config::QUEUE`] |
//! | `max_wait` | 50 ms | [`config::MAX_WAIT`] |
//!
//! # Signals
//! `platform_blocking_threads` in use, `platform_blocking_queue`, `platform_blocking_wait_seconds` of work that waited,
//! `platform_blocking_refusals_total`, each by `pool`.
//!
//! # Traps
//! *Pressure*: a full pool is no reason to refuse requests that do not need it, so it is none of a server's sources;
//! a route that always needs it gets a class of its own. *Nesting*: work that asks its own pool from within waits for
//! itself.

pub mod config;
mod metrics;

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

pub use config::Config;
pub(crate) use metrics::{declared, signals};

use self::metrics::Meters;
use crate::{
    app::App,
    config::Name,
    context::{self, Context},
    error::{Error, ErrorKind, Result},
    telemetry::Metrics,
};

/// Threads for one kind of work that blocks. Clones share them.
#[derive(Clone)]
pub struct Blocking(Arc<Pool>);

struct Pool {
    name: Arc<str>,
    config: Config,
    threads: Arc<Semaphore>,
    waiting: AtomicU32,
    meters: Meters,
}

/// Does anybody wait for the work? For work that takes long and can end early.
#[derive(Clone, Debug)]
pub struct Wanted(Arc<AtomicBool>);

impl Wanted {
    /// `false` once the caller has left or its deadline has passed.
    pub fn is_wanted(&self) -> bool {
        !self.0.load(Relaxed)
    }
}

/// The caller: once it is gone, nobody wants the work.
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Blocking {
    /// Threads for work that is called `name` in metrics and errors.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a name that is none, and for numbers that make no sense.
    pub fn new(name: &str, config: &Config, metrics: &Metrics) -> Result<Self> {
        let name = parse(name)?;
        crate::config::Config::default().check(&format!("{SECTION}.{name}"), config)?;
        Ok(Blocking(Arc::new(Pool::new(Arc::from(name.as_str()), config, metrics))))
    }

    /// The threads of this name in a service; two of the same name are one. `config` is what the code wants, and
    /// `[blocking.NAME]` is stronger.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a name that is none, an unknown key, and numbers that make no sense.
    pub fn of(app: &App, name: &str, config: &Config) -> Result<Self> {
        let name = parse(name)?;
        let pool = app.once(name.as_str(), || {
            let at = format!("{SECTION}.{name}");
            let config = app.config().overlay(config, &at)?;
            app.config().check(&at, &config)?;
            let pool = Pool::new(Arc::from(name.as_str()), &config, app.metrics());
            Ok(Blocking(Arc::new(pool)))
        })?;
        Ok(Blocking::clone(&pool))
    }

    /// Runs `work` on a thread that it may hold, under the context of the request being served, if one is. Dropping this
    /// leaves the line; work that has begun goes on, and is told that nobody wants it.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] if no thread was free in time; [`ErrorKind::Expired`] if the deadline passed before
    /// one was; [`ErrorKind::Timeout`] if it passed while the work went on.
    ///
    /// # Panics
    /// If `work` does, with what it panicked with.
    pub async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Wanted) -> T + Send + 'static,
    {
        let context = context::inherit(Instant::now());
        let deadline = context.deadline();
        let thread = self.thread(&context).await?;
        let caller = Caller(Arc::default());
        let wanted = Wanted(Arc::clone(&caller.0));
        let held = Held::new(thread, &self.0);
        // tokio may have no thread at once, if others took them all.
        let begun = move || {
            let _held = held;
            if deadline.is_some_and(|deadline| deadline.has_passed(Instant::now())) {
                return None;
            }
            Some(context::enter(context, || work(wanted)))
        };
        let span = tracing::Span::current();
        let work = tokio::task::spawn_blocking(move || span.in_scope(begun));
        let ended = match deadline {
            Some(deadline) => timeout_at(deadline.instant(), work).await.map_err(|_| self.late())?,
            None => work.await,
        };
        match ended {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.expired()),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // A runtime that ends takes its threads along.
                Err(_) => Err(Error::new(ErrorKind::Abandoned, "the process ends").at_layer(LAYER)),
            },
        }
    }

    /// Threads that are held now.
    pub fn in_use(&self) -> u32 {
        let free = u32::try_from(self.0.threads.available_permits()).unwrap_or(u32::MAX);
        self.0.config.threads.saturating_sub(free)
    }

    /// How many wait for one.
    pub fn waiting(&self) -> u32 {
        self.0.waiting.load(Relaxed)
    }

    /// A thread, at once or after a wait.
    async fn thread(&self, context: &Context) -> Result<OwnedSemaphorePermit> {
        let pool = &*self.0;
        if let Ok(thread) = Arc::clone(&pool.threads).try_acquire_owned() {
            return Ok(thread);
        }
        let now = context.now();
        let left = context.deadline().map(|deadline| deadline.remaining(now));
        let max_wait = pool.config.max_wait;
        if left.is_some_and(|left| left.is_zero()) {
            return Err(self.expired());
        }
        let Some(_place) = Place::take(pool) else {
            return Err(self.refuse(&format!("{} wait already (queue = {0})", pool.config.queue)));
        };
        let wait = left.map_or(max_wait, |left| left.min(max_wait));
        let acquired = timeout_at(now.instant() + wait, Arc::clone(&pool.threads).acquire_owned()).await;
        pool.meters.wait.observe(Instant::now().saturating_duration_since(now.instant()), None);
        match acquired {
            Ok(Ok(thread)) => Ok(thread),
            // Nobody closes it.
            Ok(Err(_)) => Err(self.refuse("it is closed")),
            Err(_) if left.is_some_and(|left| left <= max_wait) => Err(self.expired()),
            Err(_) => Err(self.refuse(&format!("none was free within {max_wait:?} (max_wait)"))),
        }
    }

    #[cold]
    fn refuse(&self, why: &str) -> Error {
        let Pool { name, config, meters, .. } = &*self.0;
        meters.refusals.inc();
        let told = format!(
            "all {} threads of `{name}` are held ({SECTION}.{name}.threads), and {why}",
            config.threads
        );
        Error::new(ErrorKind::Overloaded, told).at_layer(LAYER)
    }

    #[cold]
    fn expired(&self) -> Error {
        self.0.meters.refusals.inc();
        let why = format!("the deadline passed before a thread of `{}` was free", self.0.name);
        Error::new(ErrorKind::Expired, why).at_layer(LAYER)
    }

    #[cold]
    fn late(&self) -> Error {
        let why = format!(
            "the deadline passed while work of `{}` went on; its thread is held until it ends",
            self.0.name
        );
        Error::new(ErrorKind::Timeout, why).at_layer(LAYER)
    }
}

impl Pool {
    fn new(name: Arc<str>, config: &Config, metrics: &Metrics) -> Pool {
        Pool {
            config: *config,
            threads: Arc::new(Semaphore::new(config.threads as usize)),
            waiting: AtomicU32::new(0),
            meters: Meters::of(&name, metrics),
            name,
        }
    }
}

impl std::fmt::Debug for Blocking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Pool { name, config, .. } = &*self.0;
        f.debug_struct("Blocking").field("name", name).field("config", config).finish_non_exhaustive()
    }
}

/// A thread that is held; free when the work has ended.
struct Held {
    _thread: OwnedSemaphorePermit,
    pool: Arc<Pool>,
}

impl Held {
    fn new(thread: OwnedSemaphorePermit, pool: &Arc<Pool>) -> Self {
        pool.meters.threads.inc();
        Held { _thread: thread, pool: Arc::clone(pool) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.meters.threads.dec();
    }
}

/// A place in the line.
struct Place<'a>(&'a Pool);

impl<'a> Place<'a> {
    fn take(pool: &'a Pool) -> Option<Self> {
        let most = pool.config.queue;
        let one_more = |waiting| (waiting < most).then_some(waiting + 1);
        pool.waiting.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        pool.meters.queue.inc();
        Some(Place(pool))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
        self.0.meters.queue.dec();
    }
}

fn parse(name: &str) -> Result<Name> {
    Name::parse(name).map_err(|why| Error::config(format!("the name of threads for blocking work: {why}")))
}

/// The section, with a table for each name.
const SECTION: &str = "blocking";
/// The layer in errors.
const LAYER: &str = "blocking";

#[cfg(test)]
mod tests;
