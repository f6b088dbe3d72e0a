//! What does a process say about itself once it listens?

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use platform_core::{
    Error, ErrorKind, Result,
    app::{Announce, Bound, Boxed, Withdrawal},
    config::Mode,
    identity::Identity,
};

use super::{Registration, advertise};
use crate::{
    config::Config,
    endpoint::{Protocol, State},
    record::Record,
};

/// Registers a process with the addresses that its servers took; what an `App` announces.
///
/// ```no_run
/// # fn add(app: &platform_core::App) -> platform_core::Result<()> {
/// use platform_discovery::{Config, register::Announcement};
///
/// let config = Config::of(app.config())?;
/// if let Some(announcement) = Announcement::of(config, app.identity()) {
///     app.announce(announcement);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Announcement {
    config: Config,
    identity: Identity,
    registration: Mutex<Option<Arc<Registration>>>,
}

impl Announcement {
    /// An announcement, or `None` where `discovery.register.mode` is `off`: then nobody has to be told of the
    /// end either, and nobody waits for the news to spread. `None` also for a registry that others write, as
    /// Kubernetes and DNS.
    pub fn of(config: Config, identity: &Identity) -> Option<Self> {
        let on = config.register.mode != Mode::Off && config.registry.takes_records();
        on.then(|| Announcement { config, identity: identity.clone(), registration: Mutex::default() })
    }

    fn registration(&self) -> Option<Arc<Registration>> {
        self.registration.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn begin(&self, bound: &[Bound]) -> Result<()> {
        let admin = bound.iter().find(|bound| bound.name == ADMIN);
        let Some(service) = bound.iter().find(|bound| bound.name != ADMIN) else {
            return Err(Error::new(
                ErrorKind::Internal,
                "a process that serves nothing cannot be registered",
            ));
        };
        let protocol = Protocol::parse(&service.protocol).unwrap_or_default();
        let record = Record {
            admin_tls: admin.is_some_and(|admin| admin.tls),
            ..Record::of(
                &self.identity,
                &self.config,
                service.address,
                admin.map(|admin| admin.address),
                protocol,
            )?
        };
        let registration = Arc::new(Registration::new(&self.config, record)?);
        // Kept whatever comes of it: it goes on trying.
        let old = self
            .registration
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(Arc::clone(&registration));
        drop(old);
        registration.announce().await
    }
}

impl Announce for Announcement {
    fn announce<'a>(&'a self, bound: &'a [Bound]) -> Boxed<'a, Result<()>> {
        Box::pin(self.begin(bound))
    }

    fn readiness(&self, ready: bool) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            let Some(registration) = self.registration() else { return Ok(()) };
            registration.ready(ready).await
        })
    }

    fn withdraw(&self, step: Withdrawal) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            let Some(registration) = self.registration() else { return Ok(()) };
            match step {
                Withdrawal::Draining => registration.draining().await,
                Withdrawal::Gone => registration.withdraw().await,
            }
        })
    }
}

impl Record {
    /// The record of the process with this identity that listens on `listen`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if `discovery.register.advertise` is no address.
    pub fn of(
        identity: &Identity,
        config: &Config,
        listen: SocketAddr,
        admin: Option<SocketAddr>,
        protocol: Protocol,
    ) -> Result<Self> {
        let pod = std::env::var("POD_IP").ok();
        let address = advertise::address(&config.register.advertise, listen, pod.as_deref())?;
        Ok(Record {
            name: identity.name.clone(),
            instance: identity.instance.clone(),
            address,
            admin: admin.map(|admin| advertise::beside(admin, address)),
            admin_tls: false,
            protocol,
            state: State::Ready,
            zone: identity.zone.clone(),
            version: identity.version.clone(),
            variant: identity.variant.clone(),
            weight: config.register.weight,
            owner: identity.owner.clone(),
            expires_unix_ms: 0,
        })
    }
}

/// What the operators' server is called among those that took an address.
const ADMIN: &str = "admin";
