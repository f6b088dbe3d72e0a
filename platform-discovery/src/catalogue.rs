//! This crate's metrics, a line per room.

use platform_core::telemetry::catalogue::{Declared, Spec as _};

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

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::telemetry::catalogue::check;

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
