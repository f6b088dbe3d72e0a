//! Whom does the system ask, and where does it look for short names?

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt as _,
};

use hickory_resolver::{
    config::{ConnectionConfig, NameServerConfig, ResolverOpts},
    proto::rr::Name,
    system_conf,
};

use crate::config;

/// What `/etc/resolv.conf` says, or `discovery.dns.server` in its place.
pub(super) struct System {
    pub(super) servers: Vec<NameServerConfig>,
    pub(super) search: Vec<Name>,
    pub(super) options: ResolverOpts,
    pub(super) stamp: Stamp,
}

impl System {
    /// Blocks: files are read.
    pub(super) fn read(config: &config::Dns) -> Self {
        // Before the files are read, so that a change meanwhile shows.
        let stamp = Stamp::now(config);
        if let Some(server) = own_server(config) {
            return System::only(server, stamp);
        }
        match system_conf::read_system_conf() {
            Ok((system, options)) => {
                let (servers, search) = (system.name_servers().to_vec(), system.search().to_vec());
                System { servers, search, options, stamp }
            }
            Err(error) => {
                tracing::debug!(%error, "the system names no DNS servers; this machine is asked, as by the C library");
                System::only(server(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))), stamp)
            }
        }
    }

    fn only(server: NameServerConfig, stamp: Stamp) -> Self {
        System { servers: vec![server], search: Vec::new(), options: ResolverOpts::default(), stamp }
    }
}

fn own_server(config: &config::Dns) -> Option<NameServerConfig> {
    let address = config.server.parse::<SocketAddr>();
    let address = address.or_else(|_| config.server.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT)));
    address.ok().map(server)
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// Any of these differs after a file was replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<(i64, i64, u64, u64)>; 2]);

impl Stamp {
    pub(super) fn now(config: &config::Dns) -> Self {
        let of = |path: &str| {
            let found = fs::metadata(path).ok()?;
            Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
        };
        let servers = if config.server.is_empty() { of("/etc/resolv.conf") } else { None };
        Stamp([servers, of("/etc/hosts")])
    }
}

/// Where name servers listen.
const PORT: u16 = 53;
