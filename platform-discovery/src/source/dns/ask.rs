//! Whom do we ask, and under which names?

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt as _;
use hickory_resolver::{
    Hosts, NameServerPool, PoolContext, TlsConfig,
    net::{DnsError, NetError, NoRecords, runtime::TokioRuntimeProvider, xfer::DnsHandle as _},
    proto::{
        op::{DnsRequestOptions, Message, Query},
        rr::{Name, RData, RecordType, rdata::SRV},
    },
};
use platform_core::{Error, ErrorKind, Result};

use super::{
    read::{self, MOST_ALIASES, Said},
    srv::shown,
    system::{Stamps, System},
};
use crate::config;

/// The servers, and what is known without them. Made anew when the system's files change.
pub(super) struct Asker {
    pool: NameServerPool<TokioRuntimeProvider>,
    hosts: Hosts,
    search: Vec<Name>,
    /// As many dots make a name that is tried as it is written before the search list is.
    ndots: usize,
    stamps: Stamps,
}

/// Records, and for how long they hold; none at all is "nobody", and `ttl` then what the zone says of that.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) records: Vec<T>,
    pub(super) ttl: Option<Duration>,
    /// Addresses of other names that came along.
    pub(super) along: HashMap<Name, Vec<(Ipv4Addr, u32)>>,
}

impl Asker {
    /// Reads the system's files; blocks.
    pub(super) fn new(config: &config::Dns) -> Result<Self> {
        let System { servers, search, mut options, stamps } = System::read(config);
        options.timeout = TRY;
        let ndots = options.ndots;
        let tls = TlsConfig::new().map_err(|error| {
            Error::new(ErrorKind::Internal, "the DNS client cannot be made").with_source(error)
        })?;
        let context = Arc::new(PoolContext::new(options, tls));
        let pool = NameServerPool::from_config(servers, context, TokioRuntimeProvider::new());
        // No such file is no such names.
        let hosts = Hosts::from_system().unwrap_or_default();
        Ok(Asker { pool, hosts, search, ndots, stamps })
    }

    /// Whether the system's files are still what they were; blocks.
    pub(super) fn is_current(&self, config: &config::Dns) -> bool {
        self.stamps == Stamps::now(config)
    }

    /// The addresses of a host: of IPv4 if it has any that this machine has a route to, else of IPv6. One family,
    /// because an instance with an address of each is one instance.
    pub(super) async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>> {
        let name = parse(host)?;
        if let Some(known) = self.without_asking(&name) {
            return Ok(Answer { records: known, ttl: Some(FILES), along: HashMap::new() });
        }
        self.first_of(name, |name| self.of_one_family(name)).await
    }

    /// The SRV records of a name.
    pub(super) async fn services(&self, name: &str) -> Result<Answer<SRV>> {
        let pick = |record: &RData| if let RData::SRV(srv) = record { Some(srv.clone()) } else { None };
        self.first_of(parse(name)?, |name| self.ask(name, RecordType::SRV, pick)).await
    }

    /// The addresses of a name that a record said, and which is therefore whole.
    pub(super) async fn addresses_of(&self, mut target: Name) -> Result<Answer<IpAddr>> {
        target.set_fqdn(true);
        match self.without_asking(&target) {
            Some(known) => Ok(Answer { records: known, ttl: Some(FILES), along: HashMap::new() }),
            None => self.of_one_family(target).await,
        }
    }

    /// The first of the names that a written one may mean under which there is somebody.
    ///
    /// Only a no leads to the next name: what one server cannot tell for a moment must not send calls to another
    /// service, which has the same name elsewhere.
    async fn first_of<T, F>(&self, name: Name, ask: impl Fn(Name) -> F) -> Result<Answer<T>>
    where
        F: Future<Output = Result<Answer<T>>>,
    {
        let mut nobody: Option<Duration> = None;
        for candidate in self.candidates(&name) {
            let answer = ask(candidate).await?;
            if !answer.records.is_empty() {
                return Ok(answer);
            }
            nobody = nobody.into_iter().chain(answer.ttl).min();
        }
        Ok(Answer { records: Vec::new(), ttl: nobody, along: HashMap::new() })
    }

