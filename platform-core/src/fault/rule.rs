//! Rule: which calls go wrong, how, and until when.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{abort::Abort, rule_set::CONSENT};
use crate::{
    config::{Name, Ratio},
    context::Context,
    error::{Error, ErrorKind, Result},
};

/// What is done to a call: a delay, then an abort, each for its own share of calls.
///
/// As text, which flags, headers and operators write: `abort=503`, `delay=500ms,share=20%`, `error=100%`; see
/// [`FromStr`](std::str::FromStr).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    pub(super) delay: Option<Duration>,
    pub(super) abort: Option<Abort>,
    pub(super) delay_share: Ratio,
    pub(super) abort_share: Ratio,
}

/// Which calls of which target go wrong, how, and until when.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub(super) name: Arc<str>,
    pub(super) target: Arc<str>,
    pub(super) endpoint: Option<Arc<str>>,
    pub(super) zone: Option<Arc<str>>,
    pub(super) effect: Effect,
    pub(super) scope: Scope,
    pub(super) max_active: u32,
    pub(super) until: Instant,
}

/// Whose calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    #[default]
    All,
    /// Only those of requests that named the target in their fault scope; `payments:` names it and asks for no
    /// fault of its own.
    Consent,
}

impl Effect {
    /// Waits before anything is sent.
    pub fn delay(delay: Duration) -> Self {
        Effect { delay: Some(delay), ..Effect::none() }
    }

    /// Answers in the dependency's place.
    pub fn abort(abort: Abort) -> Self {
        Effect { abort: Some(abort), ..Effect::none() }
    }

    /// Answers in the dependency's place, after the delay if both are drawn.
    #[must_use]
    pub fn then_abort(self, abort: Abort) -> Self {
        Effect { abort: Some(abort), ..self }
    }

    /// Both for this share of calls, by a draw each.
    #[must_use]
    pub fn share(self, share: Ratio) -> Self {
        Effect { delay_share: share, abort_share: share, ..self }
    }

    /// Delays this share of calls.
    #[must_use]
    pub fn delay_share(self, share: Ratio) -> Self {
        Effect { delay_share: share, ..self }
    }

    /// Aborts this share of calls.
    #[must_use]
    pub fn abort_share(self, share: Ratio) -> Self {
        Effect { abort_share: share, ..self }
    }

    pub(super) const fn none() -> Self {
        Effect { delay: None, abort: None, delay_share: Ratio::ONE, abort_share: Ratio::ONE }
    }

    /// Why it cannot be meant.
    pub(super) fn refusal(&self) -> Option<String> {
        if self.delay.is_some_and(|delay| delay > LONGEST_DELAY) {
            return Some("delay: longer than 10m, and no call waits that long; write 10m or less".to_owned());
        }
        let delays = self.delay.is_some_and(|delay| !delay.is_zero()) && self.delay_share != Ratio::ZERO;
        let aborts = self.abort.is_some() && self.abort_share != Ratio::ZERO;
        (!delays && !aborts).then(|| {
            "it would do nothing; write a delay (500ms), an abort (503) or both, and a share above 0"
                .to_owned()
        })
    }

    /// What these draws mean: a delay, an abort.
    pub(super) fn draw(&self, [delay, abort]: [u64; 2]) -> (Option<Duration>, Option<Abort>) {
        let delay = self.delay.filter(|length| !length.is_zero() && hits(delay, self.delay_share));
        (delay, self.abort.filter(|_| hits(abort, self.abort_share)))
    }
}

impl Rule {
    /// Does `effect` to every call of `target` until `until`, which is a day away at most. The name is a label and
    /// on the canonical line.
    pub fn new(name: &str, target: &str, effect: Effect, until: Instant) -> Self {
        Rule {
            name: Arc::from(name),
            target: Arc::from(target),
            endpoint: None,
            zone: None,
            effect,
            scope: Scope::All,
            max_active: DEFAULT_MAX_ACTIVE,
            until,
        }
    }

    /// Only at this endpoint: `10.0.0.7:8080`.
    #[must_use]
    pub fn endpoint(self, address: &str) -> Self {
        Rule { endpoint: Some(Arc::from(address)), ..self }
    }

    /// Only at endpoints of this zone: a lost zone, in small.
    #[must_use]
    pub fn zone(self, zone: &str) -> Self {
        Rule { zone: Some(Arc::from(zone)), ..self }
    }

    /// For these requests only.
    #[must_use]
    pub fn scope(self, scope: Scope) -> Self {
        Rule { scope, ..self }
    }

    /// Not while so many faults are active in this process, whosever they are.
    #[must_use]
    pub fn max_active(self, max_active: u32) -> Self {
        Rule { max_active, ..self }
    }

