//! Poll: who asks the fleet, for everybody who looks, and only while somebody does.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    Stream, StreamExt as _,
    stream::{self, FuturesUnordered},
};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use platform_core::ErrorKind;
use platform_discovery::{Discovery, Endpoint, Followed, Target};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};

use super::{
    Console,
    fleet::{Due, Fleet, Key},
    pulse::{Pulse, called},
};
use crate::asking::{Asker, Listener};

impl Console {
    /// Asks the fleet while somebody looks at it; never ends.
    pub(super) async fn run_fleet(&self) -> Infallible {
        loop {
            self.fleet.opened().await;
            if let Ok(discovery) = crate::discovery(&self.app) {
                self.watch_fleet(&discovery).await;
            } else {
                // A section that cannot be meant has been refused when the process started.
                tokio::time::sleep(SECOND).await;
            }
        }
    }

    /// Until nobody has looked for [`LINGER`].
    async fn watch_fleet(&self, discovery: &Discovery) {
        let (mut fleet, mut followed) = (Fleet::default(), Following::default());
        let (own, mut lines) = (self.own_key(), Lines::default());
        let mut asking = FuturesUnordered::new();
        let mut seconds = tokio::time::interval(SECOND);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Who is there is believed in as soon as it is known, so that it is asked long before the second is over.
        let mut looks = tokio::time::interval(LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A registry that cannot say is asked no more; what has ended is not polled again.
        let mut lists = pin!(lists(discovery).fuse());
        let mut registry = Registry::default();
        let (mut unread, mut begun) = (Duration::ZERO, false);
        loop {
            tokio::select! {
                now = seconds.tick() => {
                    fleet.heard(&own, now, Ok(self.own_pulse()));
                    fleet.end_second();
                    // The first second is over before anybody could have answered.
                    if begun && self.fleet.is_read() {
                        let mut shown = fleet.shown(now);
                        shown["own"] = json!(**self.app.identity());
                        shown["unlisted"] = json!(registry.unlisted);
                        self.fleet.show("fleet", &shown.to_string());
                    }
                    begun = true;
                    unread = if self.fleet.is_read() { Duration::ZERO } else { unread + SECOND };
                    if unread >= LINGER {
                        return;
                    }
                }
                now = looks.tick() => {
                    let called = self.called_services(&fleet);
                    let known = self.known(&own, &followed, &called);
                    lines.keep(&known);
                    fleet.know(now, known);
                    followed.follow(discovery, registry.with(called));
                }
                Some(told) = lists.next() => registry.hear(told),
                Some((key, told)) = asking.next(), if !asking.is_empty() => {
                    fleet.heard(&key, Instant::now(), told);
                }
            }
            let room = AT_ONCE - asking.len().min(AT_ONCE);
            for due in fleet.due(Instant::now(), room, &own) {
                asking.push(ask(lines.to(&self.asker, &due), due.key));
            }
        }
    }

    /// What this process calls, its own kind, and what others say that they call.
    fn called_services(&self, fleet: &Fleet) -> BTreeMap<String, Target> {
        let own = &self.app.identity().name;
        let others = fleet.called();
        let parsed =
            std::iter::once(own).chain(&others).filter_map(|name| Some((name.clone(), in_registry(name)?)));
        let mut services: BTreeMap<String, Target> = parsed.take(SERVICES).collect();
        // A stranger's hosts are not our fleet.
        for target in called(&self.app).into_iter().filter(|target| !target.is_stranger()) {
            let name = target.service().unwrap_or(target.name()).to_owned();
            services.insert(name, target);
        }
        services
    }

    /// This process, whoever else is there. Who is in the registry, is called by nobody and has no admin listener is none
    /// of our services.
    fn known(
        &self,
        own: &Key,
        followed: &Following,
        called: &BTreeMap<String, Target>,
    ) -> BTreeMap<Key, Arc<Endpoint>> {
        let mut known = followed.endpoints();
        known.retain(|key, endpoint| endpoint.admin.is_some() || called.contains_key(&key.service));
        known.entry(own.clone()).or_insert_with(|| {
            let identity = self.app.identity();
            let admin = self.app.address("admin");
            let mut endpoint = Endpoint::at(admin.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))));
            endpoint.instance.clone_from(&identity.instance);
            (endpoint.admin, endpoint.owner) = (admin, identity.owner.clone());
            endpoint.admin_tls = self.secure;
            Arc::new(endpoint)
        });
        known
    }

    fn own_key(&self) -> Key {
        let identity = self.app.identity();
        Key { service: identity.name.clone(), instance: identity.instance.clone() }
    }
}

/// What the registry says which services there are, as far as they are looked up.
#[derive(Default)]
struct Registry {
    listed: BTreeMap<String, Target>,
    /// Why there may be services that are not looked up.
    unlisted: Option<String>,
}

