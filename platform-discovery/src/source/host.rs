//! Endpoints that are the addresses of a host.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::stream;
use platform_core::{Error, ErrorKind, Result};
use tokio::{net::lookup_host, time};

use crate::{
    endpoint::Endpoint,
    pause,
    resolve::{Resolve, Snapshot, Snapshots},
    source::said::Said,
    target::{Place, Target},
};

/// The addresses that the system's resolver knows for the host of an `http://` or `https://` target.
///
/// Asked again every 30 s, because the system does not say how long an answer holds; every 5 s while it fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host;

impl Resolve for Host {
    fn resolve(&self, target: &Target) -> Snapshots {
        let Place::Host { host, port, .. } = target.place() else {
            let error = Error::new(ErrorKind::Internal, format!("{target} holds no host"));
            return Box::pin(stream::iter([Err(error)]));
        };
        let look = Look { host: Arc::clone(host), port: *port, pause: Duration::ZERO, said: Said::default() };
        Box::pin(stream::unfold(look, |mut look| async {
            time::sleep(look.pause).await;
            let answer = look.again().await;
            look.pause = if answer.is_ok() { pause::around(EVERY, fastrand::f64()) } else { RETRY };
            Some((answer, look))
        }))
    }

    fn is_remembered(&self) -> bool {
        true
    }

    fn describe(&self, _target: &Target) -> String {
        "the system's resolver".to_owned()
    }
}

struct Look {
    host: Arc<str>,
    port: u16,
    pause: Duration,
    said: Said,
}

impl Look {
    async fn again(&mut self) -> Result<Snapshot> {
        let found = match time::timeout(LIMIT, lookup_host((&*self.host, self.port))).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(self.failed("does not resolve").with_source(error)),
            Err(_) => return Err(self.failed(&format!("did not resolve within {LIMIT:?}"))),
        };
        let mut found: Vec<SocketAddr> = found.collect();
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            return Err(self.failed("has no address"));
        }
        Ok(self.said.say(found.into_iter().map(Endpoint::at).collect(), 0))
    }

    fn failed(&self, how: &str) -> Error {
        Error::new(ErrorKind::Unreachable, format!("the host {} {how}", self.host))
    }
}

/// The usual time to live of records that are meant to change.
const EVERY: Duration = Duration::from_secs(30);
/// Resolvers answer a failure from their own memory for about as long.
const RETRY: Duration = Duration::from_secs(5);
/// The resolver's own first limit; behind it wait retries that nobody has time for.
const LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;

    #[tokio::test(start_paused = true)]
    async fn an_address_resolves_to_itself_again_and_again() {
        let target = Target::parse("http://127.0.0.1:8080").unwrap();
        let mut answers = Host.resolve(&target);
        let first = answers.next().await.unwrap().unwrap();
        assert_eq!(first.found()[0].endpoint.address, "127.0.0.1:8080".parse().unwrap());
        let begun = time::Instant::now();
        let second = answers.next().await.unwrap().unwrap();
        assert!(Arc::ptr_eq(first.found(), second.found()), "nothing changed");
        let waited = begun.elapsed().as_secs_f64();
        assert!((27.0..=33.1).contains(&waited), "{waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_exist_is_an_error_and_no_empty_set() {
        // RFC 6761: names under `invalid` never resolve, and resolvers know it without asking anyone.
        let target = Target::parse("http://nobody.invalid").unwrap();
        let mut answers = Host.resolve(&target);
        for _ in 0..2 {
            let error = answers.next().await.unwrap().unwrap_err();
            assert!(error.detail().contains("nobody.invalid"), "{error}");
        }
    }
}
