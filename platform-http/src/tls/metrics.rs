//! What is told of certificates.

use platform_core::telemetry::catalogue::{GaugeSpec, Labels};

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
