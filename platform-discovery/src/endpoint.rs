//! Which instances answer for a target?

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use platform_core::identity::DEFAULT_VARIANT;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// One instance of a target, as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it is called.
    pub address: SocketAddr,
    /// Where its operators look.
    pub admin: Option<SocketAddr>,
    /// Whether they have to speak TLS there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admin_tls: bool,
    /// What it is called among its equals; the address where nobody says.
    pub instance: String,
    /// Where it runs; empty where nobody says.
    pub zone: String,
    /// Which version it runs; empty where nobody says.
    pub version: String,
    /// Which of the versions that run side by side.
    pub variant: String,
    /// Its share of the traffic relative to the others, 1 for an ordinary one.
    pub weight: u32,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whether it takes new calls.
    pub state: State,
    /// The team that is called at night; empty where nobody says.
    pub owner: String,
}

impl Endpoint {
    /// An endpoint of which only the address is known.
    pub fn at(address: SocketAddr) -> Self {
        Endpoint {
            address,
            admin: None,
            admin_tls: false,
            instance: address.to_string(),
            zone: String::new(),
            version: String::new(),
            variant: DEFAULT_VARIANT.to_owned(),
            weight: 1,
            protocol: Protocol::Http1,
            state: State::Ready,
            owner: String::new(),
        }
    }

    /// Whether both are the same process: its connections and its memory of load belong together.
    pub fn is_same(&self, other: &Endpoint) -> bool {
        self.address == other.address && self.instance == other.instance && self.protocol == other.protocol
    }
}

/// Whether anybody can be called there.
pub(crate) fn is_callable(address: SocketAddr) -> bool {
    !address.ip().is_unspecified() && address.port() != 0
}

/// `IP:PORT`, or `IP` with the usual port.
pub(crate) fn ip_or_address(text: &str, usual: u16) -> Option<SocketAddr> {
    let address = text.parse::<SocketAddr>();
    address.or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, usual))).ok()
}

/// What an endpoint speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1; what anything speaks.
    #[default]
    Http1,
    /// HTTP/2 without an upgrade first.
    H2,
    /// gRPC, over the same.
    Grpc,
}

impl Protocol {
    /// The word in records and views.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Http1 => "http1",
            Protocol::H2 => "h2",
            Protocol::Grpc => "grpc",
        }
    }

    /// The protocol behind a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Protocol::Http1, Protocol::H2, Protocol::Grpc].into_iter().find(|protocol| protocol.as_str() == word)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether an endpoint takes new calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It does.
    #[default]
    Ready,
    /// It finishes what it has begun and begins nothing.
    Draining,
}

impl State {
    /// The word in records, labels and views.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Draining => "draining",
        }
    }
}

/// One endpoint in a source's answer.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it is.
    pub endpoint: Arc<Endpoint>,
    /// When its lease ends unless it is renewed; `None` where the source keeps leases itself, or has none.
    pub expires: Option<Instant>,
}

impl Found {
    /// An endpoint without a lease.
    pub fn new(endpoint: Endpoint) -> Self {
        Found { endpoint: Arc::new(endpoint), expires: None }
    }
}

/// All endpoints of a target that are believed in: a whole, immutable set.
///
/// Written by one watch, read by every balancer of the target. An endpoint that did not change keeps its
/// [`Arc`] from one set to the next, so that the difference of two large sets is mostly pointer comparisons.
#[derive(Clone, Debug, Default)]
pub struct EndpointSet {
    endpoints: Vec<Arc<Endpoint>>,
    version: u64,
}

impl EndpointSet {
    pub(crate) fn new(endpoints: Vec<Arc<Endpoint>>, version: u64) -> Self {
        EndpointSet { endpoints, version }
    }

    /// The endpoints, in order of instance and address.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Grows by one with every set that differs from the one before; 0 before the first answer.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many of them are in this state.
    pub fn count(&self, state: State) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.state == state).count()
    }
}
