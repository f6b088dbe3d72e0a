//! What does a message say about a name?

use std::collections::HashSet;

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, RecordType},
};

/// What one message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<T> {
    /// These records, for so many seconds.
    Found { records: Vec<T>, ttl: u32 },
    /// The name is an alias of another, which the message says nothing about.
    Alias { of: Name, ttl: u32 },
    /// There is nothing of that kind under the name; for so many seconds, where it says.
    Nobody { ttl: Option<u32> },
}

/// Reads what `message` says about `asked`: follows its aliases and takes the records that `pick` knows.
///
/// The error says in a few words why it says nothing.
pub(super) fn read<T>(
    message: &Message,
    asked: &Name,
    pick: impl Fn(&RData) -> Option<T>,
) -> Result<Said<T>, String> {
    let (mut name, mut ttl) = (asked, u32::MAX);
    let mut seen = HashSet::from([asked]);
    loop {
        let mut records = Vec::new();
        let mut alias = None;
        for record in message.answers.iter().filter(|record| record.name == *name) {
            if let Some(picked) = pick(&record.data) {
                ttl = ttl.min(record.ttl);
                records.push(picked);
            } else if let RData::CNAME(of) = &record.data {
                alias = Some((&of.0, record.ttl));
            }
        }
        if !records.is_empty() {
            return Ok(Said::Found { records, ttl });
        }
        let Some((of, alias_ttl)) = alias else { break };
        ttl = ttl.min(alias_ttl);
        if !seen.insert(of) {
            return Err(format!("the aliases of {asked} go round in a circle"));
        }
        if seen.len() > MOST_ALIASES {
            return Err(format!("{asked} has more than {MOST_ALIASES} aliases in a row"));
        }
        name = of;
    }
    let negative = message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    match message.response_code {
        ResponseCode::NXDomain => Ok(Said::Nobody { ttl: negative }),
        // An authority answers for its own zone only, so that an alias into another is half an answer.
        ResponseCode::NoError if name != asked && negative.is_none() => {
            Ok(Said::Alias { of: name.clone(), ttl })
        }
        ResponseCode::NoError if negative.is_none() && refers(message) => Err(REFERRED.to_owned()),
        ResponseCode::NoError => Ok(Said::Nobody { ttl: negative }),
        code => Err(refusal(code)),
    }
}

/// A server that names others instead of asking them.
fn refers(message: &Message) -> bool {
    message.authorities.iter().any(|record| record.record_type() == RecordType::NS)
}

/// An answer that is none, in DNS' own words.
pub(super) fn refusal(code: ResponseCode) -> String {
    format!("the server answered {}", format!("{code:?}").to_uppercase())
}

/// Nobody has half as many in earnest.
pub(super) const MOST_ALIASES: usize = 16;
pub(super) const REFERRED: &str = "the server names other servers and does not ask them; ask one that does";

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::{
        op::OpCode,
        rr::{
            Record,
            rdata::{A, CNAME, NS, SOA},
        },
    };
    use std::net::Ipv4Addr;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn a(owner: &str, ttl: u32, last: u8) -> Record {
        Record::from_rdata(name(owner), ttl, RData::A(A(Ipv4Addr::new(10, 0, 0, last))))
    }

    fn alias(owner: &str, ttl: u32, of: &str) -> Record {
        Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(of))))
    }

    fn soa(ttl: u32, minimum: u32) -> Record {
        let soa = SOA::new(name("ns.shop."), name("root.shop."), 1, 1, 1, 1, minimum);
        Record::from_rdata(name("shop."), ttl, RData::SOA(soa))
    }

    fn ns() -> Record {
        Record::from_rdata(name("shop."), 9, RData::NS(NS(name("ns.shop."))))
    }

    fn message(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Message {
        let mut message = Message::response(0, OpCode::Query);
        message.metadata.response_code = code;
        message.answers = answers;
        message.authorities = authorities;
        message
    }

    fn said(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Result<Said<u8>, String> {
        read(&message(code, answers, authorities), &name("catalog.shop."), |record| match record {
            RData::A(address) => Some(address.octets()[3]),
            _ => None,
        })
    }

    use ResponseCode::{NXDomain, NoError, Refused, ServFail};

    #[test]
    fn records_hold_as_long_as_the_shortest_of_them_and_of_their_aliases() {
        let both = vec![a("catalog.shop.", 30, 1), a("CATALOG.shop.", 20, 2), a("other.shop.", 1, 3)];
        assert_eq!(said(NoError, both, vec![]), Ok(Said::Found { records: vec![1, 2], ttl: 20 }));
        let chain =
            vec![a("c.shop.", 30, 4), alias("b.shop.", 7, "c.shop."), alias("catalog.shop.", 60, "b.shop.")];
        assert_eq!(
            said(NoError, chain, vec![]),
            Ok(Said::Found { records: vec![4], ttl: 7 }),
            "in any order"
        );
    }

    #[test]
    fn half_a_chain_is_asked_on() {
        let half = vec![alias("catalog.shop.", 60, "b.shop."), alias("b.shop.", 9, "c.other.")];
        assert_eq!(said(NoError, half, vec![]), Ok(Said::Alias { of: name("c.other."), ttl: 9 }));
    }

    #[test]
    fn nobody_is_an_answer_and_the_zone_says_for_how_long() {
        let nobody = |ttl| Ok(Said::Nobody { ttl });
        assert_eq!(said(NXDomain, vec![], vec![soa(60, 5)]), nobody(Some(5)));
        assert_eq!(
            said(NoError, vec![], vec![soa(4, 60)]),
            nobody(Some(4)),
            "the name is there, its kind is not"
        );
        assert_eq!(said(NXDomain, vec![], vec![]), nobody(None));
        assert_eq!(said(NoError, vec![], vec![]), nobody(None));
        let to_nowhere = vec![alias("catalog.shop.", 60, "gone.shop.")];
        assert_eq!(said(NXDomain, to_nowhere.clone(), vec![soa(60, 5)]), nobody(Some(5)));
        assert_eq!(said(NoError, to_nowhere, vec![soa(60, 5)]), nobody(Some(5)));
    }

    #[test]
    fn what_says_nothing_is_an_error() {
        let circle = vec![alias("catalog.shop.", 60, "b.shop."), alias("b.shop.", 60, "catalog.shop.")];
        assert!(said(NoError, circle, vec![]).unwrap_err().contains("circle"));
        let mut long = vec![alias("catalog.shop.", 60, "n0.shop.")];
        long.extend((0..40).map(|n| alias(&format!("n{n}.shop."), 60, &format!("n{}.shop.", n + 1))));
        assert!(said(NoError, long, vec![]).unwrap_err().contains("more than 16 aliases"));
        assert!(said(NoError, vec![], vec![ns()]).unwrap_err().contains("names other servers"));
        assert!(said(ServFail, vec![], vec![]).unwrap_err().contains("SERVFAIL"));
        assert!(said(Refused, vec![], vec![]).unwrap_err().contains("REFUSED"));
    }
}
