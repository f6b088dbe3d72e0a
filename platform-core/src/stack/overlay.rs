//! Overlays: what an operator lays over the policies of a target, for a time.
//!
//! A change that wrote the whole policy would, on its way back, undo what was changed since. So a change is a layer of
//! its own over what the code and the files set, and is taken away again without touching the others.

use serde_json::Value;

use super::{ClientPolicy, guards};
use crate::{
    config::{Config, Mode},
    error::Result,
};

/// What is changed of every policy of a target, whatever else stands in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlay(What);

#[derive(Clone, Debug, PartialEq)]
enum What {
    Mode(&'static str, Mode),
    Partial(Value),
}

impl Overlay {
    /// The mode of one guard; `None` for a guard that is none of [`GUARDS`].
    pub fn mode(guard: &str, mode: Mode) -> Option<Self> {
        let known = GUARDS.into_iter().find(|known| *known == guard)?;
        Some(Overlay(What::Mode(known, mode)))
    }

    /// A part of a policy, as it would be written in a file: `{"timeout": "2s", "retry": {"max_attempts": 2}}`.
    ///
    /// As in a file, who only shortens the whole call has shortened its attempts with it.
    pub fn partial(policy: Value) -> Self {
        Overlay(What::Partial(policy))
    }

    /// The policy with this laid over it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for what is no part of a policy, or contradicts the rest of it.
    pub fn over(&self, mut policy: ClientPolicy) -> Result<ClientPolicy> {
        match &self.0 {
            What::Mode(guard, mode) => {
                if let Some(place) = mode_mut(&mut policy, guard) {
                    *place = *mode;
                }
                policy.check()?;
            }
            What::Partial(partial) => {
                let asked = Config::asked(SECTION, partial)?;
                policy = asked.overlay(&policy, SECTION)?;
                let shortens = partial.get("timeout").is_some() && partial.get("attempt_timeout").is_none();
                if shortens {
                    policy.fit();
                }
                asked.check(SECTION, &policy)?;
            }
        }
        Ok(policy)
    }

    /// Is nothing left of `other` once this lies over it?
    pub(super) fn covers(&self, other: &Overlay) -> bool {
        match (&self.0, &other.0) {
            (What::Mode(guard, _), What::Mode(other, _)) => guard == other,
            (What::Partial(partial), What::Partial(other)) => covers(partial, other),
            _ => false,
        }
    }
}

fn covers(partial: &Value, other: &Value) -> bool {
    match (partial, other) {
        (Value::Object(partial), Value::Object(other)) => {
            other.iter().all(|(key, value)| partial.get(key).is_some_and(|over| covers(over, value)))
        }
        _ => true,
    }
}

/// The mode of the guard that errors and paths call `guard`.
pub(super) fn mode_of(policy: &ClientPolicy, guard: &str) -> Option<Mode> {
    let mut policy = *policy;
    mode_mut(&mut policy, guard).copied()
}

fn mode_mut<'a>(policy: &'a mut ClientPolicy, guard: &str) -> Option<&'a mut Mode> {
    Some(match guard {
        guards::RATE_LIMIT => &mut policy.rate_limit.mode,
        guards::BULKHEAD => &mut policy.bulkhead.mode,
        guards::THROTTLE => &mut policy.throttle.mode,
        guards::BREAKER => &mut policy.breaker.mode,
        guards::CONCURRENCY => &mut policy.concurrency.mode,
        guards::RETRY => &mut policy.retry.mode,
        guards::HEDGE => &mut policy.hedge.mode,
        _ => return None,
    })
}

/// Everything of a client that has a mode, as its errors and the admin's paths call it.
pub const GUARDS: [&str; 7] = [
    guards::RATE_LIMIT,
    guards::BULKHEAD,
    guards::THROTTLE,
    guards::BREAKER,
    guards::CONCURRENCY,
    guards::RETRY,
    guards::HEDGE,
];
/// Where a part of a policy stands in what explains it.
const SECTION: &str = "policy";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn every_guard_has_a_mode_and_nothing_else_is_changed() {
        let plain = ClientPolicy::default();
        for guard in GUARDS {
            for mode in Mode::ALL {
                let mut laid = Overlay::mode(guard, mode).unwrap().over(plain).unwrap();
                assert_eq!(mode_of(&laid, guard), Some(mode), "{guard}");
                *mode_mut(&mut laid, guard).unwrap() = mode_of(&plain, guard).unwrap();
                assert_eq!(laid, plain, "{guard}");
            }
        }
        assert_eq!((Overlay::mode("fuse", Mode::Off), mode_of(&plain, "fuse")), (None, None));
    }

    #[test]
    fn a_part_of_a_policy_is_explained_as_in_a_file() {
        let over = |partial| Overlay::partial(partial).over(ClientPolicy::default());
        let laid = over(json!({ "timeout": "2s", "retry": { "max_attempts": 2 } })).unwrap();
        let s = Duration::from_secs;
        assert_eq!((laid.timeout, laid.attempt_timeout), (Some(s(2)), Some(s(2))));
        assert_eq!((laid.retry.max_attempts, laid.retry.mode), (2, Mode::Enforce));
        for (partial, told) in [
            (json!({ "timout": "2s" }), "unknown key `policy.timout`; did you mean `policy.timeout`?"),
            (json!({ "breaker": { "open": 3 } }), "`policy.breaker.open`"),
            (json!({ "breaker": { "mode": "on" } }), "not one of off, observe, enforce"),
            (json!({ "attempt_timeout": "20s" }), "longer than the whole call (10s)"),
            (json!([1]), "`policy` is a section, not a value"),
        ] {
            let refused = over(partial).unwrap_err();
            assert!(refused.detail().contains(told), "{refused}");
            assert!(refused.detail().starts_with("the request: "), "{refused}");
        }
    }

    #[test]
    fn what_is_said_again_covers_what_was_said() {
        let partial = |value| Overlay::partial(value);
        let both = partial(json!({ "timeout": "1s", "retry": { "mode": "off", "max_attempts": 2 } }));
        assert!(both.covers(&partial(json!({ "retry": { "mode": "enforce" } }))));
        assert!(!partial(json!({ "retry": { "mode": "off" } })).covers(&both));
        let mode = |guard| Overlay::mode(guard, Mode::Off).unwrap();
        assert!(mode("retry").covers(&mode("retry")) && !mode("retry").covers(&mode("hedge")));
    }
}
