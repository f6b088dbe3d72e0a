//! One process's targets: each watched once, however many clients call it.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use platform_core::{Result, config::Mode, identity::Identity, telemetry::Metrics};
use tokio::time::Instant;

use crate::{
    balance::{self, Balance, Link, Origin, Pick},
    config::Config,
    eject_modes::EjectModes,
    endpoint::{Endpoint, EndpointSet},
    folder::Folder,
    followed::Followed,
    list,
    metrics::{Gauges, Meters},
    resolve::Resolve,
    source,
    standing::Standing,
    start::{self, NotReady},
    target::Target,
    view::TargetView,
    watch::{Store, Watch},
};

/// Finds endpoints and watches them. Cheap to clone; clones watch the same targets.
///
/// ```
/// use platform_core::{Context, identity::Identity, telemetry::Metrics};
/// use platform_discovery::{Config, Discovery, Target, balance};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> platform_core::Result<()> {
/// let identity = Identity::default();
/// let discovery = Discovery::of(Config::default(), &identity, &Metrics::new(&identity))?;
///
/// let target = Target::parse("fixed://127.0.0.1:7001,127.0.0.1:7002")?;
/// let balance = discovery.balance(&target, &balance::Config::default(), |endpoint| endpoint.address)?;
///
/// let picked = balance.pick(&Context::root(Instant::now()), fastrand::u64(..)).await?;
/// println!("asking {} through {:?}", picked.endpoint().instance, picked.service());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Discovery(Arc<Inner>);

struct Inner {
    config: Config,
    standing: Arc<Standing>,
    metrics: Metrics,
    shared: source::Shared,
    eject_modes: EjectModes,
    /// Shared with the registry of metrics, which reads it whoever else is left.
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    watches: HashMap<Target, Weak<Watch>>,
    /// Sources that were given by hand, by the name of the target they answer for.
    sources: HashMap<Arc<str>, Arc<dyn Resolve>>,
}

impl Discovery {
    /// A process's discovery; nothing is watched yet.
    ///
    /// # Errors
    ///
    /// As [`Config::check`].
    pub fn of(config: Config, identity: &Identity, metrics: &Metrics) -> Result<Self> {
        config.check()?;
        let known: Arc<Mutex<Known>> = Arc::default();
        let (read, gauges) = (Arc::clone(&known), Gauges::new(metrics));
        metrics.on_scrape(move || refresh(&read, &gauges));
        let standing = Arc::new(Standing::of(identity));
        Ok(Discovery(Arc::new(Inner {
            config,
            standing,
            metrics: metrics.clone(),
            shared: source::Shared::default(),
            eject_modes: EjectModes::default(),
            known,
        })))
    }

    /// From now on `source` answers for the target of this name, whatever its scheme.
    pub fn use_source(&self, name: &str, source: Arc<dyn Resolve>) {
        self.0.known().sources.insert(Arc::from(name), source);
    }

