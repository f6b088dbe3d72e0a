//! Endpoints that Consul knows.
//!
//! Its agent is asked for the health of a service and holds the question until something changes, so that a change
//! is seen at once and a quiet service costs a question a minute.
//!
//! | Consul says | we believe |
//! |---|---|
//! | passing, warning | ready, with the weight that is set for that |
//! | critical, maintenance, or `state = draining` in its meta | it takes no new calls, from now on |
//! | an instance is not there any more | as any that vanished: held for `removals.hold` unless it was draining |
//! | no leader, or an answer that is older than 5 s | nothing; the servers themselves are asked, not their copies |
//! | an empty list that a missing right has filtered | an error: a token that may read nothing has no services |

mod cursor;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::stream;
use http::Method;
use platform_core::{Error, ErrorKind, Result};
use serde::de::IgnoredAny;
use tokio::time::{self, Instant};

use self::cursor::Cursor;
use crate::{
    config,
    consul::{self, Agent, Skipped},
    list::{self, List, Listing},
    pause,
    resolve::{Resolve, Snapshot, Snapshots},
    source::said::Said,
    target::{Place, Target},
};

/// The instances of a service in Consul's catalogue.
#[derive(Clone, Debug)]
pub struct Consul {
    agent: Agent,
}

impl Consul {
    /// The agent of this configuration; nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if a certificate cannot be read.
    pub fn of(config: &config::Consul) -> Result<Self> {
        Ok(Consul { agent: Agent::of(config)? })
    }
}

impl Resolve for Consul {
    fn resolve(&self, target: &Target) -> Snapshots {
        let Some((name, tag)) = wanted(target) else {
            let error = Error::new(ErrorKind::Internal, format!("{target} is no service in Consul"));
            return Box::pin(stream::iter([Err(error)]));
        };
        let follow = Follow {
            agent: self.agent.clone(),
            name: Arc::clone(name),
            tag: tag.cloned(),
            cursor: Cursor::default(),
            stale: true,
            failures: 0,
            next: Instant::now(),
            said: Said::default(),
            skipped: Vec::new(),
        };
        Box::pin(stream::unfold(follow, |mut follow| async move {
            let answer = follow.next().await;
            Some((answer, follow))
        }))
    }

    fn is_remembered(&self) -> bool {
        true
    }

    fn describe(&self, target: &Target) -> String {
        match wanted(target) {
            Some((name, None)) => format!("Consul, the service {name} by {}", self.agent),
            Some((name, Some(tag))) => format!("Consul, the service {name} with tag {tag} by {}", self.agent),
            None => "Consul".to_owned(),
        }
    }
}

impl List for Consul {
    fn services(&self) -> Listing {
        let agent = self.agent.clone();
        Box::pin(async move {
            let reply = agent.done(Method::GET, "/v1/catalog/services?stale", String::new()).await?;
            let services: BTreeMap<String, IgnoredAny> =
                serde_json::from_slice(&reply.body).map_err(|error| {
                    agent
                        .failed(ErrorKind::Unreachable, "answered with what is no list of services")
                        .with_source(error)
                })?;
            Ok(list::names(services.keys().map(String::as_str)))
        })
    }
}

fn wanted(target: &Target) -> Option<(&Arc<str>, Option<&Arc<str>>)> {
    match target.place() {
        Place::Registry(name) => Some((name, None)),
        Place::Consul { name, tag } => Some((name, tag.as_ref())),
        _ => None,
    }
}

/// What the one stream that asks knows.
struct Follow {
    agent: Agent,
    name: Arc<str>,
    tag: Option<Arc<str>>,
    cursor: Cursor,
    /// Whether any server's copy will do.
    stale: bool,
    failures: u32,
    /// Not before then.
    next: Instant,
    said: Said,
    /// Who made no sense in the last answer.
    skipped: Vec<Skipped>,
}

impl Follow {
    async fn next(&mut self) -> Result<Snapshot> {
        loop {
            time::sleep_until(self.next).await;
            let begun = Instant::now();
            match self.ask().await {
                Ok(Some(snapshot)) => {
                    self.failures = 0;
                    self.next = begun + GAP;
                    return Ok(snapshot);
                }
                // A copy that is too old: the servers themselves are asked, at once.
                Ok(None) => self.next = begun,
                Err(error) => {
                    self.cursor.lost();
                    self.failures = self.failures.saturating_add(1);
                    self.next = Instant::now() + pause::of_server(self.failures, fastrand::f64());
                    return Err(error);
                }
            }
        }
    }

