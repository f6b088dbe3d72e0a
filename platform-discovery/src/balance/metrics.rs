//! What is counted about choosing?

use std::sync::Arc;

use platform_core::{
    config::Mode,
    telemetry::{
        Counter, CounterFamily, Metrics,
        catalogue::{CounterSpec, Labels},
    },
};

use super::eject::Why;
use crate::endpoint::Endpoint;

/// Who gets the traffic.
pub static PICKS: CounterSpec<PickLabels> =
    CounterSpec::new("platform_balance_picks", "Attempts by the chosen endpoint's variant and locality");

/// One series per target, variant and locality.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PickLabels {
    /// The target's name.
    pub target: Arc<str>,
    /// The chosen endpoint's variant; `other` from the ninth on.
    pub target_variant: Arc<str>,
    /// `home` is our own zone, and everywhere where nobody names zones.
    pub locality: &'static str,
}

impl Labels for PickLabels {
    const NAMES: &'static [&'static str] = &["target", "target_variant", "locality"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.target);
        show(&self.target_variant);
        show(self.locality);
    }
}

/// Who was left out, or would have been.
pub static EJECTIONS: CounterSpec<EjectionLabels> =
    CounterSpec::new("platform_balance_ejections", "Endpoints that were left out for a while, by reason");

/// One series per target, reason and mode.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EjectionLabels {
    /// The target's name.
    pub target: Arc<str>,
    /// Which rule: `consecutive`, `share`, `rate` or `probe`; or its own word, `health`.
    pub reason: &'static str,
    /// `enforce`, or `observe` for those who would have been.
    pub mode: &'static str,
}

impl Labels for EjectionLabels {
    const NAMES: &'static [&'static str] = &["target", "reason", "mode"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(&self.target);
        show(self.reason);
        show(self.mode);
    }
}

/// One target's counters of who was left out; all are there from the beginning, so that the first one is a step.
pub(super) struct Ejections {
    enforced: [Counter; Why::LABELS.len()],
    /// What would have happened.
    observed: [Counter; Why::LABELS.len()],
}

impl Ejections {
    pub(super) fn new(metrics: &Metrics, target: &Arc<str>) -> Self {
        let family = metrics.counter(&EJECTIONS);
        let of = |mode: Mode| {
            let labels = |reason| EjectionLabels { target: Arc::clone(target), reason, mode: mode.as_str() };
            Why::LABELS.map(|reason| family.with(&labels(reason)))
        };
        Ejections { enforced: of(Mode::Enforce), observed: of(Mode::Observe) }
    }

    pub(super) fn count(&self, why: Why, mode: Mode) {
        let counters = if mode.enforces() { &self.enforced } else { &self.observed };
        if let Some(index) = Why::LABELS.iter().position(|label| *label == why.label()) {
            counters[index].inc();
        }
    }
}

/// Hands out one target's counters.
pub(super) struct Picks {
    target: Arc<str>,
    zone: Arc<str>,
    family: CounterFamily<PickLabels>,
    variants: Vec<Arc<str>>,
}

impl Picks {
    pub(super) fn new(metrics: &Metrics, target: &Arc<str>, zone: &Arc<str>) -> Self {
        Picks {
            target: Arc::clone(target),
            zone: Arc::clone(zone),
            family: metrics.counter(&PICKS),
            variants: Vec::new(),
        }
    }

    /// What is called.
    pub(super) fn target(&self) -> &Arc<str> {
        &self.target
    }

    /// The counter for calls to `endpoint`.
    pub(super) fn of(&mut self, endpoint: &Endpoint) -> Counter {
        let home = self.zone.is_empty() || endpoint.zone.is_empty() || *self.zone == *endpoint.zone;
        let target_variant = self.variant(&endpoint.variant);
        self.family.with(&PickLabels {
            target: Arc::clone(&self.target),
            target_variant,
            locality: if home { "home" } else { "spill" },
        })
    }

    /// Branches come and go; the first eight of a process's life have a name.
    fn variant(&mut self, variant: &str) -> Arc<str> {
        if let Some(known) = self.variants.iter().find(|known| &***known == variant) {
            return Arc::clone(known);
        }
        if self.variants.len() >= MOST_VARIANTS {
            return Arc::from("other");
        }
        let new: Arc<str> = Arc::from(variant);
        self.variants.push(Arc::clone(&new));
        new
    }
}

/// More than run side by side in anybody's day.
const MOST_VARIANTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::identity::Identity;

    #[test]
    fn the_ninth_variant_is_another_and_zones_count_where_both_sides_have_one() {
        let metrics = Metrics::new(&Identity::default());
        let mut picks = Picks::new(&metrics, &Arc::from("catalog"), &Arc::from("a"));
        for (variant, zone) in (0..10).map(|n| (n, if n == 0 { "b" } else { "" })) {
            let mut endpoint = Endpoint::at("127.0.0.1:1".parse().unwrap());
            endpoint.variant = format!("v{variant}");
            endpoint.zone = zone.to_owned();
            picks.of(&endpoint).inc();
        }
        let text = metrics.encode();
        let count = |labels: &str| text.lines().filter(|line| line.contains(labels)).count();
        assert_eq!(count("target_variant=\"v0\",locality=\"spill\""), 1, "{text}");
        assert_eq!(count("target_variant=\"v7\",locality=\"home\""), 1);
        assert_eq!(count("target_variant=\"v8\""), 0);
        assert!(text.lines().any(|line| line.contains("target_variant=\"other\"") && line.ends_with(" 2")));
    }
}
