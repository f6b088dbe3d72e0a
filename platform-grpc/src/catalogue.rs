//! This crate's metrics, a line per room.

use platform_core::telemetry::catalogue::{Catalogue, Declared, Signal, Spec as _};

use crate::{channel, server};

/// Every metric that this crate writes.
pub fn catalogue() -> Vec<Declared> {
    vec![server::metrics::DURATION.declared(), channel::metrics::DURATION.declared()]
}

/// What a person should see of it.
pub(crate) fn signals() -> Vec<Signal> {
    server::metrics::signals().into_iter().chain(channel::metrics::signals()).collect()
}

/// The same with the lists of all crates below this one.
pub fn joined_catalogue() -> Catalogue {
    platform_http::joined_catalogue()
        .join(Catalogue::default().room("grpc", catalogue(), signals()).serves(server::metrics::served()))
}

#[cfg(test)]
mod tests {
    use platform_core::telemetry::catalogue::check;

    use super::*;

    #[test]
    fn every_metric_keeps_the_rules_and_has_the_contracts_name() {
        joined_catalogue().check().unwrap();
        let declared = catalogue();
        declared.iter().for_each(|declared| check(declared).unwrap());
        let names: Vec<_> =
            declared.iter().map(|declared| (declared.series(), declared.labels.join(","))).collect();
        let wanted = [
            (
                "rpc_server_call_duration_seconds",
                "rpc_system_name,rpc_method,rpc_response_status_code,error_type",
            ),
            (
                "rpc_client_call_duration_seconds",
                "rpc_system_name,rpc_method,server_address,rpc_response_status_code,error_type",
            ),
        ];
        assert_eq!(names, wanted.map(|(name, labels)| (name.to_owned(), labels.to_owned())));
    }
}
