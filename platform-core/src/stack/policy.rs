//! Policies: plain data, a field per room.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Guarding, describe::Shown as _};
use crate::{
    admission::{breaker, bulkhead, concurrency, line, rate_limit, shed, throttle},
    config::{Config, Mode, Ratio, Refusal, Rules, duration},
    error::Result,
    recovery::{BudgetConfig, Hedge, Recovery, Retry},
};

/// What protects the calls to one target: `[clients.NAME.policy]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientPolicy {
    /// The whole call, repeats and waits included; the caller's own deadline may be nearer. `None` (`"none"`)
    /// lifts the limit.
    #[serde(with = "duration::or_none")]
    pub timeout: Option<Duration>,
    /// Each attempt; at most `timeout`. `None` (`"none"`) leaves an attempt all that is left of the call.
    #[serde(with = "duration::or_none")]
    pub attempt_timeout: Option<Duration>,
    /// What is done when an attempt fails.
    pub recovery: Recovery,
    /// Repeats after a failure.
    pub retry: Retry,
    /// A second attempt beside a slow one.
    pub hedge: Hedge,
    /// What repeats and hedges may cost together.
    pub budget: BudgetConfig,
    /// Is it worth sending at all?
    pub throttle: throttle::Config,
    /// How often the target may be called.
    pub rate_limit: rate_limit::Config,
    /// How much of us the target may hold.
    pub bulkhead: bulkhead::Config,
    /// Is the target worth asking?
    pub breaker: breaker::Config,
    /// How much the target can bear.
    pub concurrency: concurrency::Config,
}

/// What one method of a target may have of its own: the limits of time and what follows a failure. Guards and budgets
/// are the target's, whichever method is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MethodPolicy {
    /// As [`ClientPolicy::timeout`].
    #[serde(with = "duration::or_none")]
    pub timeout: Option<Duration>,
    /// As [`ClientPolicy::attempt_timeout`].
    #[serde(with = "duration::or_none")]
    pub attempt_timeout: Option<Duration>,
    /// What is done when an attempt fails.
    pub recovery: Recovery,
    /// Repeats after a failure.
    pub retry: Retry,
    /// When a second attempt goes beside a slow one.
    pub hedge: MethodHedge,
}

/// When a second attempt goes beside a slow one; what all of them may cost is the target's `hedge.extra`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MethodHedge {
    /// How much it may do.
    pub mode: Mode,
    /// Slower than this share of the target's recent calls is slow; 0.5 to 0.999.
    pub quantile: Ratio,
    /// Nothing is called slow sooner.
    #[serde(with = "duration")]
    pub min_delay: Duration,
}

/// What protects a server: `[server.policy]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerPolicy {
    /// The longest that a request may take whose caller names no limit; else the smaller counts. `None`
    /// (`"none"`) lifts the limit.
    #[serde(with = "duration::or_none")]
    pub timeout: Option<Duration>,
    /// Work for which nobody waits any more.
    pub expired: Expired,
    /// How much can be borne at a time, and how long a request waits for its turn.
    pub concurrency: line::Config,
    /// What goes first when not all can stay.
    pub shed: shed::Config,
    /// Whether tenants that ask for more than others go before that.
    pub fair_share: shed::FairShare,
    /// How often each tenant may ask.
    pub rate_limit: rate_limit::PerTenant,
}

/// What is done with work for which nobody waits any more: `[server.policy.expired]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expired {
    /// How much it may do.
    pub mode: Mode,
}

/// What protects one class of a server's requests: `[server.classes.NAME.policy]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassPolicy {
    /// As the server's own.
    #[serde(with = "duration::or_none")]
    pub timeout: Option<Duration>,
    /// How much of this class can be borne at a time, and how long a request waits for its turn.
    pub concurrency: line::Config,
}