    /// As `resolv.conf(5)` has it: a name that ends with a dot is whole, and one with few dots is looked for in
    /// the search list first.
    fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut whole = name.clone();
        whole.set_fqdn(true);
        if name.is_fqdn() {
            return vec![whole];
        }
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let searched = self.search.iter().filter_map(|domain| {
            let mut name = name.clone().append_domain(domain).ok()?;
            name.set_fqdn(true);
            Some(name)
        });
        let mut names: Vec<Name> = Vec::with_capacity(self.search.len() + 1);
        if dots >= self.ndots {
            names.push(whole.clone());
            names.extend(searched);
        } else {
            names.extend(searched);
            names.push(whole);
        }
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    /// `/etc/hosts`, and the names that nobody may be asked about (RFC 6761).
    fn without_asking(&self, name: &Name) -> Option<Vec<IpAddr>> {
        let listed = |kind| {
            let known = self.hosts.lookup_static_host(&Query::query(name.clone(), kind))?;
            Some(known.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
        };
        let known = listed(RecordType::A).or_else(|| listed(RecordType::AAAA));
        let last = name.iter().next_back().map(<[u8]>::to_ascii_lowercase);
        match (known, last.as_deref()) {
            (Some(known), _) => Some(known),
            (None, Some(b"localhost")) => Some(vec![Ipv4Addr::LOCALHOST.into()]),
            (None, Some(b"invalid")) => Some(Vec::new()),
            _ => None,
        }
    }

    async fn of_one_family(&self, name: Name) -> Result<Answer<IpAddr>> {
        let pick = |record: &RData| record.ip_addr().filter(|ip| ip.is_ipv4() && is_somewhere(ip));
        let four = self.ask(name.clone(), RecordType::A, pick).await?;
        if has_route(&four.records) {
            return Ok(four);
        }
        let pick = |record: &RData| record.ip_addr().filter(|ip| ip.is_ipv6() && is_somewhere(ip));
        match self.ask(name, RecordType::AAAA, pick).await {
            Ok(Answer { records, .. }) if records.is_empty() && !four.records.is_empty() => Ok(four),
            Err(_) if !four.records.is_empty() => Ok(four),
            Ok(six) if six.records.is_empty() => {
                Ok(Answer { ttl: six.ttl.into_iter().chain(four.ttl).min(), ..six })
            }
            six => six,
        }
    }

    /// Asks until there is an answer, a no, or an error; follows aliases from server to server.
    async fn ask<T>(
        &self,
        mut name: Name,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>> {
        let asked = name.clone();
        let (mut shortest, mut seen) = (u32::MAX, HashSet::new());
        loop {
            if !seen.insert(name.clone()) {
                return Err(failed(&asked, kind, "its aliases go round in a circle"));
            }
            if seen.len() > MOST_ALIASES {
                return Err(failed(&asked, kind, "it has too many aliases in a row"));
            }
            let (said, along) = match self.message(&name, kind).await {
                Ok(message) => {
                    let said =
                        read::read(&message, &name, &pick).map_err(|why| failed(&asked, kind, &why))?;
                    (said, along(&message))
                }
                Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                    (nobody(&none).map_err(|why| failed(&asked, kind, why))?, HashMap::new())
                }
                Err(error) => return Err(failed(&asked, kind, &told(&error)).with_source(error)),
            };
            let seconds = |ttl: u32| Duration::from_secs(ttl.min(shortest).into());
            match said {
                Said::Found { records, ttl } => {
                    return Ok(Answer { records, ttl: Some(seconds(ttl)), along });
                }
                Said::Nobody { ttl } => {
                    return Ok(Answer { records: Vec::new(), ttl: ttl.map(seconds), along });
                }
                Said::Alias { of, ttl } => {
                    shortest = shortest.min(ttl);
                    name = of;
                }
            }
        }
    }

    /// One question; a lost one is asked once more.
    async fn message(&self, name: &Name, kind: RecordType) -> std::result::Result<Message, NetError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let query = Query::query(name.clone(), kind);
            let mut answers = self.pool.lookup(query, DnsRequestOptions::default());
            match answers.next().await {
                Some(Ok(answer)) => return Ok(answer.into_message()),
                Some(Err(NetError::Timeout | NetError::Io(_))) if tried < TRIES => {}
                Some(Err(error)) => return Err(error),
                None => return Err(NetError::NoConnections),
            }
        }
    }
}

/// What an answer without any record means.
fn nobody<T>(none: &NoRecords) -> std::result::Result<Said<T>, &'static str> {
    // A zone's own no has its SOA; without one, servers that are named are whom we should ask instead.
    if none.soa.is_none() && none.ns.is_some() {
        return Err(read::REFERRED);
    }
    Ok(Said::Nobody { ttl: none.negative_ttl })
}

fn failed(asked: &Name, kind: RecordType, why: &str) -> Error {
    Error::new(ErrorKind::Unreachable, format!("DNS: {} {kind}: {why}", shown(asked)))
}

fn told(error: &NetError) -> String {
    match error {
        NetError::Timeout => "no server answered in time".to_owned(),
        NetError::Dns(DnsError::ResponseCode(code)) => read::refusal(*code),
        error => error.to_string(),
    }
}

