//! Endpoints that Kubernetes knows.
//!
//! The EndpointSlices of a service are listed once and watched from there: the addresses of its pods, not the
//! service's own, so that each call is balanced here.
//!
//! | Kubernetes says | we believe |
//! |---|---|
//! | ready, or nothing about it | ready |
//! | not ready, or terminating | it takes no new calls, from now on |
//! | a zone; hints that give the endpoint to another | that zone; the hinted one, so that a preference for our zone keeps to the hints |
//! | the same pod in two slices or in two families | one endpoint, by IPv4 where it has that |
//! | 410: what we saw last is forgotten | nothing new; everything is listed anew |
//! | a list that does not come within a minute | nothing; an error, and it is asked for anew |
//! | a watch that breaks | the same until it cannot be begun again, which is an error; then everything is listed anew |
//!
//! A service's port is asked for by name or by the **pod's** number (`targetPort`), because slices know no other.
//!
//! # Rights
//!
//! `list` and `watch` on `endpointslices` of `discovery.k8s.io` in the namespace of the service.
//!
//! # Registration
//!
//! Is the platform's own: what a pod's readiness probe says is in the slices. Draining follows the pod's end.

mod slices;

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use platform_core::{Error, ErrorKind, Result};
use tokio::time::{self, Instant};

use self::slices::{Port, merge};
use crate::{
    config, pause,
    resolve::{Resolve, Snapshot, Snapshots},
    source::said::Said,
    target::{Place, Target},
};

/// The pods of a service in Kubernetes.
#[derive(Clone)]
pub struct Kubernetes {
    config: config::Kubernetes,
    client: Option<Client>,
}

impl Kubernetes {
    /// The cluster that we run in, or that of the kubeconfig.
    pub fn of(config: &config::Kubernetes) -> Self {
        Kubernetes { config: config.clone(), client: None }
    }

    /// The cluster of a client of one's own.
    pub fn with(config: &config::Kubernetes, client: Client) -> Self {
        Kubernetes { config: config.clone(), client: Some(client) }
    }

    fn wanted(&self, target: &Target) -> Option<Wanted> {
        let usual = || Port::Usual(self.config.port.clone());
        let (namespace, service, port) = match target.place() {
            Place::Registry(name) => (self.config.namespace.clone(), name, usual()),
            Place::Kubernetes { namespace, service, port } => {
                let port = port.as_ref().map_or_else(usual, |port| Port::Asked(port.to_string()));
                (namespace.to_string(), service, port)
            }
            _ => return None,
        };
        let namespace = (!namespace.is_empty()).then_some(namespace);
        Some(Wanted { namespace, service: Arc::clone(service), port })
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    /// `None` is the one that we run in.
    namespace: Option<String>,
    service: Arc<str>,
    port: Port,
}

impl Resolve for Kubernetes {
    fn resolve(&self, target: &Target) -> Snapshots {
        let Some(wanted) = self.wanted(target) else {
            let error = Error::new(ErrorKind::Internal, format!("{target} is no service in Kubernetes"));
            return Box::pin(stream::iter([Err(error)]));
        };
        let follow = Follow {
            client: self.client.clone(),
            wanted,
            events: None,
            slices: BTreeMap::new(),
            listed: BTreeMap::new(),
            listing: false,
            failures: 0,
            said: Said::default(),
        };
        Box::pin(stream::unfold(follow, |mut follow| async move {
            let answer = follow.next().await;
            Some((answer, follow))
        }))
    }

    fn is_remembered(&self) -> bool {
        true
    }

    fn describe(&self, target: &Target) -> String {
        match self.wanted(target) {
            Some(Wanted { namespace, service, port }) => {
                let place = namespace.map_or("our namespace".to_owned(), |name| format!("namespace {name}"));
                format!("Kubernetes, the service {service} of {place}, port {port}")
            }
            None => "Kubernetes".to_owned(),
        }
    }
}

type Events = Pin<Box<dyn Stream<Item = watcher::Result<Event<EndpointSlice>>> + Send>>;

/// What the one stream that watches knows.
struct Follow {
    client: Option<Client>,
    wanted: Wanted,
    events: Option<Events>,
    /// The slices that are believed in, by name.
    slices: BTreeMap<String, EndpointSlice>,
    /// A list that is not complete yet.
    listed: BTreeMap<String, EndpointSlice>,
    /// Whether we wait for the rest of a list: until then nobody knows whether what we believe is true.
    listing: bool,
    failures: u32,
    said: Said,
}

impl Follow {
    async fn next(&mut self) -> Result<Snapshot> {
        match self.follow().await {
            Ok(snapshot) => {
                self.failures = 0;
                Ok(snapshot)
            }
            Err(error) => {
                // What was missed meanwhile only a list can tell.
                self.events = None;
                self.failures = self.failures.saturating_add(1);
                Err(error)
            }
        }
    }

