//! How do others find us?
//!
//! An instance writes a [`Record`] with a lease and renews it. When it is about to stop it
//! first says `draining`, which others obey at once, and removes the record when it has finished: nobody is
//! sent to a closed door, and nobody wonders where it went. One whose checks fail says `draining` too, and comes back
//! when they pass. An instance that dies without a word is forgotten when its lease ends.
//!
//! # Defaults
//!
//! | setting | value | because |
//! |---|---|---|
//! | `lease` | 30 s | three renewals, two may be lost |
//! | `renew` | 10 s ± 10 % | instances that started together do not write together for ever |
//!
//! # Signals
//!
//! A warning with the reason when the record cannot be written or renewed, and a line when it is there again. Whoever looks for
//! this service sees it: `/platform/targets` of its callers, `platform top`, and `platform_discovery_endpoints` by state.
//!
//! # Traps
//!
//! A required check of something that all instances share: they all leave the registry at once when it fails, and
//! their callers have nobody. Make it optional, and let the calls that need it fail.
//!
//! Two instances under one name: the second is refused while the first one's lease lives, it does not drain, and
//! somebody listens where it was. An instance that was killed and comes back under its old name *and another port*
//! takes its name back at once where its machine says that nobody listens there, and waits for the lease where the
//! machine says nothing; let its name be made anew (the default), or let it keep its port.

mod advertise;
mod announcement;
#[cfg(feature = "consul")]
mod consul;
mod directory;
#[cfg(feature = "etcd")]
mod etcd;
mod lease;
mod taken;

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use platform_core::{Error, ErrorKind, Result, app::Boxed, config::Mode};
use tokio::time;

use self::lease::Lease;
use crate::{
    config::{Config, Registry},
    endpoint::State,
    record::Record,
    task::Background,
};

pub use announcement::Announcement;
#[cfg(feature = "consul")]
pub use consul::Consul;
pub use directory::Directory;
#[cfg(feature = "etcd")]
pub use etcd::Etcd;

/// A registry that can be written to.
pub trait Register: Send + Sync + 'static {
    /// Stores `record`, in place of what this instance stored before.
    fn publish(&self, record: Record) -> Pending<'_, ()>;

    /// Removes what this instance stored; nothing to remove is no error.
    fn remove(&self, record: Record) -> Pending<'_, ()>;

    /// Whether the registry still holds a record of this instance; asked once a second while writing works, so only
    /// where asking is cheap.
    fn holds<'a>(&'a self, _record: &'a Record) -> Pending<'a, bool> {
        Box::pin(async { Ok(true) })
    }
}

/// What a registry is busy with.
pub type Pending<'a, T> = Boxed<'a, Result<T>>;

/// This instance's entry in the registry: announced, drained, withdrawn.
///
/// Dropping it ends the renewals and leaves the record to its lease; [`withdraw`](Self::withdraw) removes it.
pub struct Registration {
    mode: Mode,
    lease: Arc<Lease>,
    renewing: Mutex<Option<Background>>,
}

impl Registration {
    /// A registration in the registry of the configuration; nothing is written yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the record cannot be stored in any registry.
    pub fn new(config: &Config, record: Record) -> Result<Self> {
        let register: Arc<dyn Register> = match config.registry {
            Registry::Dir => Arc::new(Directory::of(&config.dir)),
            #[cfg(feature = "etcd")]
            Registry::Etcd => Arc::new(Etcd::of(config)?),
            #[cfg(not(feature = "etcd"))]
            Registry::Etcd => return Err(not_built(config.registry)),
            #[cfg(feature = "consul")]
            Registry::Consul => Arc::new(Consul::of(&config.consul, config.register.lease)?),
            #[cfg(not(feature = "consul"))]
            Registry::Consul => return Err(not_built(config.registry)),
            registry @ (Registry::Kubernetes | Registry::Dns) => {
                return Err(Error::config(format!(
                    "discovery.registry = \"{registry}\" is written by others; set discovery.register.mode = \"off\""
                )));
            }
        };
        if config.registry != Registry::Dir && record.address.ip().is_loopback() {
            tracing::warn!(
                address = %record.address,
                "this instance registers with an address that only this machine can call; set POD_IP or \
                 discovery.register.advertise"
            );
        }
        Registration::with(config, record, register)
    }