impl Registry {
    /// An answer, or why there is none: then what it said last is still true.
    fn hear(&mut self, told: Result<BTreeSet<Arc<str>>, String>) {
        match told {
            Ok(listed) => {
                let more = listed.len().saturating_sub(LISTED);
                self.unlisted = (more > 0)
                    .then(|| format!("of {} services in the registry {more} are left out", listed.len()));
                let looked_up = listed.iter().take(LISTED);
                self.listed =
                    looked_up.filter_map(|name| Some((name.to_string(), in_registry(name)?))).collect();
            }
            Err(why) => self.unlisted = Some(why),
        }
    }

    /// What is looked up.
    fn with(&self, mut services: BTreeMap<String, Target>) -> BTreeMap<String, Target> {
        for (name, target) in &self.listed {
            if !services.contains_key(name) {
                services.insert(name.clone(), target.clone());
            }
        }
        services
    }
}

/// The target of this name, if it is looked up in the registry.
fn in_registry(name: &str) -> Option<Target> {
    Target::parse(name).ok().filter(|target| target.service() == Some(name))
}

/// What the registry knows, now and every few seconds; one that cannot say says so once.
fn lists(discovery: &Discovery) -> impl Stream<Item = Result<BTreeSet<Arc<str>>, String>> {
    stream::unfold(Some(Duration::ZERO), move |pause| async move {
        tokio::time::sleep(pause?).await;
        let told = discovery.services().await;
        let goes_on = told.as_ref().err().is_none_or(|error| error.kind() != ErrorKind::Config);
        Some((told.map_err(|error| error.detail().to_owned()), goes_on.then_some(LISTS)))
    })
}

/// The sets that are read along.
#[derive(Default)]
struct Following(BTreeMap<String, Followed>);

impl Following {
    fn follow(&mut self, discovery: &Discovery, services: BTreeMap<String, Target>) {
        self.0.retain(|service, _| services.contains_key(service));
        for (service, target) in services {
            if !self.0.contains_key(&service)
                && let Ok(followed) = discovery.follow(&target)
            {
                self.0.insert(service, followed);
            }
        }
    }

    fn endpoints(&self) -> BTreeMap<Key, Arc<Endpoint>> {
        let sets = self.0.iter().map(|(service, followed)| (service, followed.endpoints()));
        let mut known = BTreeMap::new();
        for (service, set) in sets {
            for endpoint in set.endpoints() {
                let key = Key { service: service.clone(), instance: endpoint.instance.clone() };
                known.insert(key, Arc::clone(endpoint));
            }
        }
        known
    }
}

/// The lines to the others; a connection is kept for as long as its instance is known.
#[derive(Default)]
struct Lines(BTreeMap<Key, (Due, Result<Listener, String>)>);

impl Lines {
    fn to(&mut self, asker: &Asker, due: &Due) -> Result<Listener, String> {
        let open = || {
            let listener = asker.instance(&due.key.service, due.admin, due.tls);
            (due.clone(), listener.map_err(|error| error.detail().to_owned()))
        };
        let line = self.0.entry(due.key.clone()).or_insert_with(open);
        if line.0 != *due {
            *line = open();
        }
        line.1.clone()
    }

    fn keep(&mut self, known: &BTreeMap<Key, Arc<Endpoint>>) {
        self.0.retain(|key, _| known.contains_key(key));
    }
}

/// No token is shown, whoever looks: the address stands in a registry, and anybody may write there.
async fn ask(line: Result<Listener, String>, key: Key) -> (Key, Result<Pulse, String>) {
    let told = async {
        let request = Request::get("/platform/pulse").body(Full::new(Bytes::new()));
        let request = request.map_err(|error| format!("cannot be asked: {error}"))?;
        let reply = line?.ask(request).await.map_err(|error| error.detail().to_owned())?;
        if reply.status() != StatusCode::OK {
            return Err(format!("answers {}", reply.status()));
        }
        let body = Limited::new(reply.into_body(), LARGEST).collect().await;
        Pulse::read(&body.map_err(|error| format!("broke off: {error}"))?.to_bytes())
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    (key, told.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}"))))
}

const SECOND: Duration = Duration::from_secs(1);
/// What is known changes as often as registries are read.
const LOOKS: Duration = Duration::from_millis(250);
/// Questions under way: enough for 500 instances a second at a tenth of a second each.
const AT_ONCE: usize = 64;
/// As long as one of them may hold its place.
const PATIENCE: Duration = Duration::from_secs(1);
/// Twenty times what an instance tells.
const LARGEST: usize = 64 * 1024;
/// So that a page that is loaded again finds its line.
const LINGER: Duration = Duration::from_secs(30);
/// A new service is seen as soon as somebody wonders where it is.
const LISTS: Duration = Duration::from_secs(5);
/// Services that are looked up because they stand in the registry: each is a watch of its own.
const LISTED: usize = 256;
/// Services that are looked up because somebody says that they are called.
const SERVICES: usize = 64;
