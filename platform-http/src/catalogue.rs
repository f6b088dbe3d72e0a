//! This crate's metrics, a line per room.

use platform_core::telemetry::catalogue::{Catalogue, Declared, Signal, Spec as _};

use crate::{client, server, tls};

/// Every metric that this crate writes. The admin listener writes none: what it changes is counted by the room of
/// changes.
pub fn catalogue() -> Vec<Declared> {
    let mut ours = vec![client::metrics::DURATION.declared()];
    ours.extend(server::declared());
    ours.extend([tls::NOT_AFTER.declared(), tls::RENEWAL.declared()]);
    ours
}

/// What a person should see of it, and when.
pub(crate) fn signals() -> Vec<Signal> {
    server::signals().into_iter().chain(tls::signals()).chain(client::metrics::signals()).collect()
}

/// The same with the lists of all crates below this one.
pub fn joined_catalogue() -> Catalogue {
    platform_core::catalogue()
        .join(Catalogue::default().room(
            "discovery",
            platform_discovery::catalogue(),
            platform_discovery::signals(),
        ))
        .join(Catalogue::default().room("http", catalogue(), signals()).serves(server::served()))
}

#[cfg(test)]
mod tests {
    use platform_core::telemetry::catalogue::check;

    use super::*;

    #[test]
    fn every_metric_keeps_the_rules_and_has_the_contracts_name() {
        let declared = catalogue();
        declared.iter().for_each(|declared| check(declared).unwrap());
        let names: Vec<_> =
            declared.iter().map(|declared| (declared.series(), declared.labels.join(","))).collect();
        let wanted = [
            (
                "http_client_request_duration_seconds",
                "http_request_method,server_address,http_response_status_code,error_type",
            ),
            (
                "http_server_request_duration_seconds",
                "http_request_method,http_route,http_response_status_code,url_scheme,error_type",
            ),
            ("http_server_active_requests", "http_request_method,url_scheme"),
            ("platform_server_panics_total", ""),
            ("platform_server_degraded_requests_total", "target"),
            ("platform_context_rejected_total", "field"),
            ("platform_runtime_slow_polls_total", "http_route"),
            ("platform_tls_not_after_timestamp_seconds", "certificate"),
            ("platform_tls_renewal_seconds", "certificate"),
        ];
        assert_eq!(names, wanted.map(|(name, labels)| (name.to_owned(), labels.to_owned())));
    }
}