    /// What it is called.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whose calls go wrong.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The only endpoint.
    pub fn only_endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// The only zone.
    pub fn only_zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// What is done.
    pub fn effect(&self) -> &Effect {
        &self.effect
    }

    /// Whose requests.
    pub fn whose(&self) -> Scope {
        self.scope
    }

    /// How many faults may be active.
    pub fn most_active(&self) -> u32 {
        self.max_active
    }

    /// How long it goes on.
    pub fn remaining(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }

    /// Is this call meant?
    pub(super) fn matches(
        &self,
        context: &Context,
        target: &str,
        endpoint: Option<&str>,
        zone: &str,
    ) -> bool {
        *self.target == *target
            && self.endpoint.as_deref().is_none_or(|only| endpoint == Some(only))
            && self.zone.as_deref().is_none_or(|only| zone == only)
            && (self.scope == Scope::All || context.faults().of(target).is_some())
    }

    /// Can it be meant? The error says what to write instead.
    pub(super) fn check(&self, now: Instant) -> Result<()> {
        let refuse = |why: String| Err(Error::new(ErrorKind::Invalid, why));
        if let Err(why) = Name::parse(&self.name) {
            return refuse(format!("name: {why}"));
        }
        if *self.name == *CONSENT {
            return refuse(format!("name: `{CONSENT}` is what requests ask for themselves; write another"));
        }
        if let Err(why) = Name::parse(&self.target) {
            return refuse(format!("target: {why}; it is the name of a client of this process"));
        }
        if let Some(endpoint) = self.endpoint.as_deref().filter(|text| text.parse::<SocketAddr>().is_err()) {
            return refuse(format!(
                "endpoint: {endpoint:?} is no address; write it as /platform/targets shows it, such as \
                 10.0.0.7:8080"
            ));
        }
        if self.zone.as_deref() == Some("") {
            return refuse("zone: it is empty; leave it out for every zone".to_owned());
        }
        if self.max_active == 0 {
            return refuse("max_active: 0 would inject nothing; write 1 or more".to_owned());
        }
        if self.is_over(now) || self.remaining(now) > LONGEST {
            return refuse("a fault has an end, later than now and at most 24h away".to_owned());
        }
        self.effect.refusal().map_or(Ok(()), refuse)
    }
}

/// Is this draw within the share? 53 bits, which a float holds exactly: 1 always hits and 0 never does.
fn hits(roll: u64, share: Ratio) -> bool {
    const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
    (roll >> 11) as f64 * SCALE < share.as_f64()
}

/// As in Envoy and gRPC: enough to be felt, too few to hold every task of a busy process.
pub const DEFAULT_MAX_ACTIVE: u32 = 100;
/// A fault that is forgotten is gone before the same shift comes again.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Twice the longest timeout of a preset: what is longer is a slip, and would outlive the kill switch.
pub const LONGEST_DELAY: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_always_and_nothing_never() {
        for roll in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(hits(roll, Ratio::ONE), "{roll}");
            assert!(!hits(roll, Ratio::ZERO), "{roll}");
        }
        assert!(hits(u64::MAX / 2 - 4096, Ratio::of(0.5)));
        assert!(!hits(u64::MAX / 2 + 4096, Ratio::of(0.5)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_meant_says_what_to_write() {
        let now = Instant::now();
        let down = Effect::abort(Abort::Unreachable);
        let hour = now + Duration::from_secs(3600);
        let rule = || Rule::new("pay-down", "payments", down, hour);
        for (rule, told) in [
            (Rule::new("Pay Down", "payments", down, hour), "did you mean `pay-down`"),
            (Rule::new("consent", "payments", down, hour), "write another"),
            (Rule::new("pay-down", "*", down, hour), "target: \"*\" is not a name"),
            (Rule::new("pay-down", "payments", down, now), "later than now"),
            (
                Rule::new("pay-down", "payments", down, now + LONGEST + Duration::from_millis(1)),
                "at most 24h",
            ),
            (Rule::new("pay-down", "payments", down.share(Ratio::ZERO), hour), "it would do nothing"),
            (Rule::new("pay-down", "payments", Effect::none(), hour), "write a delay (500ms)"),
            (Rule::new("pay-down", "payments", Effect::delay(Duration::ZERO), hour), "it would do nothing"),
            (
                Rule::new("pay-down", "payments", Effect::delay(Duration::from_secs(601)), hour),
                "write 10m or less",
            ),
            (rule().endpoint("payments-1"), "such as 10.0.0.7:8080"),
            (rule().zone(""), "leave it out"),
            (rule().max_active(0), "write 1 or more"),
        ] {
            let error = rule.check(now).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.detail().contains(told), "{error}");
        }
        rule().endpoint("10.0.0.7:8080").zone("a").scope(Scope::Consent).max_active(1).check(now).unwrap();
        Rule::new("pay-down", "payments", down, now + LONGEST).check(now).unwrap();
    }
}
