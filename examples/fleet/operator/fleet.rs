//! Fleet: every process of the company, started and stopped in order.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use platform_core::{Error, ErrorKind, Result, lifecycle::Signal};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    folder::Folder,
    instance::{Event, Instance, Phase, Place, program},
    registry::Registry,
    scrape::Ledger,
    screen::{Screen, seconds},
};
use crate::{
    company::{Post, Role},
    films::FILMS,
};

/// The company's processes.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) screen: Screen,
    pub(crate) instances: Vec<Instance>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) folder: Arc<Folder>,
    /// Processes that ended by themselves.
    pub(crate) deaths: usize,
    /// Stops that were not clean: who, and how it ended.
    pub(crate) unclean: Vec<String>,
    place: Place,
    events: mpsc::UnboundedReceiver<Event>,
    /// Dropped with the fleet, and every process that still runs with them.
    keepers: JoinSet<()>,
}

impl Fleet {
    /// A fleet without processes.
    ///
    /// # Errors
    /// If this program cannot be found to start them from.
    pub(crate) fn new(folder: Arc<Folder>, registry: Arc<Registry>) -> Result<Self> {
        let lost =
            |error| Error::new(ErrorKind::Start, "cannot find this program's own file").with_source(error);
        let (tell, events) = mpsc::unbounded_channel();
        let ledger = Arc::<Ledger>::default();
        let place = Place {
            folder: Arc::clone(&folder),
            registry,
            ledger: Arc::clone(&ledger),
            events: tell,
            program: program().map_err(lost)?,
        };
        Ok(Fleet {
            screen: Screen::new(),
            instances: Vec::new(),
            ledger,
            folder,
            deaths: 0,
            unclean: Vec::new(),
            place,
            events,
            keepers: JoinSet::new(),
        })
    }

    /// Starts every post, those that are called before those that call, and waits until all are ready.
    ///
    /// # Errors
    /// [`ErrorKind::Start`] with the end of the log of the first that died.
    pub(crate) async fn start(&mut self, posts: Vec<Post>) -> Result<()> {
        let of = posts.len();
        let began = Instant::now();
        for callers in [false, true] {
            for post in posts.iter().filter(|post| CALLERS.contains(&post.role) == callers) {
                self.instances.push(Instance::keep(post.clone(), self.place.clone(), &mut self.keepers));
            }
            self.all_ready(began + START_LIMIT, of).await?;
        }
        self.instances.sort_by_key(|instance| instance.post.role);
        self.screen.settle(false);
        self.screen.say(&format!(
            "Ready in {}: {} instances.",
            seconds(began.elapsed()),
            self.instances.len()
        ));
        Ok(())
    }