    /// The same in a registry of one's own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with(config: &Config, record: Record, register: Arc<dyn Register>) -> Result<Self> {
        config.check()?;
        if let Some(fault) = record.fault() {
            return Err(Error::config(format!("this instance cannot be registered: {fault}; see [service]")));
        }
        Ok(Registration {
            mode: config.register.mode,
            lease: Arc::new(Lease::new(register, &config.register, record)),
            renewing: Mutex::new(None),
        })
    }

    /// Says that this instance is ready, and renews that from now on.
    ///
    /// # Errors
    ///
    /// When the record cannot be written, and when a living instance elsewhere has the same name. It is tried
    /// again all the same, after a second and then less and less often, but never less than a renewal would be: a
    /// registry comes back, and the lease of one that died ends.
    pub async fn announce(&self) -> Result<()> {
        match self.mode {
            Mode::Off => return Ok(()),
            Mode::Observe => {
                let record = self.lease.record().await;
                tracing::info!(
                    name = record.name,
                    instance = record.instance,
                    address = %record.address,
                    "this instance would register"
                );
                return Ok(());
            }
            Mode::Enforce => {}
        }
        let begun = in_time(self.lease.begin(State::Ready)).await;
        let renewing = Background::spawn(Arc::clone(&self.lease).keep(begun.is_err()));
        *self.renewing.lock().unwrap_or_else(PoisonError::into_inner) = Some(renewing);
        begun
    }

    /// Says whether this instance takes new calls: what is not ready says `draining`, and comes back. Does
    /// nothing before [`announce`](Self::announce) and after [`draining`](Self::draining).
    ///
    /// # Errors
    ///
    /// When the record cannot be written within two seconds. It is kept in mind and said as soon as the registry
    /// takes it: within a second of an answer, or with the next try where it fails.
    pub async fn ready(&self, ready: bool) -> Result<()> {
        in_time(self.lease.turn(if ready { State::Ready } else { State::Draining })).await
    }

    /// Says that this instance takes no new calls; does nothing before [`announce`](Self::announce).
    ///
    /// # Errors
    ///
    /// When the record cannot be written within two seconds. It is kept in mind and said as soon as the registry
    /// takes it: within a second of an answer, or with the next try where it fails.
    pub async fn draining(&self) -> Result<()> {
        in_time(self.lease.drain()).await
    }

    /// Removes the record; does nothing before [`announce`](Self::announce).
    ///
    /// # Errors
    ///
    /// When the record cannot be removed within two seconds; its lease ends it then.
    pub async fn withdraw(&self) -> Result<()> {
        let removed = in_time(self.lease.end()).await;
        *self.renewing.lock().unwrap_or_else(PoisonError::into_inner) = None;
        removed
    }
}

/// Registries that bring dependencies are there where a feature asks for them.
#[cfg(not(all(feature = "consul", feature = "etcd")))]
fn not_built(registry: Registry) -> Error {
    Error::config(format!(
        "discovery.registry = \"{registry}\": this build cannot register there; build with the feature `{registry}` of \
         platform-http or platform-discovery, or set discovery.register.mode = \"off\""
    ))
}

/// A registry that hangs keeps nobody from serving, nor from ending the requests that are served.
async fn in_time(work: impl Future<Output = Result<()>>) -> Result<()> {
    time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, format!("the registry did not answer within {PATIENCE:?}")))
    })
}

/// Far more than a disk or a registry nearby takes, and a small part of what an orchestrator grants a stop.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that hangs.
    struct Stuck;

    impl Register for Stuck {
        fn publish(&self, _record: Record) -> Pending<'_, ()> {
            Box::pin(std::future::pending())
        }

        fn remove(&self, _record: Record) -> Pending<'_, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_hangs_holds_nobody_up() {
        let text = r#"{"name":"catalog","instance":"i","address":"127.0.0.1:1","expires_unix_ms":0}"#;
        let record = Record::read(text.as_bytes(), "catalog", "i").unwrap();
        let registration = Registration::with(&Config::default(), record, Arc::new(Stuck)).unwrap();
        let begun = time::Instant::now();
        for ended in
            [registration.announce().await, registration.draining().await, registration.withdraw().await]
        {
            assert_eq!(ended.unwrap_err().kind(), ErrorKind::Timeout);
        }
        assert_eq!(begun.elapsed(), 3 * PATIENCE);
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_refused() {
        let text = r#"{"name":"catalog","instance":"i","address":"127.0.0.1:1","expires_unix_ms":0}"#;
        let sound = Record::read(text.as_bytes(), "catalog", "i").unwrap();
        for instance in ["../i", "/etc/i", "a/b", "..", ".i", "", "a\0b", "a b", "a\\b"] {
            let record = Record { instance: instance.to_owned(), ..sound.clone() };
            assert!(Registration::with(&Config::default(), record, Arc::new(Stuck)).is_err(), "{instance:?}");
        }
        for name in ["../catalog", "/etc", "..", "Catalog", ""] {
            let record = Record { name: name.to_owned(), ..sound.clone() };
            assert!(Registration::with(&Config::default(), record, Arc::new(Stuck)).is_err(), "{name:?}");
        }
        let dots = Record { instance: "catalog.a..b-7".to_owned(), ..sound };
        assert!(Registration::with(&Config::default(), dots, Arc::new(Stuck)).is_ok(), "dots lead nowhere");
    }
}
