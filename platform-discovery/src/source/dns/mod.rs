//! Endpoints that DNS knows.
//!
//! # Why not the system's resolver
//!
//! It does not say how long an answer holds, and knows no SRV records. So the servers of `/etc/resolv.conf` (or
//! `discovery.dns.server`) are asked directly, and asked again when what they said ends: a change is seen because
//! its time has come, and not because a connection broke. Nothing is kept beside the set itself.
//!
//! | DNS says | we believe |
//! |---|---|
//! | addresses | these, of one family, for as long as it says, 1 s to 5 minutes |
//! | there is no such name, or none of that kind, or it is at `0.0.0.0` | nobody: an answer, held for at most 10 s before we ask again |
//! | SERVFAIL, REFUSED, a referral, a circle of aliases, silence, noise | what was believed before; asked again after 1 s, 2 s … 30 s |
//! | a truncated answer | the same question by TCP |
//!
//! SRV records of the lowest priority are the set, with their weights; those of the next are taken when these
//! have gone from DNS or no host of theirs has an address, and **not** when they are sick: who is sick is the
//! balancer's business. A host of theirs that cannot be looked up for a moment keeps the addresses it had.
//!
//! # Names
//!
//! A name that ends with a dot is whole. Others are looked for in the search list of `/etc/resolv.conf` as every
//! program does, unless `discovery.dns.server` is set. `/etc/hosts` comes first, `localhost` is this machine, and
//! names under `invalid` are nobody's.
//!
//! # Traps
//!
//! The name service switch is not asked: what only mDNS, LDAP or a module of systemd knows is found without the
//! feature `dns`, or by a source of one's own.

mod ask;
mod pace;
mod read;
mod srv;
mod system;

