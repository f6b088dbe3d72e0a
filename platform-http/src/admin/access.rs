//! Who may do what: a decision without a network, from what a request shows.
//!
//! Two kinds of strangers. One sends requests from another machine, and needs a token. The other is a page in a
//! browser on this machine: its requests come from loopback, so the address proves nothing. A page that rebinds
//! its own DNS name to 127.0.0.1 is known by that name in `Host`; a page that posts across origins by its
//! `Origin`.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, Uri, header, uri::Authority};
use platform_core::{Error, ErrorKind, Result, app::PLATFORM};

use crate::{allow::covers, tls::Identity};

/// What a path asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Anybody: probes and scrapers have no names.
    Open,
    /// Whoever may see how the process is set up.
    Read,
    /// Whoever may change it, by name.
    Change,
}

/// What the listener knows of itself.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// Where it listens.
    pub(super) bound: SocketAddr,
    /// The host of `admin.listen`, which may be a name.
    pub(super) name: String,
    /// Where Kubernetes says that others reach it.
    pub(super) pod_ip: Option<IpAddr>,
    /// Are there people who have tokens?
    pub(super) has_tokens: bool,
    /// Who may come by what their certificates name.
    pub(super) peers: Vec<String>,
    /// Is TLS around it?
    pub(super) secure: bool,
}

/// What a request shows of its sender.
#[derive(Clone, Debug)]
pub(super) struct Caller<'a> {
    peer: IpAddr,
    /// Whom its certificate names, if it showed one that was verified.
    identity: Option<&'a Identity>,
    /// Somebody passed the request on: its sender is further away than its peer.
    forwarded: bool,
    hosts: Vec<&'a [u8]>,
    origin: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    actor: Option<&'a [u8]>,
}

impl<'a> Caller<'a> {
    /// Reads the head of a request.
    pub(super) fn new(
        peer: SocketAddr,
        identity: Option<&'a Identity>,
        uri: &'a Uri,
        headers: &'a HeaderMap,
    ) -> Self {
        let one = |name: HeaderName| headers.get(name).map(http::HeaderValue::as_bytes);
        // HTTP/2, and HTTP/1 through a proxy, name the host in the request line.
        let named = uri.authority().map(|authority| authority.as_str().as_bytes());
        let hosts = headers.get_all(header::HOST).iter().map(http::HeaderValue::as_bytes);
        Caller {
            peer: peer.ip().to_canonical(),
            identity,
            forwarded: FORWARDED.iter().any(|name| headers.contains_key(*name)),
            hosts: named.into_iter().chain(hosts).collect(),
            origin: one(header::ORIGIN),
            authorization: one(header::AUTHORIZATION),
            actor: one(HeaderName::from_static(ACTOR)),
        }
    }
}