impl Default for ClientPolicy {
    fn default() -> Self {
        ClientPolicy {
            timeout: Some(TIMEOUT),
            attempt_timeout: Some(ATTEMPT_TIMEOUT),
            recovery: Recovery::default(),
            retry: Retry::default(),
            hedge: Hedge::default(),
            budget: BudgetConfig::default(),
            throttle: throttle::Config::default(),
            rate_limit: rate_limit::Config::default(),
            bulkhead: bulkhead::Config::default(),
            breaker: breaker::Config::default(),
            concurrency: concurrency::Config::default(),
        }
    }
}

impl ClientPolicy {
    /// Refuses what contradicts itself.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), saying which values and what to do.
    pub fn check(&self) -> Result<()> {
        Config::default().check("policy", self)
    }

    /// Without any guard and without repeats: what is left is the two limits. For tests, and for who brings a
    /// stack of their own.
    #[must_use]
    pub fn bare() -> Self {
        let mut policy = ClientPolicy { recovery: Recovery::None, ..ClientPolicy::default() };
        policy.throttle.mode = Mode::Off;
        policy.rate_limit.mode = Mode::Off;
        policy.bulkhead.mode = Mode::Off;
        policy.breaker.mode = Mode::Off;
        policy.concurrency.mode = Mode::Off;
        policy
    }

    /// Who only shortens the whole call has shortened its attempts with it. Says whether it had to.
    pub(super) fn fit(&mut self) -> bool {
        let (Some(whole), Some(attempt)) = (self.timeout, self.attempt_timeout) else { return false };
        self.attempt_timeout = Some(attempt.min(whole));
        attempt > whole
    }

    /// Do both want the same of the guards? Then they may share them.
    pub(super) fn guards_alike(&self, other: &ClientPolicy) -> bool {
        let of = |one: &ClientPolicy| {
            (
                one.budget,
                one.hedge.extra,
                one.throttle,
                one.rate_limit,
                one.bulkhead,
                one.breaker,
                one.concurrency,
            )
        };
        of(self) == of(other)
    }

    /// What this says of the guards, and the other one of all else.
    pub(super) fn with_rest_of(self, other: &ClientPolicy) -> Self {
        let ClientPolicy { timeout, attempt_timeout, recovery, retry, .. } = *other;
        // What all hedges may cost is a guard's business; when one is sent is each client's.
        let hedge = Hedge { extra: self.hedge.extra, ..other.hedge };
        ClientPolicy { timeout, attempt_timeout, recovery, retry, hedge, ..self }
    }

    /// The part of it that a single method may have of its own.
    pub fn of_methods(&self) -> MethodPolicy {
        let ClientPolicy { timeout, attempt_timeout, recovery, retry, hedge, .. } = *self;
        let Hedge { mode, quantile, min_delay, .. } = hedge;
        let hedge = MethodHedge { mode, quantile, min_delay };
        MethodPolicy { timeout, attempt_timeout, recovery, retry, hedge }
    }

    /// This policy for one method: with what that has of its own, under the guards of all.
    #[must_use]
    pub fn for_method(self, own: &MethodPolicy) -> Self {
        let MethodPolicy { timeout, attempt_timeout, recovery, retry, hedge } = *own;
        let MethodHedge { mode, quantile, min_delay } = hedge;
        let hedge = Hedge { mode, quantile, min_delay, ..self.hedge };
        ClientPolicy { timeout, attempt_timeout, recovery, retry, hedge, ..self }
    }

    /// What differs from `other`, as it would be written in a file: `retry.max_attempts=2 timeout=300ms`; empty where
    /// nothing does.
    pub fn differences(&self, other: &ClientPolicy) -> String {
        let leaves = |policy: &ClientPolicy| {
            let mut leaves = BTreeMap::new();
            // A policy made in code may be finer than a file can say; then there is nothing to compare.
            collect("", serde_json::to_value(policy).unwrap_or_default(), &mut leaves);
            leaves
        };
        let (own, theirs) = (leaves(self), leaves(other));
        let differing = own.iter().filter(|(key, value)| theirs.get(*key) != Some(*value));
        differing.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    }
}