use std::{
    collections::HashMap,
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use hickory_resolver::proto::rr::{Name, rdata::SRV};
use platform_core::{Error, ErrorKind, Result};
use tokio::time;

use self::{
    ask::{Answer, Asker, has_route},
    pace::{Brought, pause},
};
use crate::{
    config,
    endpoint::{Endpoint, Found},
    resolve::{Resolve, Snapshot, Snapshots},
    source::said::Said,
    target::{Place, Target},
    task::aside,
};

/// The addresses of a host, or the hosts of an SRV name, with DNS' own times.
#[derive(Clone, Debug)]
pub struct Dns {
    config: config::Dns,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Addresses { host: Arc<str>, port: u16 },
    Services(Arc<str>),
}

impl Dns {
    /// DNS as it is set.
    pub fn of(config: &config::Dns) -> Self {
        Dns { config: config.clone() }
    }

    fn wanted(&self, target: &Target) -> Option<Wanted> {
        let usual = self.config.port;
        Some(match target.place() {
            Place::Host { host, port, .. } => Wanted::Addresses { host: Arc::clone(host), port: *port },
            Place::Dns { host, port } => {
                Wanted::Addresses { host: Arc::clone(host), port: port.unwrap_or(usual) }
            }
            Place::Registry(name) => Wanted::Addresses { host: self.bare(name), port: usual },
            Place::Srv(name) => Wanted::Services(Arc::clone(name)),
            _ => return None,
        })
    }

    /// A bare name and the suffix are a whole name; without a suffix it is searched for.
    fn bare(&self, name: &Arc<str>) -> Arc<str> {
        match self.config.suffix.trim_matches('.') {
            "" => Arc::clone(name),
            suffix => Arc::from(format!("{name}.{suffix}.")),
        }
    }
}

impl Resolve for Dns {
    fn resolve(&self, target: &Target) -> Snapshots {
        let Some(wanted) = self.wanted(target) else {
            let error = Error::new(ErrorKind::Internal, format!("{target} is no name in DNS"));
            return Box::pin(stream::iter([Err(error)]));
        };
        // An address is its own answer, for ever.
        if let Wanted::Addresses { host, port } = &wanted
            && let Ok(ip) = host.parse::<IpAddr>()
        {
            let only = Found::new(Endpoint::at(SocketAddr::new(ip, *port)));
            return Box::pin(stream::iter([Ok(Snapshot::new([only]))]));
        }
        let look = Look {
            config: self.config.clone(),
            wanted,
            asker: None,
            known: HashMap::new(),
            failures: 0,
            said: Said::default(),
        };
        Box::pin(stream::unfold((look, Duration::ZERO), |(mut look, wait)| async move {
            time::sleep(wait).await;
            let (answer, brought) = look.again().await;
            Some((answer, (look, pause(brought, fastrand::f64()))))
        }))
    }

    fn is_remembered(&self) -> bool {
        true
    }

    fn describe(&self, target: &Target) -> String {
        let by = match self.config.server.as_str() {
            "" => "the system's servers",
            server => server,
        };
        match self.wanted(target) {
            Some(Wanted::Addresses { host, .. }) => format!("DNS, the addresses of {host} by {by}"),
            Some(Wanted::Services(name)) => format!("DNS, the SRV records of {name} by {by}"),
            None => "DNS".to_owned(),
        }
    }
}

/// What the one stream that asks knows.
struct Look {
    config: config::Dns,
    wanted: Wanted,
    asker: Option<Arc<Asker>>,
    /// The addresses that the hosts of SRV records had.
    known: HashMap<Name, Vec<IpAddr>>,
    failures: u32,
    said: Said,
}

/// The endpoints, how many hosts were left out, and how long all this holds.
struct Seen {
    endpoints: Vec<Endpoint>,
    skipped: usize,
    ttl: Option<Duration>,
}

impl Look {
    async fn again(&mut self) -> (Result<Snapshot>, Brought) {
        match self.look().await {
            Ok(seen) => {
                self.failures = 0;
                let brought = match (seen.endpoints.is_empty(), seen.ttl) {
                    (false, ttl) => Brought::Records(ttl.unwrap_or_default()),
                    (true, ttl) => Brought::Nobody(ttl),
                };
                (Ok(self.said.say(seen.endpoints, seen.skipped)), brought)
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                (Err(error), Brought::Failure(self.failures))
            }
        }
    }

    async fn look(&mut self) -> Result<Seen> {
        let asker = self.asker().await?;
        match self.wanted.clone() {
            Wanted::Addresses { host, port } => {
                let mut answer = in_time(&host, asker.addresses(&host)).await?;
                answer.records.sort_unstable();
                answer.records.dedup();
                let at = |ip: &IpAddr| Endpoint::at(SocketAddr::new(*ip, port));
                let endpoints = answer.records.iter().map(at).collect();
                Ok(Seen { endpoints, skipped: 0, ttl: answer.ttl })
            }
            Wanted::Services(name) => {
                let answer = in_time(&name, asker.services(&name)).await?;
                in_time(&name, self.hosts(&asker, answer)).await
            }
        }
    }

    /// The hosts of the lowest priority that has any with an address.
    async fn hosts(&mut self, asker: &Asker, answer: Answer<SRV>) -> Result<Seen> {
        let (mut skipped, mut failed) = (0, None);
        let mut ttl = answer.ttl;
        for priority in srv::priorities(&answer.records) {
            let records = srv::of_priority(&answer.records, priority);
            let asking: Vec<_> =
                records.iter().map(|record| addresses(asker, record, &answer.along)).collect();
            let looked: Vec<_> = stream::iter(asking).buffered(AT_ONCE).collect().await;
            let mut endpoints = Vec::new();
            for ((record, weight), looked) in records.iter().zip(srv::weights(&records)).zip(looked) {
                let addresses = match looked {
                    Ok((addresses, host_ttl)) => {
                        ttl = ttl.into_iter().chain(host_ttl).min();
                        self.known.insert(record.target.clone(), addresses.clone());
                        addresses
                    }
                    Err(error) => {
                        // Where it was is where it most likely is.
                        let known = self.known.get(&record.target).cloned().unwrap_or_default();
                        failed = failed.or(known.is_empty().then_some(error));
                        known
                    }
                };
                skipped += usize::from(addresses.is_empty());
                endpoints.extend(srv::endpoints(record, weight, &addresses));
            }
            if !endpoints.is_empty() {
                self.known.retain(|host, _| answer.records.iter().any(|record| record.target == *host));
                endpoints.sort_by_key(|endpoint| endpoint.address);
                endpoints.dedup_by_key(|endpoint| endpoint.address);
                return Ok(Seen { endpoints, skipped, ttl });
            }
            // Those who stand by are asked when nobody is there, and not when nobody can be asked.
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(Seen { endpoints: Vec::new(), skipped, ttl })
    }

    /// Off the runtime's threads: files are read.
    async fn asker(&mut self) -> Result<Arc<Asker>> {
        let (config, known) = (self.config.clone(), self.asker.take());
        let runtime = tokio::runtime::Handle::current();
        let made = aside(move || match known {
            Some(known) if known.is_current(&config) => Ok(known),
            _ => {
                let _inside = runtime.enter();
                Asker::new(&config).map(Arc::new)
            }
        });
        let made = made.await??;
        self.asker = Some(Arc::clone(&made));
        Ok(made)
    }
}

/// The addresses of a record's host: those that came along, else asked for.
async fn addresses(
    asker: &Asker,
    record: &SRV,
    along: &HashMap<Name, Vec<(std::net::Ipv4Addr, u32)>>,
) -> Result<(Vec<IpAddr>, Option<Duration>)> {
    let came = along.get(&record.target).map(Vec::as_slice).unwrap_or_default();
    let mut addresses: Vec<IpAddr> = came.iter().map(|(address, _)| (*address).into()).collect();
    let mut ttl = came.iter().map(|(_, ttl)| Duration::from_secs((*ttl).into())).min();
    if !has_route(&addresses) {
        let answer = asker.addresses_of(record.target.clone()).await?;
        (addresses, ttl) = (answer.records, answer.ttl);
    }
    addresses.sort_unstable();
    addresses.dedup();
    Ok((addresses, ttl))
}

async fn in_time<T>(name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    time::timeout(LIMIT, work).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, format!("DNS: {name} was not answered for within {LIMIT:?}")))
    })
}

