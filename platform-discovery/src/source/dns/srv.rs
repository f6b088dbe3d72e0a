//! Which of the hosts that SRV records name are asked, and how often?

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use hickory_resolver::proto::rr::{Name, rdata::SRV};

use crate::endpoint::Endpoint;

/// The records of one priority, the same host and port once.
///
/// A record that names the root says that there is nobody (RFC 2782).
pub(super) fn of_priority(records: &[SRV], priority: u16) -> Vec<&SRV> {
    let mut seen = HashSet::new();
    records
        .iter()
        .filter(|record| record.priority == priority && !record.target.is_root() && record.port != 0)
        .filter(|record| seen.insert((&record.target, record.port)))
        .collect()
}

/// The priorities that there are, the one to be asked first.
pub(super) fn priorities(records: &[SRV]) -> Vec<u16> {
    let mut priorities: Vec<u16> = records.iter().map(|record| record.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    priorities
}

/// The shares of the traffic. DNS' 0 is "hardly ever beside the others", which for us is a hundredth of a 1; where
/// all are 0, nobody has a preference.
pub(super) fn weights(records: &[&SRV]) -> Vec<u32> {
    let any = |is: fn(u16) -> bool| records.iter().any(|record| is(record.weight));
    let scale = if any(|weight| weight == 0) && any(|weight| weight != 0) { HARDLY_EVER } else { 1 };
    records.iter().map(|record| (u32::from(record.weight) * scale).max(1)).collect()
}

/// The endpoints of one record. A host with one address gives the instance its name; which of several is which
/// only the address says.
pub(super) fn endpoints(record: &SRV, weight: u32, addresses: &[IpAddr]) -> Vec<Endpoint> {
    let named = addresses.len() == 1;
    let of = |ip: &IpAddr| {
        let mut endpoint = Endpoint::at(SocketAddr::new(*ip, record.port));
        if named {
            endpoint.instance = format!("{}:{}", shown(&record.target), record.port);
        }
        endpoint.weight = weight;
        endpoint
    };
    addresses.iter().map(of).collect()
}

/// A name as people write it.
pub(super) fn shown(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

const HARDLY_EVER: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, port: u16, target: &str) -> SRV {
        SRV::new(priority, weight, port, Name::from_ascii(target).unwrap())
    }

    #[test]
    fn the_lowest_number_is_asked_first_and_each_host_and_port_once() {
        let records = [
            srv(20, 1, 80, "backup.shop."),
            srv(10, 1, 80, "a.shop."),
            srv(10, 1, 80, "A.shop."),
            srv(10, 1, 81, "a.shop."),
            srv(10, 1, 0, "b.shop."),
        ];
        assert_eq!(priorities(&records), [10, 20]);
        let first = of_priority(&records, 10);
        assert_eq!(first.iter().map(|record| record.port).collect::<Vec<_>>(), [80, 81]);
        assert!(of_priority(&[srv(0, 0, 0, ".")], 0).is_empty(), "decidedly nobody");
    }

    #[test]
    fn weights_are_shares_and_a_zero_is_hardly_ever() {
        let table: [(&[u16], &[u32]); 4] =
            [(&[1, 3], &[1, 3]), (&[0, 0], &[1, 1]), (&[0, 2], &[1, 200]), (&[65_535, 0], &[6_553_500, 1])];
        for (written, wanted) in table {
            let records: Vec<_> = written.iter().map(|weight| srv(0, *weight, 1, "a.")).collect();
            assert_eq!(weights(&records.iter().collect::<Vec<_>>()), wanted, "{written:?}");
        }
    }

    #[test]
    fn a_host_with_one_address_names_the_instance() {
        let record = srv(0, 5, 8080, "Catalog-7D4F.shop.");
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let [one] = &endpoints(&record, 5, &[ip(1)])[..] else { panic!("one address") };
        assert_eq!((one.instance.as_str(), one.weight), ("catalog-7d4f.shop:8080", 5));
        let two = endpoints(&record, 5, &[ip(1), ip(2)]);
        assert_eq!(two[1].instance, "10.0.0.2:8080");
    }
}
