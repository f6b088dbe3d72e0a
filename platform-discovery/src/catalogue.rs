//! This crate's metrics, a line per room.

use platform_core::telemetry::catalogue::{Board, Declared, Signal, Spec as _, Unit, above, max, rate};

use crate::{balance, metrics};

/// Every metric that this crate writes.
pub fn catalogue() -> Vec<Declared> {
    vec![
        metrics::ENDPOINTS.declared(),
        metrics::AGE.declared(),
        metrics::UPDATES.declared(),
        balance::metrics::PICKS.declared(),
        balance::metrics::EJECTIONS.declared(),
    ]
}

/// What a person should see of it, and when.
pub fn signals() -> Vec<Signal> {
    let age = max(&metrics::AGE).by(&["target"]);
    let suspect = rate(&metrics::UPDATES).only("result", &["suspect"]).by(&["target"]);
    vec![
        // Calls go on with what was known; whoever comes or goes meanwhile is not heard of.
        Signal::new("Age of a target's set", age, Unit::Seconds)
            .on(Board::Dependencies)
            .ticket_when(above(STALE).for_minutes(5), "registry-silent"),
        // It is believed within a minute; somebody should look whether it is the target or its registry before that.
        Signal::new("Losses of a target that are not believed yet", suspect, Unit::PerSecond)
            .on(Board::Dependencies)
            .page_when(above(0.0), "target-vanished"),
    ]
}

/// Two rounds of the slowest source, the hosts of `https://` targets, and half of one.
const STALE: f64 = 75.0;

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::telemetry::catalogue::{Catalogue, check};

    #[test]
    fn the_signals_ask_what_is_measured() {
        Catalogue::default().room("discovery", catalogue(), signals()).check().unwrap();
        let asked: Vec<_> = signals().iter().map(|signal| signal.expr().promql("5m")).collect();
        assert!(
            asked[0].contains("platform_discovery_age_seconds") && asked[0].contains("target"),
            "{asked:?}"
        );
        assert!(asked[1].contains("platform_discovery_updates_total{result=~\"suspect\"}"), "{asked:?}");
    }

    #[test]
    fn every_metric_keeps_the_rules_and_has_the_contracts_name() {
        let declared = catalogue();
        declared.iter().for_each(|declared| check(declared).unwrap());
        let names: Vec<_> =
            declared.iter().map(|declared| (declared.series(), declared.labels.join(","))).collect();
        let wanted = [
            ("platform_discovery_endpoints", "target,state"),
            ("platform_discovery_age_seconds", "target"),
            ("platform_discovery_updates_total", "target,result"),
            ("platform_balance_picks_total", "target,target_variant,locality"),
            ("platform_balance_ejections_total", "target,reason,mode"),
        ];
        assert_eq!(names, wanted.map(|(name, labels)| (name.to_owned(), labels.to_owned())));
    }
}
