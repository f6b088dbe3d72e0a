//! How long is a certificate good, and when is its renewal late?

use std::time::{Duration, SystemTime};

use platform_core::telemetry::{Gauge, Metrics};

use super::{NOT_AFTER, RENEWAL, metrics::FileLabels};

/// When a certificate begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

/// What is told of one certificate.
pub(super) struct Told {
    not_after: Gauge,
    renewal: Gauge,
}

impl Told {
    /// Of the certificate of `key`.
    pub(super) fn new(metrics: &Metrics, key: &'static str) -> Self {
        let labels = FileLabels(key);
        Told {
            not_after: metrics.gauge(&NOT_AFTER).with(&labels),
            renewal: metrics.gauge(&RENEWAL).with(&labels),
        }
    }

    pub(super) fn tell(&self, validity: Validity) {
        let Validity { from, until } = validity;
        let since_1970 = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.not_after.set(since_1970.as_secs() as f64);
        self.renewal.set(renewal(until.duration_since(from).unwrap_or_default()).as_secs() as f64);
    }
}

/// How long before its end a certificate with such a life has to be renewed at last.
fn renewal(life: Duration) -> Duration {
    (life / SHARE).min(LATE)
}

/// 14 days. Authorities of 90 days are asked for the next certificate 30 days before the end: by then two weeks of
/// renewals have failed, and two are left for office hours.
const LATE: Duration = Duration::from_secs(14 * 86_400);
/// A third of what lives shorter. Whoever issues certificates for a day or an hour renews them at half of it, so that
/// by then a sixth of their life was spent on renewals that failed.
const SHARE: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lives_shorter_is_late_later() {
        const HOUR: u64 = 3600;
        for (life, left) in
            [(365 * 24, 14 * 24), (90 * 24, 14 * 24), (42 * 24, 14 * 24), (30 * 24, 10 * 24), (24, 8), (3, 1)]
        {
            assert_eq!(
                renewal(Duration::from_secs(life * HOUR)),
                Duration::from_secs(left * HOUR),
                "{life} h"
            );
        }
    }
}
