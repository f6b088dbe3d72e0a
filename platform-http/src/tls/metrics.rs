//! What is told of certificates.

use platform_core::telemetry::catalogue::{
    GaugeSpec, Labels, Runbook, Signal, Unit, below, min, ratio, time_left,
};

pub(crate) static NOT_AFTER: GaugeSpec<FileLabels> = GaugeSpec::new(
    "platform_tls_not_after_timestamp_seconds",
    "When the first certificate of a file ends to be valid, in seconds since 1970",
);

pub(crate) static RENEWAL: GaugeSpec<FileLabels> = GaugeSpec::new(
    "platform_tls_renewal_seconds",
    "How long before its end a certificate has to be renewed at last",
);

/// The key that names the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileLabels(pub(super) &'static str);

impl Labels for FileLabels {
    const NAMES: &'static [&'static str] = &["certificate"];

    fn each_value(&self, show: &mut dyn FnMut(&str)) {
        show(self.0);
    }
}

/// What this room shows; nothing of a server without TLS.
pub(crate) fn signals() -> Vec<Signal> {
    vec![
        Signal::new(
            "How long certificates are still valid",
            time_left(&NOT_AFTER).by(FileLabels::NAMES),
            Unit::Seconds,
        ),
        Signal::new(
            "How much of the time for a renewal is left",
            ratio(time_left(&NOT_AFTER).by(FileLabels::NAMES), min(&RENEWAL).by(FileLabels::NAMES)),
            Unit::Ratio,
        )
        .ticket_when(below(ALL_OF_IT), CERTIFICATE_ENDS)
        .page_when(below(A_SEVENTH), CERTIFICATE_ENDS),
    ]
}

/// The time for a renewal is used up; `validity.rs` says how much there is.
const ALL_OF_IT: f64 = 1.0;
/// Of two weeks two days: a weekend, after which nobody could connect any more. Of a day's certificate 69 minutes.
const A_SEVENTH: f64 = 1.0 / 7.0;

const CERTIFICATE_ENDS: Runbook = Runbook {
    name: "certificate-ends",
    means: "A certificate that the server shows ends soon and was not renewed. When it has ended, whoever connects \
            refuses this server; who is connected stays so until `server.times.connection_age`.",
    look: &[
        "Is there a newer file? The label `certificate` is the key that names it; `/platform/config` on the admin page \
         has its path. `openssl x509 -noout -enddate -in FILE` says until when the file on the disk is valid.",
        "If the file is newer than what the server shows, it could not be used: the log has a warning that names the \
         file and says what is wrong, such as a key that belongs to another certificate.",
        "If it is not, whoever renews it has not: its own log says why. Is it one instance, or all that share the \
         secret?",
    ],
    act: &[
        "Let it be renewed, and put certificate and key in the place of the old ones. The server takes them within a \
         second, without a restart and without losing a connection, and says so in its log.",
        "Until then nothing is lost: what is in force serves on to its end.",
    ],
};

#[cfg(test)]
mod tests {
    use platform_core::telemetry::catalogue::Scope;

    use super::*;

    #[test]
    fn a_certificate_that_was_not_renewed_is_a_ticket_and_in_the_end_a_page() {
        let [_, signal] = &signals()[..] else { panic!("two signals") };
        let told = signal.alerts().iter().map(|alert| {
            (alert.page, signal.condition(alert.when, &Scope::over("5m").only("service_name", "orders")))
        });
        let of = |metric| format!("min by (certificate) ({metric}{{service_name=\"orders\"}})");
        let left = format!(
            "({} - time()) / {}",
            of("platform_tls_not_after_timestamp_seconds"),
            of("platform_tls_renewal_seconds")
        );
        let told: Vec<_> = told.collect();
        assert_eq!(told[0], (false, format!("{left} < 1")));
        assert!(told[1].0 && told[1].1.starts_with(&format!("{left} < 0.142857")), "{}", told[1].1);
    }
}
