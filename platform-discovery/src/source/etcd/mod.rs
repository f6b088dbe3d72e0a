//! Endpoints that write themselves into etcd.
//!
//! The keys of a service are listed once and watched from the list's revision on, so that a change is here as soon
//! as etcd has it. A watch that breaks goes on elsewhere from where it was. Whatever does not fit (a compaction,
//! another cluster, a revision that went back) is answered by a new list; one is made now and then all the same,
//! and soon after a watch broke, because a cluster that was wiped and filled again in between looks like itself.

mod known;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::stream;
use platform_core::{Error, ErrorKind, Result};
use tokio::time::{self, Instant};

use self::known::{Heard, Known, Now};
use crate::{
    config,
    etcd::{
        Cluster, Failure, Header, KeyValue, RangeRequest, RangeResponse, WatchCreate, WatchResponse,
        Watching, behind, call, pause,
    },
    list::{self, List, Listing},
    record::is_instance_name,
    resolve::{Resolve, Snapshot, Snapshots},
    target::{Place, Target},
    unix_ms,
};

/// The records of a service in etcd. Cheap to clone; clones share a connection.
///
/// A service needs no line of code for it: with the feature `etcd`, `discovery.registry = "etcd"` looks every bare
/// name up there and registers there too, and a target `etcd://NAME` looks up one. By hand:
///
/// ```no_run
/// use std::sync::Arc;
///
/// use platform_discovery::{Discovery, config, source};
///
/// # fn with(discovery: &Discovery) -> platform_core::Result<()> {
/// let cluster = config::Etcd {
///     endpoints: vec!["https://etcd-0:2379".to_owned(), "https://etcd-1:2379".to_owned()],
///     prefix: "/staging/services".to_owned(),
///     user: "orders".to_owned(),
///     password_file: "/run/secrets/etcd".into(),
///     tls: config::Tls { ca: "/etc/etcd/ca.pem".into(), ..config::Tls::default() },
/// };
/// // This one target comes from another cluster than the rest.
/// discovery.use_source("ratings", Arc::new(source::Etcd::of(&cluster)?));
/// # Ok(())
/// # }
/// ```
///
/// # What is heard when
///
/// | what happens | what becomes of it |
/// |---|---|
/// | a record is written, says `draining`, is removed | known at once |
/// | the member dies | the watch goes on through another, from where it was |
/// | the member is frozen, or cut off behind open connections | left after six seconds: a watch that is quiet for five is asked for a word, and has one to answer |
/// | the member has lost its leader | it says so, and is left |
/// | all members are away | errors, and the last set; tried again after at most five seconds, each client at a moment of its own |
/// | history was compacted, or the cluster was wiped or replaced | a new list |
///
/// # Traps
///
/// - With users, ours needs a role with `readwrite` on the prefix (`etcdctl role grant-permission ROLE readwrite
///   --prefix=true /platform/services/`). Passwords are hashed slowly on purpose: after a restart of etcd every
///   client asks for a token.
/// - A key that was put by hand has no lease: it is believed in as long as its `expires_unix_ms` says.
/// - Two environments in one cluster need two prefixes.
/// - Whoever can write below the prefix can send our traffic anywhere; give etcd users or certificates.
#[derive(Clone)]
pub struct Etcd {
    cluster: Arc<Cluster>,
}

impl Etcd {
    /// The cluster of this configuration; nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] without a member, and if a certificate or the password cannot be read.
    pub fn of(config: &config::Etcd) -> Result<Self> {
        Ok(Etcd { cluster: Arc::new(Cluster::new(config.clone())?) })
    }
}

impl Resolve for Etcd {
    fn resolve(&self, target: &Target) -> Snapshots {
        let (Place::Registry(name) | Place::Etcd(name)) = target.place() else {
            let error = Error::new(ErrorKind::Internal, format!("{target} is no name in etcd"));
            return Box::pin(stream::iter([Err(error)]));
        };
        let follow = Follow {
            known: Known::new(Arc::clone(name), self.cluster.prefix_of(name)),
            cluster: Arc::clone(&self.cluster),
            watching: None,
            list_at: None,
            failures: 0,
        };
        Box::pin(stream::unfold(follow, |mut follow| async {
            let answer = follow.next().await;
            Some((answer.map_err(Error::from), follow))
        }))
    }

    fn is_remembered(&self) -> bool {
        true
    }

    fn describe(&self, target: &Target) -> String {
        match target.place() {
            Place::Registry(name) | Place::Etcd(name) => {
                format!("etcd {} at {}", self.cluster.prefix_of(name), self.cluster.members())
            }
            _ => "etcd".to_owned(),
        }
    }
}

impl List for Etcd {
    fn services(&self) -> Listing {
        let cluster = Arc::clone(&self.cluster);
        Box::pin(async move {
            let prefix = cluster.prefix();
            let question = RangeRequest {
                key: prefix.clone().into_bytes(),
                range_end: behind(prefix.as_bytes()),
                limit: PAGE,
                keys_only: true,
                ..RangeRequest::default()
            };
            let (_, kvs) = pages(&cluster, question).await?;
            let keys = kvs.iter().filter_map(|kv| std::str::from_utf8(&kv.key).ok());
            // Of what else stands below the prefix nobody is an instance.
            let services = keys.filter_map(|key| {
                let (name, instance) = key.strip_prefix(&prefix)?.split_once('/')?;
                is_instance_name(instance).then_some(name)
            });
            Ok(list::names(services))
        })
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Etcd").field(&self.cluster).finish()
    }
}

