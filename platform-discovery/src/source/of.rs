//! Which source answers for a target?

use std::sync::Arc;
#[cfg(any(feature = "consul", feature = "etcd"))]
use std::sync::{Mutex, PoisonError};

use platform_core::{Error, Result};

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
    /// Its certificates are read once, and its connections serve all targets.
    #[cfg(feature = "consul")]
    consul: Mutex<Option<source::Consul>>,
}

/// The source of `target`; of a bare name the configured registry.
///
/// # Errors
///
/// When this build has none, or what is configured for it cannot be used.
pub(crate) fn of(
    target: &Target,
    config: &Config,
    #[cfg_attr(
        not(any(feature = "consul", feature = "etcd")),
        expect(unused_variables, reason = "nothing is kept")
    )]
    shared: &Shared,
) -> Result<Arc<dyn Resolve>> {
    #[cfg(not(all(feature = "consul", feature = "dns", feature = "etcd", feature = "kubernetes")))]
    let not_built = |registry| Err(not_built(&format_args!("target \"{target}\""), registry));
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
        #[cfg(feature = "etcd")]
        Registry::Etcd => Ok(Arc::new(shared.etcd(config)?)),
        #[cfg(not(feature = "etcd"))]
        Registry::Etcd => not_built(registry),
        #[cfg(feature = "consul")]
        Registry::Consul => Ok(Arc::new(shared.consul(config)?)),
        #[cfg(not(feature = "consul"))]
        Registry::Consul => not_built(registry),
        #[cfg(feature = "kubernetes")]
        Registry::Kubernetes => Ok(Arc::new(source::Kubernetes::of(&config.kubernetes))),
        #[cfg(not(feature = "kubernetes"))]
        Registry::Kubernetes => not_built(registry),
        #[cfg(feature = "dns")]
        Registry::Dns => Ok(Arc::new(source::Dns::of(&config.dns))),
        #[cfg(not(feature = "dns"))]
        Registry::Dns => not_built(registry),
    }
}

/// What the configured registry knows. Blocks: certificates may have to be read.
///
/// # Errors
///
/// When it cannot say, or this build has no source for it, or what is configured for it cannot be used.
pub(crate) fn list(
    config: &Config,
    #[cfg_attr(
        not(any(feature = "consul", feature = "etcd")),
        expect(unused_variables, reason = "nothing is kept")
    )]
    shared: &Shared,
) -> Result<Arc<dyn List>> {
    match config.registry {
        Registry::Dir => Ok(Arc::new(source::Directory::of(&config.dir))),
        #[cfg(feature = "etcd")]
        Registry::Etcd => Ok(Arc::new(shared.etcd(config)?)),
        #[cfg(feature = "consul")]
        Registry::Consul => Ok(Arc::new(shared.consul(config)?)),
        // Others write there, and a service that is none of ours has no admin address.
        registry @ (Registry::Kubernetes | Registry::Dns) => {
            let why = format!("the registry {registry} does not say which services it knows; name them");
            Err(Error::config(why))
        }
        #[cfg(not(all(feature = "consul", feature = "etcd")))]
        registry => Err(not_built(&"`discovery.registry`", registry)),
    }
}

#[cfg(any(feature = "consul", feature = "etcd"))]
impl Shared {
    #[cfg(feature = "etcd")]
    fn etcd(&self, config: &Config) -> Result<source::Etcd> {
        kept(&self.etcd, || source::Etcd::of(&config.etcd))
    }

    #[cfg(feature = "consul")]
    fn consul(&self, config: &Config) -> Result<source::Consul> {
        kept(&self.consul, || source::Consul::of(&config.consul))
    }
}

/// What is there, else what is made now.
#[cfg(any(feature = "consul", feature = "etcd"))]
fn kept<S: Clone>(place: &Mutex<Option<S>>, make: impl FnOnce() -> Result<S>) -> Result<S> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = &*place {
        return Ok(kept.clone());
    }
    Ok(place.insert(make()?).clone())
}

/// Sources that bring dependencies are there where a feature asks for them.
#[cfg(not(all(feature = "consul", feature = "dns", feature = "etcd", feature = "kubernetes")))]
fn not_built(asks: &dyn std::fmt::Display, registry: Registry) -> Error {
    Error::config(format!(
        "{asks}: this build has no source for the registry {registry}; build with the feature `{registry}` of \
         platform-http or platform-discovery, or choose another registry"
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

    #[test]
    fn a_registry_that_cannot_say_what_it_knows_says_why() {
        use Registry::{Consul, Dns, Etcd, Kubernetes};
        let table = [
            (Etcd, "the feature `etcd`", cfg!(feature = "etcd")),
            (Consul, "the feature `consul`", cfg!(feature = "consul")),
            (Kubernetes, "the registry kubernetes does not say which services it knows; name them", false),
            (Dns, "the registry dns does not say which services it knows; name them", false),
        ];
        for (registry, why, _) in table.into_iter().filter(|(.., lists)| !lists) {
            let config = Config { registry, ..Config::default() };
            let Err(error) = list(&config, &Shared::default()) else { panic!("{registry} says it") };
            assert!(error.detail().contains(why), "{error}");
        }
    }
}
