//! What does somebody see who is woken at three in the morning?
//!
//! One page, in the order of that person's questions: what is this, is it well, who hurts it, what changed, what are we
//! doing on purpose, which layers are there. The page is one file without a build step and without anybody else's
//! script; what it shows comes once a second, as server-sent events, and what it does are the admin listener's own
//! changes.
//!
//! Nothing is worked out for a page that nobody looks at, but one reading a second of the counts, so that whoever opens
//! it sees the two minutes before.
//!
//! # Traps
//! Names come from registries and configurations, which others write: the page makes text of them and never HTML, and
//! its policy (CSP) runs no script but its own.

mod feed;
mod fleet;
mod page;
mod poll;
mod promised;
mod pulse;
mod state;
mod tally;
mod worry;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::pin,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use platform_core::{
    App, Error, ErrorKind, Result,
    lifecycle::{Drain, Report},
    telemetry::Process,
};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior};

use feed::{Feed, Places};
use tally::History;

use crate::asking::Asker;

pub(crate) use page::{PAGE, POLICY};

/// The page of one process, behind its admin listener.
pub(crate) struct Console {
    app: App,
    rooms: Box<dyn Rooms>,
    /// The way to the others.
    asker: Asker,
    /// Is TLS around its own listener?
    secure: bool,
    process: Process,
    places: Places,
    state: Feed,
    fleet: Feed,
    drain: OnceLock<Drain>,
    past: Mutex<Past>,
    ready: tokio::sync::Mutex<Option<(Instant, Report)>>,
}

/// What a stream is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// This process.
    Process,
    /// Every instance that discovery knows.
    Fleet,
}

/// What other rooms tell the page.
pub(crate) trait Rooms: Send + Sync {
    /// Whose process this is.
    fn info(&self) -> Value;
    /// A list of `/platform/NAME`.
    fn view(&self, name: &str) -> Vec<Value>;
    /// What goes wrong on purpose.
    fn faults(&self) -> Value;
}

/// What was counted, second by second.
#[derive(Default)]
struct Past {
    served: History,
    late: promised::Late,
    called: BTreeMap<String, History>,
    /// Processor time, the last time and the share of one processor since the time before.
    cpu: Option<(Instant, f64)>,
    cpu_share: Option<f64>,
}

impl Console {
    pub(crate) fn new(app: &App, rooms: impl Rooms + 'static, asker: Asker, secure: bool) -> Self {
        Console {
            app: app.clone(),
            rooms: Box::new(rooms),
            asker,
            secure,
            process: Process::of_this_process(),
            places: Places::new(),
            state: Feed::new(),
            fleet: Feed::new(),
            drain: OnceLock::new(),
            past: Mutex::default(),
            ready: tokio::sync::Mutex::default(),
        }
    }

    /// From now on pages are told until `drain`; before anybody can ask.
    pub(crate) fn until(&self, drain: &Drain) {
        // A listener serves once.
        let _ = self.drain.set(drain.clone());
    }

    /// Tells who is there; never ends.
    pub(crate) async fn run(&self) -> Infallible {
        tokio::select! {
            never = self.run_state() => never,
            never = self.run_fleet() => never,
        }
    }

    /// Looks once a second.
    async fn run_state(&self) -> Infallible {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = seconds.tick().await;
            self.look(now);
            if self.state.is_read() {
                match self.shown().await {
                    Ok(state) => self.state.show("state", &state),
                    Err(error) => tracing::warn!(error = ?error, "the live page has nothing to show"),
                }
            }
        }
    }

    /// What the page shows now, as JSON.
    pub(crate) async fn shown(&self) -> Result<String> {
        let ready = self.ready().await;
        // Rooms' views are other people's code; a page that broke must not take the listener along.
        let state = std::panic::AssertUnwindSafe(async { self.now(&ready).to_string() }).catch_unwind();
        state
            .await
            .map_err(|_| Error::new(ErrorKind::Panic, "a view of this process panicked; the log says where"))
    }

    /// The same from now on, once a second, until the drain.
    pub(crate) fn stream(
        &self,
        of: Of,
    ) -> Result<impl Stream<Item = Result<Bytes, Infallible>> + Send + use<>> {
        let drain = self.drain.get().cloned();
        let drain = drain.ok_or_else(|| Error::new(ErrorKind::Draining, "this listener does not serve"))?;
        match of {
            Of::Process => self.state.read(&self.places, drain),
            Of::Fleet => self.fleet.read(&self.places, drain),
        }
    }

    /// The whole fleet, as JSON: a look at the others takes a second or two.
    pub(crate) async fn fleet(&self) -> Result<String> {
        let mut texts = pin!(self.stream(Of::Fleet)?);
        let text = tokio::time::timeout(LOOK, texts.next()).await.ok().flatten();
        let late = || Error::new(ErrorKind::Timeout, format!("the fleet was not seen within {LOOK:?}"));
        let Ok(text) = text.ok_or_else(late)?;
        let text = String::from_utf8_lossy(&text);
        let json = text.split_once("data: ").map_or("", |(_, json)| json.trim_end());
        Ok(json.to_owned())
    }

    /// Readiness, not asked more often than probes would: a check may be a question to a database.
    async fn ready(&self) -> Report {
        let mut known = self.ready.lock().await;
        let now = Instant::now();
        if let Some((at, report)) = &*known
            && now - *at < FRESH
            && report.phase == self.app.phases().current().as_str()
        {
            return report.clone();
        }
        let report = self.app.health().ready().await;
        *known = Some((Instant::now(), report.clone()));
        report
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A second until everybody is asked, one until they have answered, and as long again for a slow machine.
const LOOK: Duration = Duration::from_secs(5);
/// As old as the answers of checks may be that the page shows.
const FRESH: Duration = Duration::from_secs(5);