impl Rules for ClientPolicy {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = positive("timeout", self.timeout);
        // Who shortens the call to nothing has shortened its attempts with it, and made one mistake.
        if refusals.is_empty() {
            refusals.extend(positive("attempt_timeout", self.attempt_timeout));
        }
        if let (Some(whole), Some(attempt)) = (self.timeout, self.attempt_timeout)
            && attempt > whole
        {
            let why = format!(
                "is {}, longer than the whole call ({}), so no attempt could ever use it; lower it or raise \
                 `timeout`",
                attempt.shown(),
                whole.shown()
            );
            refusals.push(Refusal::new("attempt_timeout", why).and("timeout"));
        }
        let rooms: [(&str, &dyn Rules); 8] = [
            ("retry", &self.retry),
            ("hedge", &self.hedge),
            ("budget", &self.budget),
            ("throttle", &self.throttle),
            ("rate_limit", &self.rate_limit),
            ("bulkhead", &self.bulkhead),
            ("breaker", &self.breaker),
            ("concurrency", &self.concurrency),
        ];
        for (name, room) in rooms {
            refusals.extend(room.refusals().into_iter().map(|refusal| refusal.under(name)));
        }
        refusals
    }
}

impl Default for MethodPolicy {
    fn default() -> Self {
        ClientPolicy::default().of_methods()
    }
}

impl Default for MethodHedge {
    fn default() -> Self {
        MethodPolicy::default().hedge
    }
}

impl Rules for MethodPolicy {
    fn refusals(&self) -> Vec<Refusal> {
        ClientPolicy::default().for_method(self).refusals()
    }
}

impl Default for ServerPolicy {
    fn default() -> Self {
        ServerPolicy {
            timeout: Some(SERVER_TIMEOUT),
            expired: Expired::default(),
            concurrency: line::Config::default(),
            shed: shed::Config::default(),
            fair_share: shed::FairShare::default(),
            rate_limit: rate_limit::PerTenant::default(),
        }
    }
}

impl Default for Expired {
    fn default() -> Self {
        Expired { mode: Mode::Enforce }
    }
}

impl Default for ClassPolicy {
    fn default() -> Self {
        ClassPolicy { timeout: Some(SERVER_TIMEOUT), concurrency: line::Config::default() }
    }
}