/// Four tries, or a thousand hosts of a server that takes its time; who needs longer is down.
const LIMIT: Duration = Duration::from_secs(10);
/// Hosts of SRV records that are looked up side by side.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(dns: &Dns, text: &str) -> Option<Wanted> {
        dns.wanted(&Target::parse(text).unwrap())
    }

    #[test]
    fn a_target_says_what_is_asked_for() {
        let plain = Dns::of(&config::Dns::default());
        let set =
            Dns::of(&config::Dns { suffix: ".shop.internal".into(), port: 8080, ..config::Dns::default() });
        let addresses = |host: &str, port| Some(Wanted::Addresses { host: Arc::from(host), port });
        assert_eq!(wanted(&plain, "catalog"), addresses("catalog", 80));
        assert_eq!(wanted(&set, "catalog"), addresses("catalog.shop.internal.", 8080));
        assert_eq!(wanted(&set, "dns://catalog.shop"), addresses("catalog.shop", 8080));
        assert_eq!(wanted(&set, "dns://catalog.shop.:81"), addresses("catalog.shop.", 81));
        assert_eq!(wanted(&set, "https://partner.example"), addresses("partner.example", 443));
        let services = Some(Wanted::Services(Arc::from("_http._tcp.catalog.shop")));
        assert_eq!(wanted(&set, "dns+srv://_http._tcp.catalog.shop"), services);
        assert_eq!(wanted(&set, "fixed://127.0.0.1:1"), None);
    }

    #[test]
    fn the_source_says_whom_it_asks_for_what() {
        let own = Dns::of(&config::Dns { server: "127.0.0.1:5353".into(), ..config::Dns::default() });
        let told = own.describe(&Target::parse("dns://catalog.shop").unwrap());
        assert_eq!(told, "DNS, the addresses of catalog.shop by 127.0.0.1:5353");
        let system = Dns::of(&config::Dns::default());
        let told = system.describe(&Target::parse("dns+srv://_http._tcp.catalog.shop").unwrap());
        assert_eq!(told, "DNS, the SRV records of _http._tcp.catalog.shop by the system's servers");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_its_own_answer_for_ever() {
        for (text, address) in [("http://127.0.0.1:8080", "127.0.0.1:8080"), ("dns://[::1]", "[::1]:80")] {
            let mut answers = Dns::of(&config::Dns::default()).resolve(&Target::parse(text).unwrap());
            let answer = answers.next().await.unwrap().unwrap();
            assert_eq!(answer.found()[0].endpoint.address, address.parse().unwrap());
            assert!(answers.next().await.is_none());
        }
    }
}
