//! Every source of what a method has of its own, and which one wins.

use std::{collections::BTreeSet, time::Duration};

use platform_core::{
    Error, Result,
    config::{Config, Refusal, Rules, duration},
    stack::{ClientPolicy, MethodPolicy},
};
use platform_http::client::Making;
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::{Codes, service_config::ServiceConfig};
use crate::methods::{Methods, StreamLimits};

/// What one method has of its own: `[clients.NAME.methods."film.Ratings/Get"]`, or of all methods of a service
/// `"film.Ratings/*"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MethodSettings {
    /// It may be done twice without harm; what the proto says if nobody else does.
    pub idempotent: bool,
    /// The codes that are repeated, and no others; without any, what a code means decides.
    pub retry_codes: Codes,
    /// The longest that its stream of answers may last after the head, the caller's own deadline apart; `None`
    /// (`"none"`) is no limit.
    #[serde(with = "duration::or_none")]
    pub stream_timeout: Option<Duration>,
    /// The longest that nothing may come of it; the same.
    #[serde(with = "duration::or_none")]
    pub stream_idle: Option<Duration>,
    /// Its calls wait for somebody to ask as long as their deadline allows, and not only `balance.set.empty_wait`
    /// ([`WaitForReady`](crate::channel::WaitForReady)).
    pub wait_for_ready: bool,
    /// Limits of time, and what follows a failure.
    pub policy: MethodPolicy,
}

impl Rules for MethodSettings {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals: Vec<_> =
            self.policy.refusals().into_iter().map(|refusal| refusal.under("policy")).collect();
        for (key, limit) in [("stream_timeout", self.stream_timeout), ("stream_idle", self.stream_idle)] {
            if limit.is_some_and(|limit| limit.is_zero()) {
                let why = "is 0ms, in which no stream can say anything; write \"none\" to lift the limit";
                refusals.push(Refusal::new(key, why));
            }
        }
        refusals
    }
}

/// Changes by the code, with the name they are for.
pub(in crate::channel) type Edits = Vec<(String, Box<dyn Fn(&mut MethodSettings) + Send>)>;

/// What is wanted of single methods, before any of it is read.
#[derive(Default)]
pub(in crate::channel) struct Wanted {
    pub(in crate::channel) service_config: ServiceConfig,
    pub(in crate::channel) edits: Edits,
}

/// One method, or what stands in for all of a service, or (both empty) for all there are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    service: String,
    method: String,
}

impl Wanted {
    /// The policy of each method that has one of its own; `known` learns what may be done with them.
    ///
    /// # Errors
    /// A name that is none, or not in the descriptors; a value that a section refuses.
    pub(in crate::channel) fn resolve(
        &self,
        making: &Making<'_>,
        known: &mut Methods,
    ) -> Result<Vec<(String, ClientPolicy)>> {
        let mut names = BTreeSet::new();
        let written = making.settings.methods.keys().map(|name| (name.as_str(), true));
        for (name, is_in_file) in written.chain(self.edits.iter().map(|(name, _)| (name.as_str(), false))) {
            let place = if is_in_file { "methods" } else { "code" };
            let refused = |why| Error::config(format!("[{}]: {place} \"{name}\" {why}", making.section));
            let name = Name::parse(name).map_err(refused)?;
            name.check(known).map_err(refused)?;
            names.insert(name);
        }
        names.extend(self.service_config.names().map(|(service, method)| Name::new(service, method)));
        names.extend(known.keys().filter_map(|path| Name::parse(path).ok()));

        let client = making.settings.policy;
        let mut policies = Vec::new();
        for name in names {
            let path = name.path();
            let mut method = known.get(&path).copied().unwrap_or_default();
            let base = MethodSettings {
                idempotent: method.idempotent,
                retry_codes: Codes::NONE,
                stream_timeout: None,
                stream_idle: None,
                wait_for_ready: false,
                policy: client.of_methods(),
            };
            let own = self.own(&name, base, making)?;
            if own == base {
                continue;
            }
            method.codes = own.retry_codes;
            method.stream = StreamLimits { whole: own.stream_timeout, idle: own.stream_idle };
            method.waits = own.wait_for_ready;
            // A lost connection is UNAVAILABLE to gRPC.
            method.idempotent = own.idempotent || own.retry_codes.contain(Code::Unavailable);
            let policy = client.for_method(&own.policy);
            known.insert(path.clone(), method);
            policies.push((path, policy));
        }
        Ok(policies)
    }

