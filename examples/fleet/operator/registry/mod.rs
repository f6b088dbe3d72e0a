//! Where do the instances find each other?

mod etcd;

use std::{fs, path::PathBuf, sync::Arc};

use platform_core::Result;

use self::etcd::Etcd;
use super::{folder::Folder, instance::Addresses};
use crate::{
    company::Role,
    outage::{Kind, Outage},
};

/// The fleet's registry.
#[derive(Debug)]
pub(crate) enum Registry {
    /// Files in the fleet's folder.
    Dir(PathBuf),
    /// A process of the fleet.
    Etcd(Box<Etcd>),
}

impl Registry {
    /// Starts it, if it has to be started.
    ///
    /// # Errors
    /// [`ErrorKind::Start`](platform_core::ErrorKind::Start), saying what is missing.
    pub(crate) async fn start(kind: Kind, folder: &Arc<Folder>) -> Result<Self> {
        Ok(match kind {
            Kind::Dir => Registry::Dir(folder.registry()),
            Kind::Etcd => Registry::Etcd(Box::new(Etcd::start(folder).await?)),
        })
    }

    /// What every process of the company is told of it.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Registry::Dir(path) => vec![("discovery.dir.path", path.display().to_string())],
            Registry::Etcd(etcd) => etcd.settings(),
        }
    }

    /// How a person looks into it; a folder is found in the fleet's.
    pub(crate) fn look(&self) -> Option<String> {
        match self {
            Registry::Dir(_) => None,
            Registry::Etcd(etcd) => Some(etcd.look()),
        }
    }

    /// Where an instance says that it is.
    pub(crate) fn addresses(&self, role: Role, instance: &str) -> Option<Addresses> {
        match self {
            Registry::Dir(path) => {
                let bytes = fs::read(record(path, role, instance)).ok()?;
                serde_json::from_slice(&bytes).ok()
            }
            Registry::Etcd(etcd) => etcd.addresses(instance),
        }
    }

    /// As Kubernetes does for a dead pod: whoever watches the process knows before its lease ends. In etcd the lease
    /// is left to end, unless the next life takes the name before.
    pub(crate) fn forget(&self, role: Role, instance: &str) {
        if let Registry::Dir(path) = self {
            let _ = fs::remove_file(record(path, role, instance));
        }
    }

    /// Dies and comes back, telling of it; a folder does neither, and flags know that.
    pub(crate) async fn go_away(&self, outage: Outage, tell: impl Fn(String)) {
        if let Registry::Etcd(etcd) = self {
            etcd.go_away(outage, tell).await;
        }
    }

    /// Ends it; nobody needs it any more.
    pub(crate) async fn stop(&self) {
        if let Registry::Etcd(etcd) = self {
            etcd.stop().await;
        }
    }
}

fn record(path: &std::path::Path, role: Role, instance: &str) -> PathBuf {
    path.join(role.name()).join(format!("{instance}.json"))
}