/// The addresses that a server sent with the records which name their hosts. Those of IPv4 only: a set of IPv6
/// ones may have been left out for want of room.
fn along(message: &Message) -> HashMap<Name, Vec<(Ipv4Addr, u32)>> {
    let mut along = HashMap::<Name, Vec<_>>::new();
    for record in &message.additionals {
        if let RData::A(address) = record.data
            && is_somewhere(&address.0.into())
        {
            along.entry(record.name.clone()).or_default().push((address.0, record.ttl));
        }
    }
    along
}

/// Servers that hide a name say that it is at 0.0.0.0, where everybody is himself.
fn is_somewhere(ip: &IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

/// Whether this machine would know where to send a packet to any of them, who are of one family; none is sent.
pub(super) fn has_route(addresses: &[IpAddr]) -> bool {
    let any: SocketAddr = match addresses.first() {
        None => return false,
        Some(IpAddr::V4(_)) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        Some(IpAddr::V6(_)) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any);
    socket.is_ok_and(|socket| addresses.iter().any(|address| socket.connect((*address, DISCARD)).is_ok()))
}

fn parse(text: &str) -> Result<Name> {
    Name::from_ascii(text)
        .map_err(|error| Error::config(format!("\"{text}\" is no name in DNS")).with_source(error))
}

/// How long one try waits; behind it waits another, and whoever starts gives five seconds in all.
const TRY: Duration = Duration::from_secs(2);
const TRIES: u32 = 2;
/// Any port would do.
const DISCARD: u16 = 9;
/// The system's files are looked at again after so long.
const FILES: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(search: &[&str], ndots: usize) -> Asker {
        let config = config::Dns { server: "127.0.0.1:1".to_owned(), ..config::Dns::default() };
        let mut asker = Asker::new(&config).unwrap();
        asker.search = search.iter().map(|domain| Name::from_ascii(domain).unwrap()).collect();
        asker.ndots = ndots;
        asker.hosts = Hosts::default();
        asker
    }

    fn candidates(asker: &Asker, name: &str) -> Vec<String> {
        asker.candidates(&parse(name).unwrap()).iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn whole_names_are_not_searched_for_and_short_ones_are_as_the_system_says() {
        let pod = asker(&["shop.svc.cluster.local", "svc.cluster.local"], 5);
        assert_eq!(candidates(&pod, "catalog.shop."), ["catalog.shop."]);
        assert_eq!(
            candidates(&pod, "catalog.shop"),
            ["catalog.shop.shop.svc.cluster.local.", "catalog.shop.svc.cluster.local.", "catalog.shop."]
        );
        assert_eq!(candidates(&pod, "a.b.c.d.e.f")[0], "a.b.c.d.e.f.");
        let host = asker(&["example"], 1);
        assert_eq!(candidates(&host, "catalog.shop"), ["catalog.shop.", "catalog.shop.example."]);
        assert_eq!(candidates(&host, "catalog"), ["catalog.example.", "catalog."]);
        assert_eq!(candidates(&asker(&[], 1), "catalog"), ["catalog."]);
    }

    #[tokio::test]
    async fn some_names_are_known_without_asking_anybody() {
        let asker = asker(&[], 1);
        for (host, wanted) in [("localhost", 1), ("a.LOCALHOST.", 1), ("nobody.invalid", 0)] {
            let answer = asker.addresses(host).await.unwrap();
            assert_eq!(answer.records.len(), wanted, "{host}");
        }
        assert!(asker.addresses("a..b").await.unwrap_err().detail().contains("no name in DNS"));
    }

    #[tokio::test]
    async fn only_a_no_leads_to_the_next_name() {
        let asker = asker(&["a", "b"], 5);
        let ask = |says: fn(&str) -> Result<Vec<u8>>| {
            asker.first_of(parse("catalog").unwrap(), move |name| async move {
                Ok(Answer { records: says(&name.to_string())?, ttl: Some(FILES), along: HashMap::new() })
            })
        };
        let found = ask(|name| Ok(if name == "catalog.b." { vec![2] } else { Vec::new() })).await.unwrap();
        assert_eq!(found.records, [2]);
        let failed = ask(|name| match name {
            "catalog.a." => Err(Error::new(ErrorKind::Unreachable, "for a moment")),
            _ => Ok(vec![2]),
        });
        assert_eq!(failed.await.unwrap_err().detail(), "for a moment");
        let nobody = ask(|_| Ok(Vec::new())).await.unwrap();
        assert_eq!((nobody.records.len(), nobody.ttl), (0, Some(FILES)));
    }

    #[test]
    fn loopback_has_a_route() {
        assert!(has_route(&[Ipv4Addr::LOCALHOST.into()]));
        assert!(!has_route(&[]));
    }
}
