//! What is told of certificates.

use platform_core::telemetry::catalogue::{GaugeSpec, Labels, Runbook, Signal, Unit, below, time_left};

pub(crate) static NOT_AFTER: GaugeSpec<FileLabels> = GaugeSpec::new(
    "platform_tls_not_after_timestamp_seconds",
    "When the first certificate of a file ends to be valid, in seconds since 1970",
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
        )
        .ticket_when(below(LATE), CERTIFICATE_ENDS)
        .page_when(below(LAST_MOMENT), CERTIFICATE_ENDS),
    ]
}

/// 14 days. Authorities of 90 days are asked for the next certificate 30 days before the end: by then two weeks of
/// renewals have failed, and two are left for office hours.
const LATE: f64 = 14.0 * DAY;
/// 2 days: a weekend, after which nobody could connect any more.
const LAST_MOMENT: f64 = 2.0 * DAY;
const DAY: f64 = 86_400.0;

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
    fn a_certificate_is_a_ticket_two_weeks_before_its_end_and_a_page_two_days_before() {
        let [signal] = &signals()[..] else { panic!("one signal") };
        let told = signal.alerts().iter().map(|alert| {
            (alert.page, signal.condition(alert.when, &Scope::over("5m").only("service_name", "orders")))
        });
        let left = "min by (certificate) \
                    (platform_tls_not_after_timestamp_seconds{service_name=\"orders\"}) - time()";
        assert_eq!(
            told.collect::<Vec<_>>(),
            [(false, format!("{left} < 1209600")), (true, format!("{left} < 172800"))]
        );
    }
}