    /// One question. `None` if the answer was too old to be believed.
    async fn ask(&mut self) -> Result<Option<Snapshot>> {
        let mut path = format!("/v1/health/service/{}?", self.name);
        if self.stale {
            path += "stale&";
        }
        if let Some(tag) = &self.tag {
            path += &format!("tag={tag}&");
        }
        let mut limit = AT_ONCE;
        if let Some(index) = self.cursor.index() {
            let wait = pause::around(WAIT, fastrand::f64()).as_secs();
            path += &format!("index={index}&wait={wait}s&");
            // Consul itself adds up to a sixteenth, so that not all come back together.
            limit = Duration::from_secs(wait) + Duration::from_secs(wait) / 16 + AT_ONCE;
        }
        let reply =
            self.agent.ask(Method::GET, path.trim_end_matches(['&', '?']), String::new(), limit).await?;
        if !reply.status.is_success() {
            return Err(self.agent.refused(&reply));
        }
        let too_old = reply.number("x-consul-lastcontact").is_some_and(|ms| ms > OLDEST_MS);
        if self.stale && (too_old || reply.is("x-consul-knownleader", "false")) {
            self.stale = false;
            self.cursor.lost();
            return Ok(None);
        }
        let index = reply.number("x-consul-index").ok_or_else(|| {
            self.agent.failed(ErrorKind::Unreachable, "answered without an index; is it Consul?")
        })?;
        let (endpoints, skipped) = consul::read(&reply.body).map_err(|error| {
            let how = "answered with what is no list of instances";
            self.agent.failed(ErrorKind::Unreachable, how).with_source(error)
        })?;
        if endpoints.is_empty() && skipped.is_empty() && reply.is("x-consul-results-filtered-by-acls", "true")
        {
            let how = format!(
                "hides the instances of {} from us; the token needs service:read and node:read",
                self.name
            );
            return Err(self.agent.failed(ErrorKind::Unreachable, &how));
        }
        self.stale = true;
        self.cursor.answered(index);
        self.leave_out(skipped);
        Ok(Some(self.said.say(endpoints, self.skipped.len())))
    }

    /// A line for each that is news; the same at every answer would only hide it.
    fn leave_out(&mut self, skipped: Vec<Skipped>) {
        for Skipped { id, why } in news(&self.skipped, &skipped) {
            tracing::warn!(
                service = %self.name, instance = id, why,
                "an instance in Consul makes no sense and is left out"
            );
        }
        self.skipped = skipped;
    }
}

/// Those that make no sense since this answer, or for another reason.
fn news<'a>(known: &[Skipped], skipped: &'a [Skipped]) -> Vec<&'a Skipped> {
    if known == skipped {
        return Vec::new();
    }
    let known: HashSet<(&str, &str)> = known.iter().map(|known| (&*known.id, &*known.why)).collect();
    skipped.iter().filter(|skipped| !known.contains(&(&*skipped.id, &*skipped.why))).collect()
}

/// A question a minute proves that a quiet service is still what it was, and that the agent is there.
const WAIT: Duration = Duration::from_secs(60);
/// What does not wait is answered within this.
const AT_ONCE: Duration = Duration::from_secs(10);
/// At most two answers a second: a busy catalogue changes more often than anybody needs to know.
const GAP: Duration = Duration::from_millis(500);
/// A copy that has not heard from the leader for so long is not believed.
const OLDEST_MS: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_says_whom_it_asks_for_what() {
        let consul = Consul::of(&config::Consul::default()).unwrap();
        let told = |text: &str| consul.describe(&Target::parse(text).unwrap());
        assert_eq!(told("catalog"), "Consul, the service catalog by the agent http://127.0.0.1:8500");
        assert!(told("consul://catalog?tag=v2").contains("the service catalog with tag v2 by"));
    }

    #[test]
    fn who_makes_no_sense_is_told_of_once_and_again_for_another_reason() {
        let skipped = |told: &[(&str, &str)]| -> Vec<Skipped> {
            told.iter().map(|(id, why)| Skipped { id: (*id).into(), why: (*why).into() }).collect()
        };
        let before = skipped(&[("a", "no IP"), ("b", "port 0")]);
        let count = |after: &[(&str, &str)]| news(&before, &skipped(after)).len();
        assert_eq!(news(&[], &before).len(), 2);
        assert_eq!(count(&[("a", "no IP"), ("b", "port 0")]), 0);
        assert_eq!((count(&[("b", "port 0")]), count(&[])), (0, 0), "one less is no news");
        assert_eq!(count(&[("a", "port 0"), ("b", "port 0"), ("c", "no IP")]), 2);
    }
}
