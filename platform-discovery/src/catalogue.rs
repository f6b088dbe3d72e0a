//! This crate's metrics, a line per room.

use platform_core::telemetry::catalogue::{
    Board, Declared, Runbook, Signal, Spec as _, Unit, above, below, max, min, rate, share, sum,
};

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
    let endpoints = || sum(&metrics::ENDPOINTS);
    let picks = || rate(&balance::metrics::PICKS);
    let suspect = rate(&metrics::UPDATES).only("result", &["suspect"]).by(&["target"]);
    vec![
        // What one process believes, and the one that believes least: processes of a service should all see the same.
        Signal::new(
            "Endpoints that may be asked",
            min(&metrics::ENDPOINTS).only("state", &["ready"]).by(&["target"]),
            Unit::Count,
        )
        .on(Board::Discovery)
        .page_when(below(1.0).for_minutes(2), NO_ENDPOINTS),
        Signal::new(
            "Endpoints by state, over all processes",
            endpoints().by(&["target", "state"]),
            Unit::Count,
        )
        .on(Board::Discovery),
        // Calls go on with what was known; whoever comes or goes meanwhile is not heard of.
        Signal::new("Age of a target's set", max(&metrics::AGE).by(&["target"]), Unit::Seconds)
            .on(Board::Discovery)
            .ticket_when(above(STALE).for_minutes(5), REGISTRY_SILENT),
        Signal::new(
            "Answers of the sources",
            rate(&metrics::UPDATES).by(&["target", "result"]),
            Unit::PerSecond,
        )
        .on(Board::Discovery),
        // It is believed within a minute; somebody should look whether it is the target or its registry before that.
        Signal::new("Losses of a target that are not believed yet", suspect, Unit::PerSecond)
            .on(Board::Discovery)
            .page_when(above(0.0), TARGET_VANISHED),
        Signal::new(
            "Endpoints left out because they failed",
            rate(&balance::metrics::EJECTIONS).by(&["target", "reason"]),
            Unit::PerSecond,
        )
        .on(Board::Dependencies),
        Signal::new(
            "Attempts by the target's variant",
            picks().by(&["target", "target_variant"]),
            Unit::PerSecond,
        )
        .on(Board::Dependencies),
        Signal::new(
            "Attempts that leave our zone",
            share(picks().only("locality", &["spill"]), picks()).by(&["target"]),
            Unit::Ratio,
        )
        .on(Board::Dependencies),
    ]
}

const NO_ENDPOINTS: Runbook = Runbook {
    name: "no-endpoints",
    means: "A process knows nobody who answers for a target: every call to it fails, or is answered without it.",
    look: &[
        "Is it one process or all? One alone has lost its registry; all of them have lost the target.",
        "`/platform/targets` on the admin page: where from is the target known, and what was heard last?",
        "Do the target's processes run, and are they ready (`/readyz`)?",
    ],
    act: &[
        "Start the target, or undo what was deployed last.",
        "If it runs and is not in the registry, its own log says why it does not register.",
    ],
};

const REGISTRY_SILENT: Runbook = Runbook {
    name: "registry-silent",
    means: "The registry has said nothing of a target for more than a minute. Calls go on to those who were known; \
            whoever starts gets no traffic, and whoever dies is found out by failed calls.",
    look: &[
        "\"Answers of the sources\": `error`, or nothing at all?",
        "Do all services see it? Then it is the registry; else the way to it.",
    ],
    act: &["Repair the registry. Deploy nothing meanwhile: new instances would not be found."],
};

const TARGET_VANISHED: Runbook = Runbook {
    name: "target-vanished",
    means: "Half of a target or more has vanished from the registry at once, without having said that it would. It is \
            not believed for half a minute, because a registry that restarts looks the same.",
    look: &[
        "Do the target's processes run? Ask one of them directly.",
        "Do other targets vanish too? Then it is the registry.",
    ],
    act: &[
        "If the target is really gone, start it again.",
        "If the registry forgot, instances write themselves anew within ten seconds; see that it stays up.",
    ],
};

/// Two rounds of the slowest source, the hosts of `https://` targets, and half of one.
const STALE: f64 = 75.0;

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::telemetry::catalogue::{Catalogue, Scope, check};

    #[test]
    fn the_signals_ask_what_is_measured() {
        Catalogue::default().room("discovery", catalogue(), signals()).check().unwrap();
        let all = signals();
        let asked = |name: &str| {
            let alerts = all.iter().flat_map(|signal| signal.alerts().iter().map(move |one| (signal, one)));
            let (signal, alert) = alerts.into_iter().find(|(_, alert)| alert.runbook.name == name).unwrap();
            signal.condition(alert.when, &Scope::over("5m"))
        };
        assert_eq!(asked("registry-silent"), "max by (target) (platform_discovery_age_seconds) > 75");
        assert_eq!(
            asked("target-vanished"),
            "sum by (target) (rate(platform_discovery_updates_total{result=~\"suspect\"}[5m])) > 0"
        );
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
