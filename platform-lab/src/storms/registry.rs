//! A registry in paused time: it keeps leases, and it can die, freeze and lie.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::stream;
use platform_core::{Error, ErrorKind, Result};
use platform_discovery::{
    Config, Endpoint, Found, Protocol, Record, Registration, Resolve, Snapshot, Snapshots, State, Target,
    register::{Pending, Register},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// How the registry is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Refuses at once.
    Down,
    /// Takes every question and answers none; time passes for its leases all the same.
    Frozen,
    /// Answers that there is nobody.
    Lying,
}

/// One registry; clones are the same.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Inner>);

struct Inner {
    mood: watch::Sender<Mood>,
    records: Mutex<BTreeMap<String, (Endpoint, Instant)>>,
    reads: AtomicU64,
    writes: AtomicU64,
    /// Whether its readers keep what it said on disk.
    remembered: bool,
}

impl Registry {
    pub(crate) fn new(remembered: bool) -> Self {
        let (reads, writes) = (AtomicU64::new(0), AtomicU64::new(0));
        let (mood, records) = (watch::Sender::new(Mood::Well), Mutex::default());
        Registry(Arc::new(Inner { mood, records, reads, writes, remembered }))
    }

    pub(crate) fn turn(&self, mood: Mood) {
        self.0.mood.send_replace(mood);
    }

    /// How often it was read and written to.
    pub(crate) fn load(&self) -> (u64, u64) {
        (self.0.reads.load(Relaxed), self.0.writes.load(Relaxed))
    }

    /// So many services register, with the production lease, one after the other within the first renewal.
    pub(crate) async fn register(&self, count: u16) -> Result<Vec<Registration>> {
        let mut registrations = Vec::new();
        for index in 0..count {
            registrations.push(self.announce(index, &format!("i{index}")).await?);
            sleep(Config::default().register.renew / u32::from(count)).await;
        }
        Ok(registrations)
    }

    /// Replica `index` registers under a name.
    pub(crate) async fn announce(&self, index: u16, instance: &str) -> Result<Registration> {
        let record = Record {
            name: "town".into(),
            instance: instance.into(),
            address: address(index),
            admin: None,
            admin_tls: false,
            protocol: Protocol::Http1,
            state: State::Ready,
            zone: String::new(),
            version: String::new(),
            variant: "stable".into(),
            weight: 1,
            owner: String::new(),
            expires_unix_ms: 0,
        };
        let registration = Registration::with(&Config::default(), record, Arc::new(self.clone()))?;
        registration.announce().await?;
        Ok(registration)
    }

    /// Those whose leases live, once the registry answers.
    pub(crate) async fn list(&self) -> Result<Vec<Endpoint>> {
        self.0.reads.fetch_add(1, Relaxed);
        if self.enter().await? == Mood::Lying {
            return Ok(Vec::new());
        }
        let now = Instant::now();
        let mut records = self.records();
        records.retain(|_, (_, expires)| *expires > now);
        Ok(records.values().map(|(endpoint, _)| endpoint.clone()).collect())
    }

    async fn enter(&self) -> Result<Mood> {
        let mut mood = self.0.mood.subscribe();
        let frozen = *mood.borrow() == Mood::Frozen;
        // The sender is in this registry.
        let now = mood.wait_for(|mood| *mood != Mood::Frozen).await.map_or(Mood::Well, |mood| *mood);
        match now {
            Mood::Down => Err(Error::new(ErrorKind::Unreachable, "the registry is down")),
            now if frozen => {
                // What was begun before the freeze belongs to a session that has ended.
                sleep(Duration::from_millis(1)).await;
                Ok(now)
            }
            now => Ok(now),
        }
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<String, (Endpoint, Instant)>> {
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Register for Registry {
    fn publish(&self, record: Record) -> Pending<'_, ()> {
        Box::pin(async move {
            self.0.writes.fetch_add(1, Relaxed);
            let begun = Instant::now();
            self.enter().await?;
            let lease = Config::default().register.lease;
            if begun.elapsed() > lease {
                return Err(Error::new(ErrorKind::Unreachable, "the lease has ended meanwhile"));
            }
            let endpoint = Endpoint {
                instance: record.instance.clone(),
                state: record.state,
                ..Endpoint::at(record.address)
            };
            self.records().insert(record.instance, (endpoint, Instant::now() + lease));
            Ok(())
        })
    }

    fn remove(&self, record: Record) -> Pending<'_, ()> {
        Box::pin(async move {
            self.0.writes.fetch_add(1, Relaxed);
            self.enter().await?;
            self.records().remove(&record.instance);
            Ok(())
        })
    }
}

impl Resolve for Registry {
    fn resolve(&self, _target: &Target) -> Snapshots {
        let registry = self.clone();
        // Readers begin when they begin, not all at once.
        let pause = LOOK.mul_f64(fastrand::f64());
        Box::pin(stream::unfold((registry, Duration::ZERO, pause), |(registry, pause, next)| async move {
            sleep(pause).await;
            let answer = registry.list().await;
            let answer = answer.map(|found| Snapshot::new(found.into_iter().map(Found::new)));
            Some((answer, (registry, next, LOOK)))
        }))
    }

    fn describe(&self, _target: &Target) -> String {
        "the town's registry".to_owned()
    }

    fn is_remembered(&self) -> bool {
        self.0.remembered
    }
}

/// Which replica of a town is there.
pub(crate) fn index(address: SocketAddr) -> Option<usize> {
    match address.ip() {
        IpAddr::V4(ip) => Some(usize::from(ip.octets()[3])),
        IpAddr::V6(_) => None,
    }
}

/// Where replica `index` of a town is.
fn address(index: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, u8::try_from(index).unwrap_or(u8::MAX)), 80))
}

/// How often it is read by each.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
