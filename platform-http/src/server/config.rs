//! What a connection may ask of us, and how long it may take.

use std::time::Duration;

use platform_core::{
    Error, Result,
    config::{duration, size},
};
use serde::{Deserialize, Serialize};

/// How much of everything: `server.limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a request's body; more is answered 413.
    #[serde(with = "size")]
    pub body: u64,
    /// Bytes of a request's line and headers; more is answered 431.
    #[serde(with = "size")]
    pub headers: u64,
    /// Header fields of a request; more is answered 431.
    pub header_fields: usize,
    /// Connections at once. At the limit nobody is turned away: the next one waits in the kernel's queue until
    /// a place is free, and idle connections give theirs up sooner.
    pub connections: u32,
}

/// How long: `server.times`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Times {
    /// From the first byte of a request to the last of its headers; for a new connection from its first moment.
    #[serde(with = "duration")]
    pub header: Duration,
    /// The longest wait for the peer to send the next byte of a body, or to take the next byte of a reply.
    #[serde(with = "duration")]
    pub body_idle: Duration,
    /// How long a connection without a request stays open.
    #[serde(with = "duration")]
    pub keep_alive: Duration,
    /// How old a connection grows before its peer is asked to open another; give or take a tenth. `None` is
    /// for ever.
    #[serde(with = "duration::or_none")]
    pub connection_age: Option<Duration>,
}

impl Limits {
    /// Refuses values that no server can work with.
    pub fn check(&self) -> Result<()> {
        if self.connections == 0 {
            return Err(refused("limits.connections is 0: nobody could connect"));
        }
        if self.header_fields == 0 {
            return Err(refused("limits.header_fields is 0: even `host` is a field"));
        }
        if self.headers < LEAST_HEADERS || self.headers > MOST_HEADERS {
            return Err(refused(format!(
                "limits.headers is {} bytes: choose 8KiB to 16MiB, so that an ordinary request fits and a \
                 hostile one cannot fill the memory",
                self.headers
            )));
        }
        Ok(())
    }
}

impl Times {
    /// Refuses values that no server can work with.
    pub fn check(&self) -> Result<()> {
        let all = [
            ("header", self.header),
            ("body_idle", self.body_idle),
            ("keep_alive", self.keep_alive),
            ("connection_age", self.connection_age.unwrap_or(CONNECTION_AGE)),
        ];
        for (key, time) in all {
            if time.is_zero() {
                return Err(refused(format!("times.{key} is zero: every connection would end at once")));
            }
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { body: BODY, headers: HEADERS, header_fields: HEADER_FIELDS, connections: CONNECTIONS }
    }
}

impl Default for Times {
    fn default() -> Self {
        Times {
            header: HEADER,
            body_idle: BODY_IDLE,
            keep_alive: KEEP_ALIVE,
            connection_age: Some(CONNECTION_AGE),
        }
    }
}

fn refused(what: impl std::fmt::Display) -> Error {
    Error::config(format!("server.{what}"))
}

/// A JSON request is far smaller; an upload belongs to a route that streams.
const BODY: u64 = 8 * 1024 * 1024;
/// Cookies and tokens of a busy browser fit four times over.
const HEADERS: u64 = 64 * 1024;
/// Twice what proxies and browsers add together; also as many as are parsed without an allocation.
pub(super) const HEADER_FIELDS: usize = 100;
/// An idle connection costs about 10 KiB: 100 MiB when all are open, and well below usual file limits.
const CONNECTIONS: u32 = 10_000;
/// Headers fit into few packets: ten seconds survive several lost ones, and are short for who trickles bytes.
const HEADER: Duration = Duration::from_secs(10);
/// As long as a phone changes networks.
const BODY_IDLE: Duration = Duration::from_secs(30);
/// Longer than the 60 s that clients and load balancers keep theirs, so that the client closes first and no
/// request meets a closing connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Often enough that new instances get their share of long-lived connections, rare enough to cost nothing.
const CONNECTION_AGE: Duration = Duration::from_secs(600);
/// hyper's smallest buffer; also what a browser with a few cookies needs.
const LEAST_HEADERS: u64 = 8 * 1024;
/// The largest list an HTTP/2 peer can be told of is 4 GiB; this is past any use.
const MOST_HEADERS: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let (limits, times) = (Limits::default(), Times::default());
        limits.check().unwrap();
        times.check().unwrap();
        assert_eq!((limits.body, limits.headers), (8 << 20, 64 << 10));
        assert_eq!((limits.header_fields, limits.connections), (100, 10_000));
        assert_eq!((times.header.as_secs(), times.body_idle.as_secs()), (10, 30));
        assert_eq!((times.keep_alive.as_secs(), times.connection_age.unwrap().as_secs()), (75, 600));
    }

    #[test]
    fn values_that_cannot_work_are_refused_by_name() {
        let refusals = [
            Limits { connections: 0, ..Limits::default() }.check(),
            Limits { header_fields: 0, ..Limits::default() }.check(),
            Limits { headers: 10, ..Limits::default() }.check(),
            Times { header: Duration::ZERO, ..Times::default() }.check(),
            Times { body_idle: Duration::ZERO, ..Times::default() }.check(),
            Times { keep_alive: Duration::ZERO, ..Times::default() }.check(),
            Times { connection_age: Some(Duration::ZERO), ..Times::default() }.check(),
        ];
        let keys = [
            "server.limits.connections",
            "server.limits.header_fields",
            "server.limits.headers",
            "server.times.header",
            "server.times.body_idle",
            "server.times.keep_alive",
            "server.times.connection_age",
        ];
        for (refusal, key) in refusals.into_iter().zip(keys) {
            let told = refusal.unwrap_err().to_string();
            assert!(told.contains(key), "{told} names {key}");
        }
    }
}