    async fn follow(&mut self) -> Result<Snapshot> {
        if self.events.is_none() {
            if self.failures > 0 {
                time::sleep(pause::of_server(self.failures, fastrand::f64())).await;
            }
            self.events = Some(self.begin().await?);
            self.listing = true;
        }
        let begun = Instant::now();
        loop {
            let events = self.events.as_mut().expect("it was begun above and ends only with this function");
            let event = match time::timeout_at(begun + STILL, events.next()).await {
                Ok(event) => event,
                // Nobody said anything, so that it is as it was; unless somebody was asked how it is.
                Err(_) => match self.said.again().filter(|_| !self.listing) {
                    Some(said) => return Ok(said),
                    None => {
                        return Err(self.failed(&format!("has not listed its endpoints within {STILL:?}")));
                    }
                },
            };
            match event {
                Some(Ok(Event::Init)) => {
                    self.listing = true;
                    self.listed.clear();
                }
                Some(Ok(Event::InitApply(slice))) => keep(&mut self.listed, slice),
                Some(Ok(Event::InitDone)) => {
                    self.listing = false;
                    self.slices = std::mem::take(&mut self.listed);
                    return self.say();
                }
                Some(Ok(Event::Apply(slice))) => {
                    keep(&mut self.slices, slice);
                    return self.say();
                }
                Some(Ok(Event::Delete(slice))) => {
                    self.slices.remove(slice.metadata.name.as_deref().unwrap_or_default());
                    return self.say();
                }
                // Both are the way of the world: the watch goes on, from a new list or from where it was.
                Some(Err(watcher::Error::WatchError(status))) if status.code == GONE => {}
                Some(Err(watcher::Error::WatchFailed(_))) => {}
                Some(Err(error)) => return Err(self.failed(&told(&error)).with_source(error)),
                None => return Err(self.failed("ended")),
            }
        }
    }

    async fn begin(&mut self) -> Result<Events> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => self.client.insert(connect(Arc::clone(&self.wanted.service)).await?).clone(),
        };
        let namespace =
            self.wanted.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let config = watcher::Config::default()
            .labels(&format!("kubernetes.io/service-name={}", self.wanted.service))
            .timeout(WATCH_SECONDS);
        Ok(Box::pin(watcher(Api::namespaced(client, &namespace), config).default_backoff()))
    }

    fn say(&mut self) -> Result<Snapshot> {
        let merged = merge(self.slices.values(), &self.wanted.port).map_err(|why| self.failed(&why))?;
        Ok(self.said.say(merged.endpoints, merged.skipped))
    }

    fn failed(&self, how: &str) -> Error {
        failed(&self.wanted.service, how)
    }
}

/// The cluster of the kubeconfig, else the one that we run in.
async fn connect(service: Arc<str>) -> Result<Client> {
    let mut config = kube::Config::infer().await.map_err(|error| {
        failed(&service, "cannot be asked for: there is no cluster around us and no kubeconfig")
            .with_source(error)
    })?;
    config.read_timeout = Some(SILENT);
    // Counted from the question, and not from when its connection was left idle.
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(|error| failed(&service, "cannot be asked for").with_source(error))
}

fn failed(service: &str, how: &str) -> Error {
    Error::new(ErrorKind::Unreachable, format!("Kubernetes' service {service} {how}"))
}

fn keep(slices: &mut BTreeMap<String, EndpointSlice>, slice: EndpointSlice) {
    slices.insert(slice.metadata.name.clone().unwrap_or_default(), slice);
}

fn told(error: &watcher::Error) -> String {
    let (watcher::Error::InitialListFailed(source) | watcher::Error::WatchStartFailed(source)) = error else {
        return "cannot be watched".to_owned();
    };
    match source {
        kube::Error::Api(status) if status.code == FORBIDDEN => {
            "may not be watched by us; grant list and watch on endpointslices of discovery.k8s.io".to_owned()
        }
        _ => "cannot be watched".to_owned(),
    }
}

/// A service whose pods stay as they are is known to be so once a minute.
const STILL: Duration = Duration::from_secs(60);
/// How long one watch lasts: a connection that died without a word is noticed five seconds after that.
const WATCH_SECONDS: u32 = 120;
/// A little longer than a watch lasts that nothing happens in: a server that takes a question and never answers is
/// left too.
const SILENT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
const GONE: u16 = 410;
const FORBIDDEN: u16 = 403;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_which_service_and_port() {
        let config = config::Kubernetes { namespace: String::new(), port: "web".into() };
        let kubernetes = Kubernetes::of(&config);
        let told = |text: &str| kubernetes.describe(&Target::parse(text).unwrap());
        assert_eq!(told("catalog"), "Kubernetes, the service catalog of our namespace, port web");
        assert_eq!(
            told("k8s://shop/catalog:http"),
            "Kubernetes, the service catalog of namespace shop, port http"
        );
        assert_eq!(told("fixed://127.0.0.1:1"), "Kubernetes");
        let asked = kubernetes.wanted(&Target::parse("k8s://shop/catalog:8080").unwrap()).unwrap();
        assert_eq!(asked.port, Port::Asked("8080".into()));
    }

    fn heard(events: Vec<Event<EndpointSlice>>) -> Follow {
        let kubernetes = Kubernetes::of(&config::Kubernetes::default());
        Follow {
            client: None,
            wanted: kubernetes.wanted(&Target::parse("k8s://shop/catalog").unwrap()).unwrap(),
            events: Some(Box::pin(stream::iter(events.into_iter().map(Ok)).chain(stream::pending()))),
            slices: BTreeMap::new(),
            listed: BTreeMap::new(),
            listing: true,
            failures: 0,
            said: Said::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_watch_confirms_and_a_list_that_hangs_does_not() {
        let mut quiet = heard(vec![Event::Init, Event::InitDone]);
        for _ in 0..3 {
            quiet.next().await.expect("as it was");
        }
        let half = Event::InitApply(EndpointSlice::default());
        for hanging in [vec![], vec![Event::Init], vec![Event::Init, half]] {
            let listed = vec![Event::Init, Event::InitDone];
            let mut again = heard([listed, hanging.clone()].concat());
            again.next().await.expect("listed once");
            let begun = Instant::now();
            let (heard, is_asked) = (again.next().await, !hanging.is_empty());
            assert_eq!((heard.is_err(), begun.elapsed()), (is_asked, STILL));
            if let Err(error) = heard {
                assert!(error.detail().contains("has not listed its endpoints within 60s"), "{error}");
                assert!(again.events.is_none(), "asked for anew");
            }
        }
    }
}
