//! Whom does the system ask, and where does it look for short names?

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use hickory_resolver::{
    config::{ConnectionConfig, NameServerConfig, ResolverOpts},
    proto::rr::Name,
    system_conf,
};

use crate::{config, disk::Stamp, endpoint::ip_or_address};

/// What `/etc/resolv.conf` says, or `discovery.dns.server` in its place.
pub(super) struct System {
    pub(super) servers: Vec<NameServerConfig>,
    pub(super) search: Vec<Name>,
    pub(super) options: ResolverOpts,
    pub(super) stamps: Stamps,
}

impl System {
    /// Blocks: files are read.
    pub(super) fn read(config: &config::Dns) -> Self {
        // Before the files are read, so that a change meanwhile shows.
        let stamps = Stamps::now(config);
        if let Some(server) = own_server(config) {
            return System::only(server, stamps);
        }
        match system_conf::read_system_conf() {
            Ok((system, options)) => {
                let (servers, search) = (system.name_servers().to_vec(), system.search().to_vec());
                System { servers, search, options, stamps }
            }
            Err(error) => {
                tracing::debug!(%error, "the system names no DNS servers; this machine is asked, as by the C library");
                System::only(server(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))), stamps)
            }
        }
    }

    fn only(server: NameServerConfig, stamps: Stamps) -> Self {
        System { servers: vec![server], search: Vec::new(), options: ResolverOpts::default(), stamps }
    }
}

fn own_server(config: &config::Dns) -> Option<NameServerConfig> {
    ip_or_address(&config.server, PORT).map(server)
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// The files that the system's settings are made of, as they are now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamps([Option<Stamp>; 2]);

impl Stamps {
    pub(super) fn now(config: &config::Dns) -> Self {
        let of = |path: &str| Stamp::of(Path::new(path));
        let servers = if config.server.is_empty() { of("/etc/resolv.conf") } else { None };
        Stamps([servers, of("/etc/hosts")])
    }
}

/// Where name servers listen.
const PORT: u16 = 53;