impl Door {
    /// The name of the caller, empty where none is needed; or why it is refused. `whose` knows tokens.
    pub(super) fn admit(
        &self,
        caller: &Caller<'_>,
        right: Right,
        whose: impl FnOnce(&[u8]) -> Option<String>,
    ) -> Result<String> {
        self.check_host(caller)?;
        self.check_origin(caller)?;
        if right == Right::Open {
            return Ok(String::new());
        }
        let private = self.bound.ip().to_canonical().is_loopback();
        if !private && !self.has_tokens && self.peers.is_empty() {
            return Err(forbidden(format!(
                "this listener ({}) is not on loopback, and neither `admin.token_file` nor `admin.peers` is set, so it \
                 only shows health and metrics; set `admin.token_file` or `admin.peers`, or `admin.listen` to 127.0.0.1:{}",
                self.bound,
                self.bound.port()
            )));
        }
        if let Some(shown) = caller.authorization {
            let Some(token) = bearer(shown) else {
                return Err(unauthenticated("only tokens are known here: `authorization: Bearer TOKEN`"));
            };
            return whose(token).ok_or_else(|| {
                unauthenticated(if self.has_tokens {
                    "this token is not in `admin.token_file`"
                } else {
                    "no token is known here: `admin.token_file` is not set"
                })
            });
        }
        // Of a request that was passed on, the certificate is who passed it on.
        if let (Some(identity), false) = (caller.identity, caller.forwarded) {
            if self.peers.iter().any(|name| covers(name, identity.as_str())) {
                return Ok(identity.to_string());
            }
            return Err(forbidden(format!("{identity} is not one of `admin.peers`")));
        }
        if caller.forwarded || !caller.peer.is_loopback() {
            let why = if caller.forwarded { "a forwarded request" } else { "another machine" };
            return Err(unauthenticated(format!(
                "{why} needs a token of `admin.token_file`: `authorization: Bearer TOKEN`{}",
                if self.peers.is_empty() { "" } else { ", or a certificate that names one of `admin.peers`" }
            )));
        }
        match (right, caller.actor) {
            (Right::Change, None) => Err(unauthenticated(
                "a change has somebody's name: `x-platform-actor: YOUR-NAME`, or a token of `admin.token_file`",
            )),
            (Right::Change, Some(actor)) => {
                name(actor).map_err(|why| unauthenticated(format!("`x-platform-actor`: {why}")))
            }
            _ => Ok(String::new()),
        }
    }

    /// Without a `Host` there is no browser: some probes speak HTTP/1.0.
    fn check_host(&self, caller: &Caller<'_>) -> Result<()> {
        for host in &caller.hosts {
            if !host_of(host).is_some_and(|host| self.is_ours(&host)) {
                return Err(forbidden(format!(
                    "host `{}` is not an address of this listener; ask by localhost, {} or POD_IP, so that no \
                     web page can reach it under a name of its own (DNS rebinding)",
                    host.escape_ascii(),
                    self.bound
                )));
            }
        }
        Ok(())
    }

    /// A page of another site cannot ask in a browser's name, nor with the certificate that the browser would show.
    fn check_origin(&self, caller: &Caller<'_>) -> Result<()> {
        let Some(origin) = caller.origin else { return Ok(()) };
        let scheme: &[u8] = if self.secure { b"https://" } else { b"http://" };
        let ours =
            |host: &&[u8]| origin.strip_prefix(scheme).is_some_and(|rest| rest.eq_ignore_ascii_case(host));
        if caller.hosts.iter().any(ours) {
            return Ok(());
        }
        Err(forbidden(format!(
            "origin `{}` is another site; only pages of this listener may ask it",
            origin.escape_ascii()
        )))
    }

    fn is_ours(&self, host: &str) -> bool {
        let bound = self.bound.ip().to_canonical();
        match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            // Rebinding needs a name. A listener on every address cannot know under which it is seen from outside.
            Ok(ip) => ip.is_loopback() || ip == bound || Some(ip) == self.pod_ip || bound.is_unspecified(),
            Err(_) => host.eq_ignore_ascii_case("localhost") || host.eq_ignore_ascii_case(&self.name),
        }
    }
}

/// The host of an address such as `localhost:9464` or `[::1]:9464`, without brackets.
pub(super) fn host_part(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// A name as people and files write it; text for a log.
pub(super) fn name(text: &[u8]) -> std::result::Result<String, &'static str> {
    let text = std::str::from_utf8(text).unwrap_or_default().trim();
    if text.is_empty() || text.len() > LONGEST_NAME || text.bytes().any(|byte| !(b' '..=b'~').contains(&byte))
    {
        return Err("a name is 1 to 64 printable ASCII characters");
    }
    if text.eq_ignore_ascii_case(PLATFORM) {
        return Err("`platform` is who the library is; say your own name");
    }
    Ok(text.to_owned())
}

fn host_of(host: &[u8]) -> Option<String> {
    let authority = Authority::try_from(host).ok()?;
    // A name before `@` is for somebody who reads addresses in a hurry.
    if authority.as_str().contains('@') {
        return None;
    }
    Some(authority.host().trim_start_matches('[').trim_end_matches(']').to_owned())
}

fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim_ascii())
}

fn forbidden(detail: String) -> Error {
    Error::new(ErrorKind::Forbidden, detail).at_layer(LAYER)
}

fn unauthenticated(detail: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Unauthenticated, detail).at_layer(LAYER)
}

const LAYER: &str = "admin-access";
const BEARER: &[u8] = b"bearer ";
/// Who makes a change, on this machine. A page of another origin cannot send it without being asked about first.
const ACTOR: &str = "x-platform-actor";
/// What proxies add.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];
/// As long as a tenant's or a request's id; longer is no name.
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const HERE: &str = "127.0.0.1:50000";
    const AWAY: &str = "10.1.2.3:50000";
    const PRIVATE: &str = "127.0.0.1:9464";
    const PUBLIC: &str = "0.0.0.0:9464";

    fn door(listen: &str, has_tokens: bool) -> Door {
        Door {
            bound: listen.parse().unwrap(),
            name: host_part(listen).to_owned(),
            pod_ip: Some("10.9.9.9".parse().unwrap()),
            has_tokens,
            peers: Vec::new(),
            secure: false,
        }
    }

    fn ask(door: &Door, peer: &str, headers: &[(&'static str, &str)], right: Right) -> Result<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let uri = Uri::from_static("/platform/info");
        let caller = Caller::new(peer.parse().unwrap(), None, &uri, &map);
        door.admit(&caller, right, |token| (token == b"s3cret").then(|| "bob".to_owned()))
    }

    #[test]
    fn who_may_do_what() {
        use Right::{Change, Open, Read};
        const ANN: (&str, &str) = ("x-platform-actor", "ann");
        const BOB: (&str, &str) = ("authorization", "Bearer s3cret");
        const BAD: (&str, &str) = ("authorization", "Bearer guess");
        const BASIC: (&str, &str) = ("authorization", "Basic czNjcmV0");
        const VIA: (&str, &str) = ("x-forwarded-for", "10.1.2.3");
        type Case<'a> = (
            &'a str,
            bool,
            &'a str,
            &'a [(&'static str, &'a str)],
            Right,
            std::result::Result<&'a str, &'a str>,
        );
        let cases: [Case<'_>; 25] = [
            // Probes and scrapers come from anywhere, to any listener.
            (PRIVATE, false, HERE, &[], Open, Ok("")),
            (PUBLIC, false, AWAY, &[], Open, Ok("")),
            (PUBLIC, true, AWAY, &[BAD], Open, Ok("")),
            // A private listener trusts this machine, and asks for a name before a change.
            (PRIVATE, false, HERE, &[], Read, Ok("")),
            (PRIVATE, false, "[::ffff:127.0.0.1]:1", &[], Read, Ok("")),
            (PRIVATE, false, HERE, &[], Change, Err("unauthenticated: a change has somebody's name")),
            (PRIVATE, false, HERE, &[ANN], Change, Ok("ann")),
            (PRIVATE, false, HERE, &[("x-platform-actor", " ")], Change, Err("a name is 1 to 64")),
            (PRIVATE, false, HERE, &[("x-platform-actor", "Platform")], Change, Err("your own name")),
            (PRIVATE, false, HERE, &[BOB], Change, Ok("bob")),
            (PRIVATE, false, HERE, &[BAD], Read, Err("no token is known here")),
            (PRIVATE, true, HERE, &[BAD, ANN], Change, Err("this token is not in `admin.token_file`")),
            (PRIVATE, true, HERE, &[BOB, ANN], Change, Ok("bob")),
            // Through a proxy on this machine, the sender is somewhere else.
            (PRIVATE, false, HERE, &[VIA], Read, Err("a forwarded request needs a token")),
            (PRIVATE, true, HERE, &[VIA, BOB], Change, Ok("bob")),
            // A public one without tokens shows health and metrics, to this machine too.
            (PUBLIC, false, HERE, &[], Read, Err("it only shows health and metrics")),
            (PUBLIC, false, HERE, &[ANN], Change, Err("forbidden: this listener (0.0.0.0:9464)")),
            (PUBLIC, false, AWAY, &[BOB], Read, Err("it only shows health and metrics")),
            // With tokens, another machine needs one and this one does not.
            (PUBLIC, true, AWAY, &[], Read, Err("unauthenticated: another machine needs a token")),
            (PUBLIC, true, AWAY, &[ANN], Change, Err("another machine needs a token")),
            (PUBLIC, true, AWAY, &[BASIC], Read, Err("only tokens are known here")),
            (PUBLIC, true, AWAY, &[BAD], Change, Err("this token is not in")),
            (PUBLIC, true, AWAY, &[("authorization", "bearer  s3cret ")], Read, Ok("bob")),
            (PUBLIC, true, AWAY, &[BOB], Change, Ok("bob")),
            (PUBLIC, true, HERE, &[ANN], Change, Ok("ann")),
        ];
        for (listen, has_tokens, peer, headers, right, expected) in cases {
            let case = format!("{listen} tokens={has_tokens} {peer} {headers:?} {right:?}");
            match (ask(&door(listen, has_tokens), peer, headers, right), expected) {
                (Ok(who), Ok(expected)) => assert_eq!(who, expected, "{case}"),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{case}: {error}");
                }
                (decided, expected) => panic!("{case}: {decided:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn a_certificate_is_a_name_and_no_proxys() {
        let with = |peers: &[&str], has_tokens| Door {
            peers: peers.iter().map(ToString::to_string).collect(),
            secure: true,
            ..door(PUBLIC, has_tokens)
        };
        let ann = "spiffe://shop/on-call/ann";
        let asked = |door: &Door, identity: Option<&str>, headers: &[(&'static str, &str)]| {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
                .collect();
            let (uri, identity) = (Uri::from_static("/platform/log"), identity.map(Identity::named));
            let caller = Caller::new(AWAY.parse().unwrap(), identity.as_ref(), &uri, &map);
            door.admit(&caller, Right::Change, |token| (token == b"s3cret").then(|| "bob".to_owned()))
                .map_err(|error| error.to_string())
        };
        let on_call = with(&["spiffe://shop/on-call/*"], true);
        assert_eq!(asked(&on_call, Some(ann), &[]).as_deref(), Ok(ann));
        assert_eq!(
            asked(&on_call, Some(ann), &[("x-platform-actor", "eve")]).as_deref(),
            Ok(ann),
            "nobody renames himself"
        );
        assert_eq!(asked(&on_call, Some(ann), &[("authorization", "Bearer s3cret")]).as_deref(), Ok("bob"));
        assert_eq!(
            asked(&on_call, Some(ann), &[("origin", "https://127.0.0.1"), ("host", "127.0.0.1")]).as_deref(),
            Ok(ann)
        );
        for (identity, headers, why) in [
            (Some("spiffe://shop/orders"), &[][..], "spiffe://shop/orders is not one of `admin.peers`"),
            (None, &[], "or a certificate that names one of `admin.peers`"),
            (Some(ann), &[("x-forwarded-for", "10.1.2.3")], "a forwarded request needs a token"),
            (Some(ann), &[("authorization", "Bearer guess")], "this token is not in"),
            (Some(ann), &[("origin", "https://attacker.example"), ("host", "127.0.0.1")], "is another site"),
            (Some(ann), &[("origin", "http://127.0.0.1"), ("host", "127.0.0.1")], "is another site"),
            (Some(ann), &[("origin", "null")], "is another site"),
        ] {
            let told = asked(&on_call, identity, headers).unwrap_err();
            assert!(told.contains(why), "{identity:?} {headers:?}: {told}");
        }
        assert!(
            asked(&with(&["spiffe://shop/on-call/*"], false), Some(ann), &[]).is_ok(),
            "no token is needed"
        );
        assert!(
            asked(&with(&[], false), Some(ann), &[])
                .unwrap_err()
                .contains("it only shows health and metrics")
        );
    }

    #[test]
    fn only_addresses_of_the_listener_are_hosts() {
        let known = [
            (PRIVATE, "localhost"),
            (PRIVATE, "LOCALHOST:9464"),
            (PRIVATE, "127.0.0.1:1"),
            (PRIVATE, "127.9.9.9"),
            (PRIVATE, "[::1]:9464"),
            (PRIVATE, "10.9.9.9:9464"),
            ("10.0.0.7:9464", "10.0.0.7:9464"),
            (PUBLIC, "192.168.1.2:9464"),
        ];
        let strange = [
            (PRIVATE, "attacker.example:9464"),
            (PRIVATE, "localhost.attacker.example"),
            (PRIVATE, "127.0.0.1.attacker.example"),
            (PRIVATE, "localhost@attacker.example"),
            (PRIVATE, "attacker.example@localhost"),
            (PRIVATE, "0.0.0.0:9464"),
            (PRIVATE, "10.0.0.8"),
            (PRIVATE, ""),
            (PRIVATE, "a b"),
            ("10.0.0.7:9464", "10.0.0.8:9464"),
            (PUBLIC, "orders.shop:9464"),
        ];
        for right in [Right::Open, Right::Read] {
            for (listen, host) in known {
                assert!(ask(&door(listen, true), HERE, &[("host", host)], right).is_ok(), "{listen} {host}");
            }
            for (listen, host) in strange {
                let refused = ask(&door(listen, true), HERE, &[("host", host)], right);
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::Forbidden, "{listen} {host}");
            }
        }
        let named = Door { name: "orders".to_owned(), ..door("10.0.0.7:9464", true) };
        assert!(ask(&named, HERE, &[("host", "orders:9464")], Right::Open).is_ok(), "a name of admin.listen");
        let two = [("host", "localhost"), ("host", "attacker.example")];
        assert!(ask(&door(PRIVATE, false), HERE, &two, Right::Open).is_err(), "the second host counts too");
    }

    #[test]
    fn the_host_of_the_request_line_counts_as_well() {
        let headers = HeaderMap::new();
        let uri = Uri::from_static("http://attacker.example:9464/platform/info");
        let caller = Caller::new(HERE.parse().unwrap(), None, &uri, &headers);
        assert!(door(PRIVATE, false).admit(&caller, Right::Open, |_| None).is_err());
    }

    #[test]
    fn only_its_own_pages_may_ask_from_a_browser() {
        let host = ("host", "localhost:9464");
        for (origin, fine) in [
            ("http://localhost:9464", true),
            ("http://LOCALHOST:9464", true),
            ("http://localhost:3000", false),
            ("https://localhost:9464", false),
            ("http://attacker.example", false),
            ("http://localhost:9464.attacker.example", false),
            ("null", false),
            ("", false),
        ] {
            for right in [Right::Open, Right::Read] {
                let decided = ask(&door(PRIVATE, false), HERE, &[host, ("origin", origin)], right);
                assert_eq!(decided.is_ok(), fine, "{origin}");
            }
        }
    }

    proptest! {
        /// Whatever a stranger from another machine writes, without a token it only reads what is open.
        #[test]
        fn no_header_lets_a_stranger_in(name in 0..5_usize, value in "[ -~]{0,40}") {
            let name = ["host", "origin", "authorization", "x-platform-actor", "x-forwarded-for"][name];
            prop_assume!(!value.contains("s3cret"));
            for right in [Right::Read, Right::Change] {
                prop_assert!(ask(&door(PUBLIC, true), AWAY, &[(name, &value)], right).is_err());
            }
        }
    }
}