    /// A balancer over the endpoints of `target`, which is watched from now on.
    ///
    /// `make` is asked once for every endpoint that appears, on a thread of the runtime: it must not block.
    /// What it makes lives until the endpoint is gone and its last call has ended.
    ///
    /// # Errors
    ///
    /// When this build has no source for the target.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn balance<C: Send + Sync + 'static>(
        &self,
        target: &Target,
        config: &balance::Config,
        make: impl Fn(&Endpoint) -> C + Send + Sync + 'static,
    ) -> Result<Balance<C>> {
        self.balance_linked(target, config, connected(make))
    }

    /// The same for who keeps connections: what is made for an endpoint says by its [`Link`] whether there is a way to
    /// it, and one without is asked only where no other has one.
    ///
    /// The link of an endpoint that joins others is not connected at first, so that it gets no call before it says that
    /// it is; those of a first set are.
    ///
    /// # Errors
    ///
    /// As [`balance`](Self::balance).
    ///
    /// # Panics
    ///
    /// As [`balance`](Self::balance).
    pub fn balance_linked<C: Send + Sync + 'static>(
        &self,
        target: &Target,
        config: &balance::Config,
        make: impl Fn(&Endpoint, Link) -> C + Send + Sync + 'static,
    ) -> Result<Balance<C>> {
        let origin = self.0.origin(target)?;
        let balance = Balance::new(origin, config, Box::new(make));
        self.0.eject_as_told();
        Ok(balance)
    }

    /// The same with a way to choose of one's own.
    ///
    /// # Errors
    ///
    /// As [`balance`](Self::balance).
    ///
    /// # Panics
    ///
    /// As [`balance`](Self::balance).
    pub fn balance_by<C: Send + Sync + 'static>(
        &self,
        target: &Target,
        config: &balance::Config,
        pick: impl Pick<C>,
        make: impl Fn(&Endpoint) -> C + Send + Sync + 'static,
    ) -> Result<Balance<C>> {
        let origin = self.0.origin(target)?;
        let balance = Balance::with_pick(origin, config, Box::new(pick), Box::new(connected(make)));
        self.0.eject_as_told();
        Ok(balance)
    }

    /// From now on nobody in this zone is asked while somebody elsewhere is healthy, whoever calls whom in this process.
    /// Returns whether it was not so before.
    pub fn evacuate(&self, zone: &str) -> bool {
        let changed = self.0.standing.evacuate(zone);
        self.0.refresh();
        changed
    }

    /// From now on the zone is asked as any other. Returns whether it was evacuated.
    pub fn readmit(&self, zone: &str) -> bool {
        let changed = self.0.standing.readmit(zone);
        self.0.refresh();
        changed
    }

    /// The evacuated zones, in order.
    pub fn evacuated(&self) -> Vec<String> {
        self.0.standing.now().evacuated.into_iter().collect()
    }

    /// From now on endpoints are left out in this mode, whatever is configured: those of `target`, or everybody's. `name`
    /// is what it is lifted by; of several the last one counts. Returns what is in force, by target.
    pub fn lay_eject_mode(&self, name: &str, target: Option<&str>, mode: Mode) -> Vec<(Arc<str>, Mode)> {
        self.0.eject_modes.lay(name, target, mode);
        self.0.eject_as_told()
    }

    /// Takes such a mode away again. Returns what is in force, by target.
    pub fn lift_eject_mode(&self, name: &str) -> Vec<(Arc<str>, Mode)> {
        self.0.eject_modes.lift(name);
        self.0.eject_as_told()
    }

    /// The zones in which targets of this process have endpoints, and its own, in order.
    pub fn zones(&self) -> Vec<String> {
        let mut zones = BTreeSet::from([self.0.standing.zone().to_string()]);
        for watch in self.0.watches() {
            let set = watch.belief().set;
            zones.extend(set.endpoints().iter().map(|endpoint| endpoint.zone.clone()));
        }
        zones.remove("");
        zones.into_iter().collect()
    }

    /// From now on these are known to be all instances of this process's own service, itself included: what they call is
    /// then shared out evenly among them, and each zone's part of it is known.
    pub fn set_equals(&self, equals: &EndpointSet) {
        if self.0.standing.set_equals(equals) {
            self.0.refresh();
        }
    }

    /// Reads along who answers for `target`, without calling anybody: to count one's equals, say. It is not among
    /// the [`targets`](Self::targets) unless somebody calls it as well.
    ///
    /// # Errors
    ///
    /// When this build has no source for the target.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn follow(&self, target: &Target) -> Result<Followed> {
        let mut known = self.0.known();
        let watch = match known.watches.get(target).and_then(Weak::upgrade) {
            Some(watch) => watch,
            None => Arc::new(self.0.start(&mut known, target)?),
        };
        drop(known);
        Ok(Followed::new(watch))
    }

    /// Could `target` be watched? Nothing is begun.
    ///
    /// # Errors
    ///
    /// When this build has no source for it, and what it would take.
    pub fn can_watch(&self, target: &Target) -> Result<()> {
        self.0.source(&self.0.known(), target).map(drop)
    }

    /// The targets that somebody in this process calls, by name.
    pub fn called(&self) -> Vec<Target> {
        self.0.watches().iter().map(|watch| watch.target.clone()).collect()
    }

    /// The names of all services that the configured registry knows, whoever calls them.
    ///
    /// # Errors
    ///
    /// [`Config`](platform_core::ErrorKind::Config) for a registry that cannot say (`kubernetes`, `dns`, and what this
    /// build has no source for); what the registry said, or that it said nothing within five seconds.
    pub async fn services(&self) -> Result<BTreeSet<Arc<str>>> {
        let own = Arc::clone(&self.0);
        list::services(move || source::list(&own.config, &own.shared)).await
    }

    /// Waits until every watched target has had its first answer, at most `wait`; then says which of them
    /// cannot be called yet. A start goes on all the same: who is missing may come, and until then calls fail
    /// fast.
    pub async fn ready(&self, wait: Duration) -> Vec<NotReady> {
        start::missing(&self.0.watches(), wait).await
    }

    /// How long [`ready`](Self::ready) is meant to wait: `discovery.start_wait`.
    pub fn start_wait(&self) -> Duration {
        self.0.config.start_wait
    }

    /// The watched targets and their endpoints, by name.
    pub fn targets(&self) -> Vec<TargetView> {
        let now = Instant::now();
        let evacuated = self.0.standing.now().evacuated;
        self.0.watches().iter().map(|watch| TargetView::of(watch, &evacuated, now)).collect()
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    fn watch(&self, target: &Target) -> Result<Arc<Watch>> {
        let mut known = self.known();
        if let Some(watch) = known.watches.get(target).and_then(Weak::upgrade) {
            return Ok(watch);
        }
        let watch = Arc::new(self.start(&mut known, target)?);
        known.watches.insert(target.clone(), Arc::downgrade(&watch));
        Ok(watch)
    }

    fn start(&self, known: &mut Known, target: &Target) -> Result<Watch> {
        let source = self.source(known, target)?;
        let meters = Meters::new(&self.metrics, target.name());
        let store = source.is_remembered().then(|| Folder::of_snapshots(&self.config)).flatten();
        let store = store.map(|folder| Store::new(folder, target, &source.describe(target)));
        Ok(Watch::start(target.clone(), source, self.config.removals, meters, store))
    }

    /// Who answers for a target.
    fn source(&self, known: &Known, target: &Target) -> Result<Arc<dyn Resolve>> {
        match known.sources.get(target.name()) {
            Some(source) => Ok(Arc::clone(source)),
            None => source::of(target, &self.config, &self.shared),
        }
    }

    fn origin(&self, target: &Target) -> Result<Origin<'_>> {
        let (metrics, standing) = (&self.metrics, &self.standing);
        Ok(Origin { watch: self.watch(target)?, metrics, standing })
    }

    /// Everybody who chooses leaves out as an operator said, or as configured.
    fn eject_as_told(&self) -> Vec<(Arc<str>, Mode)> {
        let watches = self.watches();
        let each = watches.iter().flat_map(|watch| {
            let (name, laid) = (watch.target.name(), self.eject_modes.of(watch.target.name()));
            watch.balancers().into_iter().map(move |balancer| (Arc::clone(name), balancer.eject_as(laid)))
        });
        each.collect()
    }

    /// Everybody who chooses looks again at whom to consider.
    fn refresh(&self) {
        self.watches().iter().flat_map(|watch| watch.balancers()).for_each(|balancer| balancer.refresh());
    }

    fn watches(&self) -> Vec<Arc<Watch>> {
        self.known().watches()
    }
}

