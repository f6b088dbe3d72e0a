//! What shall go wrong on purpose?
//!
//! `ratings:error=100%,after=3s,for=10s`: the platform's own text for a fault, and when it comes and goes.

use std::{fmt, time::Duration};

use platform_core::{
    config::duration,
    fault::{Effect, LONGEST},
};

use crate::company::Role;

/// A fault that somebody asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// Calls to this service go wrong.
    pub(crate) target: Role,
    pub(crate) effect: Effect,
    /// The effect as it was written: people look for their own words.
    pub(crate) written: String,
    /// When it begins, counted from the first user.
    pub(crate) after: Duration,
    pub(crate) length: Duration,
}

impl Fault {
    /// Reads `TARGET:SPEC`.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (target, spec) =
            text.split_once(':').ok_or_else(|| format!("expected TARGET:SPEC, as in {EXAMPLE}"))?;
        let target = called().find(|role| role.name() == target).ok_or_else(|| {
            let names = called().map(Role::name).collect::<Vec<_>>().join(", ");
            format!("no service calls {target:?}; expected one of {names}, as in {EXAMPLE}")
        })?;
        let (mut after, mut length, mut rest) = (None, None, Vec::new());
        for part in spec.split(',').map(str::trim) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key {
                "after" => once(key, &mut after, value)?,
                "for" => once(key, &mut length, value)?,
                _ => rest.push(part),
            }
        }
        let length = length.unwrap_or(LENGTH);
        if length.is_zero() || length > LONGEST {
            return Err("for: expected more than nothing and at most 24h, as in for=10s".to_owned());
        }
        let written = rest.join(",");
        let effect = written.parse().map_err(|why| format!("{why}; also after=3s and for=10s"))?;
        Ok(Fault { target, effect, written, after: after.unwrap_or(AFTER), length })
    }
}

/// `ratings error=100%`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.target.name(), self.written)
    }
}

/// The name of the fault that was asked for in this place, counted from 0: a label of the edges' metrics.
pub(crate) fn name(place: usize) -> String {
    format!("fleet-{}", place + 1)
}

/// A fault is something that happens to a call, so only who is called can have one.
fn called() -> impl Iterator<Item = Role> {
    Role::ALL.into_iter().filter(|role| role.is_called())
}

fn once(key: &str, place: &mut Option<Duration>, text: &str) -> Result<(), String> {
    let length = duration::parse(text).map_err(|why| format!("{key}: {why}"))?;
    match place.replace(length) {
        Some(_) => Err(format!("`{key}` says again what was said before; write it once")),
        None => Ok(()),
    }
}

/// Long enough to see how it was before.
const AFTER: Duration = Duration::from_secs(3);
/// Long enough for every guard to answer, and to see it.
const LENGTH: Duration = Duration::from_secs(10);
const EXAMPLE: &str = "ratings:error=100% or catalog:delay=500ms,share=20%";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_an_effect_and_its_time() {
        for (text, shown, effect, after, length) in [
            ("ratings:error=100%", "ratings error=100%", "abort=503", 3_000, 10_000),
            (
                "catalog:after=0s,delay=500ms, share=20%,for=90s",
                "catalog delay=500ms,share=20%",
                "delay=500ms,share=0.2",
                0,
                90_000,
            ),
            // The platform's other separator is the platform's to read.
            (
                "recommendations:abort=unreachable:share=0.5,after=250ms",
                "recommendations abort=unreachable:share=0.5",
                "abort=unreachable,share=0.5",
                250,
                10_000,
            ),
        ] {
            let fault = Fault::parse(text).unwrap();
            assert_eq!((fault.to_string().as_str(), fault.effect.to_string().as_str()), (shown, effect));
            let times = [after, length].map(Duration::from_millis);
            assert_eq!([fault.after, fault.length], times, "{text}");
        }
    }

    #[test]
    fn what_is_no_fault_says_what_was_expected() {
        for (text, told) in [
            ("ratings", "expected TARGET:SPEC, as in ratings:error=100%"),
            (
                "edge:error=100%",
                "no service calls \"edge\"; expected one of catalog, ratings, recommendations",
            ),
            ("payroll:error=100%", "no service calls \"payroll\"; expected one of catalog,"),
            ("ratings:", "\"\" is no part of a fault; write abort=503"),
            ("ratings:after=3s", "also after=3s and for=10s"),
            ("ratings:error=200%", "error: \"200%\" is not a share"),
            ("ratings:error=1%,after=3", "after: \"3\" has no unit"),
            ("ratings:error=1%,for=0s", "for: expected more than nothing and at most 24h"),
            ("ratings:error=1%,for=25h", "for: expected more than nothing and at most 24h"),
            ("ratings:error=1%,for=1s,for=2s", "`for` says again what was said before"),
        ] {
            let refused = Fault::parse(text).unwrap_err();
            assert!(refused.contains(told), "{text}: {refused}");
        }
    }
}