/// One service, followed through lists and watches.
struct Follow {
    cluster: Arc<Cluster>,
    known: Known,
    watching: Option<Watching>,
    /// When all keys are listed anew; `None` is at once.
    list_at: Option<Instant>,
    /// In a row, doubts among them.
    failures: u32,
}

impl Follow {
    async fn next(&mut self) -> Result<Snapshot, Failure> {
        loop {
            if self.watching.is_none() {
                time::sleep(pause(self.failures, fastrand::f64())).await;
            }
            match self.step().await {
                Ok(true) => return Ok(self.known.say()),
                Ok(false) => {}
                Err(failure) => {
                    self.failures = self.failures.saturating_add(1);
                    return Err(failure);
                }
            }
        }
    }

    /// True if what is known is true as of now.
    async fn step(&mut self) -> Result<bool, Failure> {
        let Some(list_at) = self.list_at else {
            self.watching = None;
            self.list().await?;
            self.list_at = Some(Instant::now() + EVERY.mul_f64(0.8 + 0.4 * fastrand::f64()));
            // At once, so that it is the cluster that was listed. If it cannot be, the list is true all the same.
            match self.watch().await {
                Ok(watching) => self.watching = Some(watching),
                Err(failure) => self.broke(&failure),
            }
            return Ok(true);
        };
        let Some(watching) = &mut self.watching else {
            self.watching = Some(self.watch().await?);
            // Nobody listened for a while; whether it was the same cluster all the time only a list can tell.
            self.list_at = Some(list_at.min(Instant::now() + SOON.mul_f64(fastrand::f64())));
            return Ok(false);
        };
        tokio::select! {
            heard = watching.next(&self.cluster) => match heard {
                Ok(answer) => Ok(self.hear(&answer).await),
                Err(failure) => {
                    self.broke(&failure);
                    Ok(false)
                }
            },
            () = time::sleep_until(list_at) => {
                self.list_at = None;
                Ok(false)
            }
        }
    }

    fn broke(&mut self, why: &Failure) {
        tracing::debug!(service = self.known.prefix(), %why, "a watch broke; it goes on elsewhere");
        self.watching = None;
        self.failures = self.failures.saturating_add(1);
    }

    async fn hear(&mut self, answer: &WatchResponse) -> bool {
        match self.known.hear(answer, now()) {
            Heard::Part => false,
            Heard::True => {
                // A watch that ends as soon as it has begun is not asked for ever without a pause.
                if !answer.created {
                    self.failures = 0;
                }
                true
            }
            Heard::Doubt(why) => {
                tracing::info!(service = self.known.prefix(), why, "all endpoints are listed anew");
                self.watching = None;
                self.list_at = None;
                self.failures = self.failures.saturating_add(1);
                if answer.canceled && answer.compact_revision == 0 {
                    self.cluster.doubt_token().await;
                }
                false
            }
        }
    }

    async fn watch(&self) -> Result<Watching, Failure> {
        let key = self.known.prefix().as_bytes();
        let create = WatchCreate {
            key: key.to_vec(),
            range_end: behind(key),
            start_revision: self.known.revision() + 1,
            progress_notify: true,
            fragment: true,
        };
        self.cluster.watch(create).await
    }

    async fn list(&mut self) -> Result<(), Failure> {
        let mut compactions = 0;
        loop {
            match self.read().await {
                Ok((header, kvs)) => {
                    if let Some(why) = self.known.list(header, &kvs, now()) {
                        tracing::warn!(
                            service = self.known.prefix(),
                            why,
                            "the registry's past is gone; its word is taken all the same"
                        );
                    }
                    return Ok(());
                }
                // Between two pages; from the beginning, then.
                Err(failure) if failure.is_compacted() && compactions < 3 => compactions += 1,
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn read(&self) -> Result<(Header, Vec<KeyValue>), Failure> {
        let prefix = self.known.prefix().as_bytes();
        let question = RangeRequest {
            key: prefix.to_vec(),
            range_end: behind(prefix),
            limit: PAGE,
            ..RangeRequest::default()
        };
        pages(&self.cluster, question).await
    }
}

/// All keys at one revision, page by page.
async fn pages(cluster: &Cluster, mut question: RangeRequest) -> Result<(Header, Vec<KeyValue>), Failure> {
    let mut first = None;
    let mut kvs: Vec<KeyValue> = Vec::new();
    loop {
        let page: RangeResponse = cluster.call(call::RANGE, question.clone()).await?;
        let header = *first.get_or_insert(page.header.unwrap_or_default());
        kvs.extend(page.kvs);
        match kvs.last() {
            Some(last) if page.more => {
                question.key.clone_from(&last.key);
                // The smallest key behind it.
                question.key.push(0);
                question.revision = header.revision;
            }
            _ => return Ok((header, kvs)),
        }
    }
}

fn now() -> Now {
    Now { unix_ms: unix_ms(SystemTime::now()), instant: Instant::now() }
}

/// Of the largest records that are allowed, half of what an answer may hold.
const PAGE: i64 = 500;
/// Give or take a fifth. For what no rule above notices; as often as etcd tells a quiet watch how far it is.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// At most so long after a watch broke, each client at a moment of its own: a cluster that restarted is not asked
/// for everything by everybody at once.
const SOON: Duration = Duration::from_secs(30);
