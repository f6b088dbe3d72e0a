//! Which source answers for a target?

use std::sync::Arc;
#[cfg(feature = "etcd")]
use std::sync::{Mutex, PoisonError};

use platform_core::Result;

use crate::{
    config::{Config, Registry},
    list::List,
    resolve::Resolve,
    source,
    target::{Place, Target},
};

/// What the sources of one process have in common.
#[derive(Default)]
pub(crate) struct Shared {
    /// One connection for all targets.
    #[cfg(feature = "etcd")]
    etcd: Mutex<Option<source::Etcd>>,
}

/// The source of `target`; of a bare name the configured registry.
///
/// # Errors
///
/// When this build has none, or what is configured for it cannot be used.
pub(crate) fn of(target: &Target, config: &Config, shared: &Shared) -> Result<Arc<dyn Resolve>> {
    let registry = match target.place() {
        Place::Fixed(_) => return Ok(Arc::new(source::Fixed)),
        #[cfg(feature = "dns")]
        Place::Host { .. } => Registry::Dns,
        #[cfg(not(feature = "dns"))]
        Place::Host { .. } => return Ok(Arc::new(source::Host)),
        Place::File(_) => return Ok(Arc::new(source::File)),
        Place::Registry(_) => config.registry,
        Place::Directory(_) => Registry::Dir,
        Place::Etcd(_) => Registry::Etcd,
        Place::Consul { .. } => Registry::Consul,
        Place::Kubernetes { .. } => Registry::Kubernetes,
        Place::Dns { .. } | Place::Srv(_) => Registry::Dns,
    };
    match registry {
        Registry::Dir => Ok(Arc::new(source::Directory::of(&config.dir))),
        Registry::Etcd => shared.etcd(target, config),
        #[cfg(feature = "consul")]
        Registry::Consul => Ok(Arc::new(source::Consul::of(&config.consul)?)),
        #[cfg(not(feature = "consul"))]
        Registry::Consul => Err(not_built(target, "Consul", "consul")),
        #[cfg(feature = "kubernetes")]
        Registry::Kubernetes => Ok(Arc::new(source::Kubernetes::of(&config.kubernetes))),
        #[cfg(not(feature = "kubernetes"))]
        Registry::Kubernetes => Err(not_built(target, "Kubernetes", "kubernetes")),
        #[cfg(feature = "dns")]
        Registry::Dns => Ok(Arc::new(source::Dns::of(&config.dns))),
        #[cfg(not(feature = "dns"))]
        Registry::Dns => Err(not_built(target, "DNS", "dns")),
    }
}

/// What the configured registry knows.
///
/// # Errors
///
/// When it cannot say, or this build has no source for it, or what is configured for it cannot be used.
pub(crate) fn list(config: &Config, shared: &Shared) -> Result<Arc<dyn List>> {
    let cannot = |what: &str| {
        Err(platform_core::Error::config(format!(
            "the registry {what} does not say which services it knows; name them"
        )))
    };
    match config.registry {
        Registry::Dir => Ok(Arc::new(source::Directory::of(&config.dir))),
        #[cfg(feature = "etcd")]
        Registry::Etcd => Ok(Arc::new(shared.cluster(config)?)),
        #[cfg(feature = "consul")]
        Registry::Consul => Ok(Arc::new(source::Consul::of(&config.consul)?)),
        // Others write there, and a service that is none of ours has no admin address.
        Registry::Kubernetes => cannot("kubernetes"),
        Registry::Dns => cannot("dns"),
        #[cfg(not(all(feature = "etcd", feature = "consul")))]
        other => {
            let _ = shared;
            cannot(&format!("{other:?} (not built in)"))
        }
    }
}

impl Shared {
    #[cfg(feature = "etcd")]
    fn etcd(&self, _target: &Target, config: &Config) -> Result<Arc<dyn Resolve>> {
        Ok(Arc::new(self.cluster(config)?))
    }

    #[cfg(feature = "etcd")]
    fn cluster(&self, config: &Config) -> Result<source::Etcd> {
        let mut etcd = self.etcd.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(etcd) = &*etcd {
            return Ok(etcd.clone());
        }
        Ok(etcd.insert(source::Etcd::of(&config.etcd)?).clone())
    }

    #[cfg(not(feature = "etcd"))]
    #[expect(clippy::unused_self, reason = "what is shared comes with the feature")]
    fn etcd(&self, target: &Target, _config: &Config) -> Result<Arc<dyn Resolve>> {
        Err(not_built(target, "etcd", "etcd"))
    }
}

/// Sources that bring dependencies are there where a feature asks for them.
#[cfg(not(all(feature = "consul", feature = "dns", feature = "etcd", feature = "kubernetes")))]
fn not_built(target: &Target, what: &str, feature: &str) -> platform_core::Error {
    platform_core::Error::config(format!(
        "target \"{target}\": this build has no {what} source; build with the feature `{feature}` of platform-http \
         or platform-discovery, or choose another registry"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_not_built_in_says_which_feature_brings_it() {
        let table = [
            ("etcd://catalog", "etcd", cfg!(feature = "etcd")),
            ("consul://catalog", "consul", cfg!(feature = "consul")),
            ("k8s://shop/catalog", "kubernetes", cfg!(feature = "kubernetes")),
            ("dns://catalog.shop", "dns", cfg!(feature = "dns")),
        ];
        for (text, feature, _) in table.into_iter().filter(|(.., built)| !built) {
            let target = Target::parse(text).unwrap();
            let Err(error) = of(&target, &Config::default(), &Shared::default()) else {
                panic!("{text} has a source")
            };
            assert!(error.detail().contains(&format!("the feature `{feature}`")), "{error}");
        }
    }
}