    /// What counts for `name`: of each source first what is said of the service, then of the method.
    fn own(&self, name: &Name, base: MethodSettings, making: &Making<'_>) -> Result<MethodSettings> {
        let mut own = base;
        if let Some(policy) = self.service_config.of(&name.service, &name.method) {
            policy.apply(&mut own);
        }
        let wide = Name::new(&name.service, "");
        let scopes = if *name == wide { vec![&wide] } else { vec![&wide, name] };
        for scope in &scopes {
            for (_, edit) in self.edits.iter().filter(|(named, _)| Name::parse(named).as_ref() == Ok(*scope))
            {
                let before = own.policy;
                edit(&mut own);
                own.policy = fitted(own.policy, before.attempt_timeout != own.policy.attempt_timeout);
            }
        }
        for scope in scopes {
            let written = scope.written();
            if making.settings.methods.contains_key(&written) {
                // A name has no quotes in it, see `Name::parse`.
                own = read(making.app.config(), &format!("{}.methods.\"{written}\"", making.section), own)?;
            }
        }
        Ok(own)
    }
}

/// What the section at `path` makes of `base`.
fn read(config: &Config, path: &str, base: MethodSettings) -> Result<MethodSettings> {
    let mut own: MethodSettings = config.overlay(&base, path)?;
    let says_attempt = config.has(&format!("{path}.policy.attempt_timeout"));
    let policy = fitted(own.policy, says_attempt);
    if policy != own.policy {
        // Read once more, so that what is shown is what counts.
        own = config.overlay(&MethodSettings { policy, ..own }, path)?;
    }
    config.check(path, &own)?;
    Ok(own)
}

/// Whoever only shortens the whole call has shortened its attempts with it.
fn fitted(mut policy: MethodPolicy, says_attempt: bool) -> MethodPolicy {
    if let (false, Some(whole), Some(attempt)) = (says_attempt, policy.timeout, policy.attempt_timeout) {
        policy.attempt_timeout = Some(attempt.min(whole));
    }
    policy
}

impl Name {
    fn new(service: &str, method: &str) -> Self {
        Name { service: service.to_owned(), method: method.to_owned() }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let is_word = |word: &str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
        };
        match text.split_once('/') {
            Some((service, "*")) if is_word(service) => Ok(Name::new(service, "")),
            Some((service, method)) if is_word(service) && is_word(method) => Ok(Name::new(service, method)),
            _ => {
                Err("is no method; write \"film.Ratings/Get\", or \"film.Ratings/*\" for a whole service"
                    .into())
            }
        }
    }

    /// Is it there? Nobody knows without descriptors.
    fn check(&self, known: &Methods) -> Result<(), String> {
        if known.is_empty() || known.contains_key(&self.path()) {
            return Ok(());
        }
        let of_service = |path: &&String| path.split_once('/').is_some_and(|(name, _)| name == self.service);
        let mut there: Vec<&str> = known.keys().filter(of_service).map(String::as_str).collect();
        if self.method.is_empty() && !there.is_empty() {
            return Ok(());
        }
        if there.is_empty() {
            there.extend(known.keys().map(String::as_str));
        }
        there.sort_unstable();
        there.truncate(MOST_TOLD);
        Err(format!("is not in the channel's descriptors; there is {}", there.join(", ")))
    }

    /// As methods are found by: `film.Ratings/Get`, `film.Ratings` for all others of it, nothing for all others.
    fn path(&self) -> String {
        let slash = if self.method.is_empty() { "" } else { "/" };
        format!("{}{slash}{}", self.service, self.method)
    }

    fn written(&self) -> String {
        format!("{}/{}", self.service, if self.method.is_empty() { "*" } else { &self.method })
    }
}

/// So many names help; more are a page.
const MOST_TOLD: usize = 12;