    /// Stops every process, callers before those they call, and waits until all are gone.
    pub(crate) async fn stop(&mut self, signal: Signal) {
        let began = Instant::now();
        for callers in [true, false] {
            let wave =
                self.instances.iter().filter(|instance| CALLERS.contains(&instance.post.role) == callers);
            join_all(wave.map(|instance| instance.stop(signal))).await;
        }
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Stopped { instance, how, .. } if !how.is_empty() => {
                    self.unclean.push(format!("{instance}: {how}"));
                }
                Event::Died { .. } => self.deaths += 1,
                _ => {}
            }
        }
        if !self.instances.is_empty() {
            self.screen.say(&format!("Stopped in {}, the edge first.", seconds(began.elapsed())));
        }
    }

    /// For others who have something to tell.
    pub(crate) fn teller(&self) -> mpsc::UnboundedSender<Event> {
        self.place.events.clone()
    }

    /// The next thing that happens, told.
    pub(crate) async fn next_event(&mut self) {
        // The fleet holds a sender itself.
        if let Some(event) = self.events.recv().await {
            self.tell(event);
        }
    }

    /// Ready instances of a service, and all of them.
    pub(crate) fn strength(&self, role: Role) -> (usize, usize) {
        let of = || self.instances.iter().filter(|instance| instance.post.role == role);
        (of().filter(|instance| instance.state().phase == Phase::Ready).count(), of().count())
    }

    /// Reads what every instance has counted.
    pub(crate) async fn read(&self) {
        let each = self.instances.iter().filter_map(|instance| {
            let state = instance.state();
            let addresses = state.addresses?;
            Some(self.ledger.read(instance.post.role, &instance.post.instance, state.life, addresses.admin))
        });
        join_all(each).await;
    }

    /// What a person may want to open; on a terminal the rest stands below the table.
    pub(crate) fn welcome(&mut self) {
        let pages = self.instances.iter().filter_map(|instance| {
            let admin = instance.state().addresses?.admin;
            Some(format!("  {:<26} http://{admin}/", instance.post.instance))
        });
        let pages = pages.collect::<Vec<_>>().join("\n");
        self.screen.say(&format!("Admin pages:\n{pages}"));
        if !self.screen.is_live() {
            for (word, place) in self.open() {
                self.screen.say(&format!("  {word:<6} {place}"));
            }
        }
    }

    /// What to open now: restarts move addresses.
    pub(crate) fn open(&self) -> Vec<(&'static str, String)> {
        let edges = self.instances.iter().filter(|instance| instance.post.role == Role::Edge);
        let edges = edges.filter_map(|edge| Some(format!("http://{}/", edge.state().addresses?.service)));
        let film = FILMS[0].id;
        let mut open: Vec<_> = edges.map(|edge| ("edge", edge)).collect();
        if let Some((_, first)) = open.first() {
            open.push(("try", format!("curl {first}films/{film}")));
        }
        open.extend(self.place.registry.look().map(|look| ("etcd", look)));
        open.push(("logs", self.folder.logs().display().to_string()));
        open
    }

    async fn all_ready(&mut self, limit: Instant, of: usize) -> Result<()> {
        loop {
            let waiting: Vec<&str> = self
                .instances
                .iter()
                .filter(|instance| instance.state().phase != Phase::Ready)
                .map(|instance| instance.post.instance.as_str())
                .collect();
            self.screen.progress(self.instances.len() - waiting.len(), of, &waiting);
            if waiting.is_empty() {
                while let Ok(event) = self.events.try_recv() {
                    self.tell(event);
                }
                return Ok(());
            }
            let waiting = waiting.join(", ");
            match timeout_at(limit, self.events.recv()).await {
                Ok(Some(Event::Died { instance, how, tail })) => {
                    self.screen.settle(false);
                    let tail = tail.iter().map(|line| format!("\n  {line}")).collect::<String>();
                    let what = format!("{instance} did not start ({how}); the end of its log:{tail}");
                    return Err(Error::new(ErrorKind::Start, what));
                }
                Ok(Some(event)) => self.tell(event),
                _ => {
                    let what = format!("not ready within {}: {waiting}", seconds(START_LIMIT));
                    return Err(Error::new(ErrorKind::Start, what));
                }
            }
        }
    }

    fn tell(&mut self, event: Event) {
        match event {
            // On a terminal the bar says it.
            Event::Ready { life: 1, .. } if self.screen.is_live() => {}
            Event::Ready { instance, life: 1, took, .. } => {
                self.screen.say(&format!("{instance} is ready after {}", seconds(took)));
            }
            Event::Ready { instance, took, addresses, .. } => {
                self.screen.say(&format!(
                    "{instance} is back after {}: http://{}/, admin http://{}/",
                    seconds(took),
                    addresses.service,
                    addresses.admin
                ));
            }
            Event::Stopped { instance, took, how } if how.is_empty() => {
                self.screen.say(&format!("{instance} was asked to stop and drained in {}", seconds(took)));
            }
            Event::Stopped { instance, took, how } => {
                let line = format!("{instance} was asked to stop and ended after {}: {how}", seconds(took));
                self.screen.warn(&line);
                self.unclean.push(format!("{instance}: {how}"));
            }
            Event::Killed { instance } => self.screen.say(&format!("{instance} was killed")),
            Event::Fault(line) => self.screen.warn(&line),
            Event::Died { instance, how, tail } => {
                self.deaths += 1;
                self.screen
                    .warn(&format!("{instance} died ({how}) and is started again; the end of its log:"));
                for line in tail {
                    self.screen.say(&format!("  {line}"));
                }
            }
        }
    }
}

/// They go first, so that nobody is left who calls the others.
const CALLERS: [Role; 1] = [Role::Edge];
/// Eleven processes on a machine that is busy with something else.
const START_LIMIT: Duration = Duration::from_secs(60);