impl Known {
    /// Those that somebody still calls, by name.
    fn watches(&self) -> Vec<Arc<Watch>> {
        let mut watches: Vec<_> = self.watches.values().filter_map(Weak::upgrade).collect();
        watches.sort_by(|a, b| a.target.name().cmp(b.target.name()));
        watches
    }
}

/// Who keeps no connections is always ready to be asked.
fn connected<C>(make: impl Fn(&Endpoint) -> C) -> impl Fn(&Endpoint, Link) -> C {
    move |endpoint, link| {
        link.set(true);
        make(endpoint)
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refresh(known: &Mutex<Known>, gauges: &Gauges) {
    let watches = {
        let mut known = lock(known);
        known.watches.retain(|target, watch| {
            let alive = watch.strong_count() > 0;
            if !alive {
                gauges.forget(target.name());
            }
            alive
        });
        known.watches()
    };
    let now = Instant::now();
    watches.iter().for_each(|watch| gauges.refresh(watch, now));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_scheme_has_its_source() {
        // Nobody listens there, and nobody else is asked.
        let nowhere = "127.0.0.1:1";
        let mut config = Config::default();
        config.dns.server = nowhere.to_owned();
        config.consul.address = format!("http://{nowhere}");
        let identity = Identity::default();
        let discovery = Discovery::of(config, &identity, &Metrics::new(&identity)).unwrap();
        let table = [
            ("fixed://127.0.0.1:1", "fixed", true),
            ("file:///nowhere/catalog.toml", "the file /nowhere/catalog.toml", true),
            ("consul://catalog", "Consul, the service catalog", cfg!(feature = "consul")),
            ("dns://catalog.shop", "DNS, the addresses of catalog.shop", cfg!(feature = "dns")),
            ("dns+srv://_http._tcp.catalog.shop", "DNS, the SRV records of", cfg!(feature = "dns")),
            ("https://127.0.0.1:1", "DNS, the addresses of 127.0.0.1", cfg!(feature = "dns")),
            ("https://127.0.0.1:1", "the system's resolver", cfg!(not(feature = "dns"))),
        ];
        for (text, source, _) in table.into_iter().filter(|(.., built)| *built) {
            let target = Target::parse(text).unwrap();
            let balance = discovery.balance(&target, &balance::Config::default(), |_| ()).unwrap();
            let told = discovery.targets().into_iter().find(|view| view.uri == text).unwrap().source;
            assert!(told.contains(source), "{text}: {told}");
            drop(balance);
        }
    }
}