impl ServerPolicy {
    /// The mode that is set for a guard.
    pub(super) fn mode(&self, guard: Guarding) -> Mode {
        match guard {
            Guarding::Expired => self.expired.mode,
            Guarding::RateLimit => self.rate_limit.mode,
            Guarding::FairShare => self.fair_share.mode,
            Guarding::Shed => self.shed.mode,
            Guarding::Concurrency => self.concurrency.mode,
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), saying which value and what to do.
    pub fn check(&self) -> Result<()> {
        Config::default().check("policy", self)
    }
}

impl Rules for ServerPolicy {
    fn refusals(&self) -> Vec<Refusal> {
        let rooms: [(&str, &dyn Rules); 3] =
            [("concurrency", &self.concurrency), ("shed", &self.shed), ("rate_limit", &self.rate_limit)];
        let rooms = rooms
            .into_iter()
            .flat_map(|(name, room)| room.refusals().into_iter().map(move |refusal| refusal.under(name)));
        positive("timeout", self.timeout).into_iter().chain(rooms).collect()
    }
}

impl Rules for ClassPolicy {
    fn refusals(&self) -> Vec<Refusal> {
        let concurrency = self.concurrency.refusals();
        let concurrency = concurrency.into_iter().map(|refusal| refusal.under("concurrency"));
        positive("timeout", self.timeout).into_iter().chain(concurrency).collect()
    }
}

/// The values in `value` under their dotted keys.
fn collect(key: &str, value: Value, into: &mut BTreeMap<String, String>) {
    let dot = if key.is_empty() { "" } else { "." };
    match value {
        Value::Object(fields) => {
            fields.into_iter().for_each(|(name, value)| collect(&format!("{key}{dot}{name}"), value, into));
        }
        Value::String(text) => drop(into.insert(key.to_owned(), text)),
        other => drop(into.insert(key.to_owned(), other.to_string())),
    }
}

fn positive(key: &str, length: Option<Duration>) -> Vec<Refusal> {
    let zero = length.is_some_and(|length| length.is_zero());
    let refusal =
        || Refusal::new(key, "is 0ms and would refuse every request; write \"none\" to lift the limit");
    zero.then(refusal).into_iter().collect()
}

/// Longer than people wait for a page, shorter than a caller's own patience with a dependency; a third of
/// [`SERVER_TIMEOUT`], so that a handler can still answer when a dependency was silent.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Three attempts fit into [`TIMEOUT`]: one silent instance costs a delay and not the answer.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// For callers that say nothing: browsers and proxies give up after 30 to 60 s, and work that nobody waits
/// for any more is waste.
pub const SERVER_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_policy_that_contradicts_itself_is_refused_with_both_values() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let table = [
            (ms(800), ms(250), None),
            (ms(800), ms(800), None),
            (ms(800), None, None),
            (None, ms(250), None),
            (None, None, None),
            (ms(800), ms(801), Some(["`policy.attempt_timeout` is 801ms", "the whole call (800ms)"])),
            (ms(0), None, Some(["`policy.timeout` is 0ms", "\"none\""])),
            (ms(800), ms(0), Some(["`policy.attempt_timeout` is 0ms", "\"none\""])),
        ];
        for (timeout, attempt_timeout, refused) in table {
            let answer = ClientPolicy { timeout, attempt_timeout, ..ClientPolicy::default() }.check();
            match refused {
                None => assert!(answer.is_ok(), "{timeout:?} {attempt_timeout:?}"),
                Some(words) => {
                    let error = answer.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Config);
                    assert!(words.iter().all(|word| error.detail().contains(word)), "{error}");
                }
            }
        }
    }

    #[test]
    fn the_defaults_agree_with_themselves() {
        assert!(ClientPolicy::default().check().is_ok());
        assert!(ServerPolicy::default().check().is_ok());
    }

    #[test]
    fn a_policy_is_written_and_read_as_in_a_file() {
        let policy: ClientPolicy = serde_json::from_str(r#"{"timeout":"none"}"#).unwrap();
        assert_eq!((policy.timeout, policy.attempt_timeout), (None, Some(ATTEMPT_TIMEOUT)));
        let written = serde_json::to_value(policy).unwrap();
        assert_eq!((&written["timeout"], &written["attempt_timeout"]), (&"none".into(), &"3s".into()));
        assert_eq!(serde_json::from_value::<ClientPolicy>(written).unwrap(), policy);
        assert!(serde_json::from_str::<ClientPolicy>(r#"{"timeuot":"1s"}"#).is_err());
    }

    #[test]
    fn a_method_has_limits_and_repeats_of_its_own_and_the_guards_of_all() {
        let client = ClientPolicy::default();
        assert_eq!(client.for_method(&client.of_methods()), client);
        let mut own = client.of_methods();
        own.timeout = Some(Duration::from_millis(300));
        own.attempt_timeout = own.timeout;
        own.recovery = Recovery::Hedge;
        own.retry.max_attempts = 2;
        own.hedge.min_delay = Duration::from_millis(20);
        let policy = client.for_method(&own);
        assert!(policy.guards_alike(&client));
        assert_eq!(policy.of_methods(), own);
        assert_eq!(
            policy.differences(&client),
            "attempt_timeout=300ms hedge.min_delay=20ms recovery=hedge retry.max_attempts=2 timeout=300ms"
        );
        assert_eq!(client.differences(&client), "");
        own.attempt_timeout = Some(Duration::from_secs(1));
        assert_eq!(own.refusals().len(), 1, "longer than the whole call");
        assert!(serde_json::from_str::<MethodPolicy>(r#"{"breaker":{}}"#).is_err());
    }
}
