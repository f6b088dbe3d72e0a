//! Which calls are compared, and how is each made?

use std::io;

use hyper::{HeaderMap, Request};
use platform_core::{Error, ErrorKind, Result};
use platform_http::Body;

use super::{bare, http, network, platform, thin::Ask};
use crate::{
    child::{Orders, Program, Taken},
    peers,
};

/// A call to compare.
#[derive(Clone)]
pub(crate) struct Variant {
    /// Its name in the table.
    pub(crate) name: String,
    /// What to run, but for the number of calls.
    pub(crate) program: Program,
    /// The words behind that number.
    pub(crate) flags: Vec<String>,
}

/// All variants that can be had here.
pub(crate) struct Variants {
    /// Calls that stay in the process.
    pub(crate) inside: Vec<Variant>,
    /// Clients that call a server.
    pub(crate) network: Vec<Variant>,
    /// Why the peers are missing, if they were wanted.
    pub(crate) remark: Option<String>,
}

/// A call that this binary itself can make over and over.
struct Own {
    name: &'static str,
    call: fn(Orders) -> io::Result<Taken>,
}

/// All calls that can be made here.
///
/// # Errors
/// This binary does not know its own path.
pub(crate) fn variants(peers: bool) -> Result<Variants> {
    let own = Program::this()?;
    let of = |program: &Program, name: &str, pending: bool| Variant {
        name: if pending { format!("{name}+pending") } else { name.to_owned() },
        program: program.with([CALL, name].map(str::to_owned)),
        flags: if pending { vec![PENDING.to_owned()] } else { Vec::new() },
    };
    let mut variants = Variants { inside: Vec::new(), network: Vec::new(), remark: None };
    for (name, pending) in INSIDE {
        variants.inside.push(of(&own, name, pending));
    }
    for name in NETWORK {
        variants.network.push(of(&own, name, false));
    }
    if !peers {
        return Ok(variants);
    }
    match peers::build() {
        Ok(path) => {
            let peers = Program { path, arguments: Vec::new() };
            for name in PEERS {
                variants.inside.push(of(&peers, name, false));
                variants.inside.push(of(&peers, name, true));
            }
            for name in PEERS_NETWORK {
                variants.network.push(of(&peers, name, false));
            }
        }
        Err(error) => variants.remark = Some(format!("without the peers: {error}")),
    }
    Ok(variants)
}

/// Makes the calls of a variant in this process, and prints what they took.
///
/// # Errors
/// No such variant, or words that make no sense, or the calls could not be made.
pub(crate) fn call(words: &[String]) -> Result<()> {
    let usage = |why: String| Error::new(ErrorKind::Usage, why);
    let (name, orders) = words.split_first().ok_or_else(|| usage("which call?".to_owned()))?;
    let own = OWN.iter().find(|own| own.name == name);
    let own = own.ok_or_else(|| usage(format!("no call is named {name}")))?;
    let orders = Orders::parse(orders.iter().map(String::as_str))
        .ok_or_else(|| usage(format!("{CALL} {name}: N [--pending] [--threads N] [--port N]")))?;
    let taken = (own.call)(orders).map_err(|error| {
        Error::new(ErrorKind::Start, format!("{name} cannot be called")).with_source(error)
    })?;
    println!("{taken}");
    Ok(())
}

/// The hidden first argument that makes this binary, and the peers', a caller.
pub(crate) const CALL: &str = "call";
/// The flag of [`Orders`] that makes the service pending once.
const PENDING: &str = "--pending";

/// The number alone.
pub(crate) const BARE: &str = "bare";
/// Our stack around a number and its context.
pub(crate) const PLATFORM: &str = "platform";
/// The bare service with an HTTP request and its context.
pub(crate) const BARE_HTTP: &str = "bare-http";
/// Our stack around an HTTP request and its context.
pub(crate) const PLATFORM_HTTP: &str = "platform-http";
/// Requests that go nowhere: without and with headers, without and with a copy.
pub(crate) const REQUESTS: [[&str; 2]; 2] =
    [["request", "request+copy"], ["request+headers", "request+headers+copy"]];
/// hyper-util's client.
pub(crate) const POOLED: &str = "client-hyper-util";
/// Ours.
pub(crate) const CLIENT: &str = "client-platform";

const OWN: [Own; 11] = [
    Own { name: BARE, call: bare::number },
    Own { name: "bare-context", call: bare::call::<Ask> },
    Own { name: PLATFORM, call: platform::call::<Ask> },
    Own { name: BARE_HTTP, call: bare::call::<Request<Body>> },
    Own { name: PLATFORM_HTTP, call: platform::call::<Request<Body>> },
    Own { name: REQUESTS[0][0], call: |orders| bare::request(orders, &HeaderMap::new(), false) },
    Own { name: REQUESTS[0][1], call: |orders| bare::request(orders, &HeaderMap::new(), true) },
    Own { name: REQUESTS[1][0], call: |orders| bare::request(orders, &http::headers(), false) },
    Own { name: REQUESTS[1][1], call: |orders| bare::request(orders, &http::headers(), true) },
    Own { name: POOLED, call: network::pooled },
    Own { name: CLIENT, call: network::platform },
];

/// Calls of this binary that stay in the process; pending once?
const INSIDE: [(&str, bool); 13] = [
    (BARE, false),
    (BARE, true),
    ("bare-context", false),
    (PLATFORM, false),
    (PLATFORM, true),
    (BARE_HTTP, false),
    (BARE_HTTP, true),
    (PLATFORM_HTTP, false),
    (PLATFORM_HTTP, true),
    (REQUESTS[0][0], false),
    (REQUESTS[0][1], false),
    (REQUESTS[1][0], false),
    (REQUESTS[1][1], false),
];
const NETWORK: [&str; 2] = [POOLED, CLIENT];
const PEERS: [&str; 4] = ["tower-a", "tower-b", "tower-resilience", "seatbelt"];
const PEERS_NETWORK: [&str; 2] = ["client-tower-resilience", "client-reqwest"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_our_own_succeeds_as_often_as_it_is_made() {
        let orders = Orders { calls: 10, pending: false, threads: 1, port: 0 };
        for own in OWN.iter().filter(|own| !NETWORK.contains(&own.name)) {
            for orders in [orders, Orders { pending: true, ..orders }] {
                let taken = (own.call)(orders).unwrap();
                assert_eq!(taken.failed, 0, "{}", own.name);
            }
        }
    }

    #[test]
    fn what_is_measured_can_be_called() {
        let variants = variants(false).unwrap();
        for variant in variants.inside.iter().chain(&variants.network) {
            assert!(OWN.iter().any(|own| own.name == variant.program.arguments[1]), "{}", variant.name);
        }
        assert_eq!((variants.inside.len(), variants.network.len()), (INSIDE.len(), NETWORK.len()));
    }

    #[test]
    fn a_call_that_does_not_exist_is_refused() {
        for words in [&[][..], &["curl"], &["bare"], &["bare", "many"], &["bare", "5", "--fast"]] {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            assert_eq!(call(&words).unwrap_err().kind(), ErrorKind::Usage, "{words:?}");
        }
    }
}
