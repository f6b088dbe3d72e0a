//! Which labels may a metric have?
//!
//! Every distinct set of values is a series that is kept, scraped and paid for until the process ends. So a
//! label is an enum or a bounded newtype, and names that grow with traffic or fleet are refused when the
//! metric is registered, which is when the service starts.

use std::{fmt::Debug, hash::Hash};

use super::Declared;
use crate::error::{Error, Result};

/// A set of label values.
///
/// ```
/// use std::sync::Arc;
/// use platform_core::{Outcome, telemetry::catalogue::Labels};
///
/// #[derive(Clone, Debug, PartialEq, Eq, Hash)]
/// struct CallLabels {
///     target: Arc<str>,
///     outcome: Outcome,
/// }
///
/// impl Labels for CallLabels {
///     const NAMES: &'static [&'static str] = &["target", "outcome"];
///
///     fn each_value(&self, show: &mut dyn FnMut(&str)) {
///         show(&self.target);
///         show(self.outcome.label());
///     }
/// }
/// ```
pub trait Labels: Clone + Debug + Eq + Hash + Send + Sync + 'static {
    /// The labels' names.
    const NAMES: &'static [&'static str];

    /// Shows the values, in the order of the names.
    fn each_value(&self, show: &mut dyn FnMut(&str));
}

/// One series only.
impl Labels for () {
    const NAMES: &'static [&'static str] = &[];

    fn each_value(&self, _show: &mut dyn FnMut(&str)) {}
}

/// Refuses names that OpenMetrics or the contract do not allow, and says why.
///
/// # Errors
/// [`ErrorKind::Internal`](crate::ErrorKind::Internal): a declaration that cannot be right is a bug.
pub fn check(declared: &Declared) -> Result<()> {
    let refuse = |why: String| {
        Err(Error::new(crate::ErrorKind::Internal, format!("metric `{}`: {why}", declared.name)))
    };
    if !is_name(declared.name) {
        return refuse("a name is made of a-z, 0-9 and _, and begins with a letter".to_owned());
    }
    if let Some(suffix) = RESERVED_SUFFIXES.iter().find(|suffix| declared.name.ends_with(*suffix)) {
        return refuse(format!("`{suffix}` is added by the format; leave it out of the name"));
    }
    if declared.kind == super::Kind::Histogram && declared.unit() != Some("seconds") {
        return refuse("a histogram measures durations; let the name end in `_seconds`".to_owned());
    }
    if declared.help.is_empty() || declared.help.contains(['\n', '\\']) || declared.help.ends_with('.') {
        return refuse("the help is one line without a backslash and without its full stop".to_owned());
    }
    if !declared.bounds.is_sorted_by(|a, b| 0.0 < *a && a < b && b.is_finite()) {
        return refuse("bounds are above zero, finite and rising".to_owned());
    }
    for (index, label) in declared.labels.iter().enumerate() {
        if !is_name(label) {
            return refuse(format!("label `{label}`: made of a-z, 0-9 and _, beginning with a letter"));
        }
        if CONSTANT_LABELS.contains(label) {
            return refuse(format!("label `{label}` is on every series already"));
        }
        if NEVER_LABELS.contains(label) {
            return refuse(format!(
                "label `{label}` belongs to the scraper or grows without bound; put it into a log line or a span"
            ));
        }
        if declared.labels[..index].contains(label) {
            return refuse(format!("label `{label}` is named twice"));
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Set once on the registry, so on every series.
pub const CONSTANT_LABELS: [&str; 4] = ["service_name", "service_version", "variant", "zone"];

/// Labels that Prometheus sets while it scrapes.
pub(super) const SCRAPED: [&str; 2] = ["job", "instance"];

/// Never a label: the first seven are set by scrapers and would be renamed to `exported_…`, the next grow
/// without bound, the last two belong to the format.
pub const NEVER_LABELS: [&str; 12] = [
    "job",
    "instance",
    "service",
    "endpoint",
    "namespace",
    "pod",
    "container",
    "tenant",
    "address",
    "id",
    "le",
    "quantile",
];

/// What the format appends to names.
const RESERVED_SUFFIXES: [&str; 6] = ["_total", "_count", "_sum", "_bucket", "_info", "_created"];

#[cfg(test)]
mod tests {
    use super::{
        super::{Declared, Kind},
        *,
    };

    const GOOD: Declared = Declared {
        name: "platform_things",
        help: "Things seen",
        kind: Kind::Counter,
        labels: &["kind"],
        bounds: &[],
    };

    #[test]
    fn what_the_contract_forbids_is_refused_with_the_reason() {
        assert!(check(&GOOD).is_ok());
        let bad = [
            (Declared { name: "platform_things_total", ..GOOD }, "added by the format"),
            (Declared { name: "Platform", ..GOOD }, "made of a-z"),
            (Declared { kind: Kind::Histogram, ..GOOD }, "_seconds"),
            (Declared { help: "Things.", ..GOOD }, "full stop"),
            (Declared { help: "two\nlines", ..GOOD }, "one line"),
            (Declared { labels: &["zone"], ..GOOD }, "on every series"),
            (Declared { labels: &["tenant"], ..GOOD }, "grows without bound"),
            (Declared { labels: &["pod"], ..GOOD }, "scraper"),
            (Declared { labels: &["le"], ..GOOD }, "belongs to"),
            (Declared { labels: &["kind", "kind"], ..GOOD }, "twice"),
            (Declared { labels: &["http.route"], ..GOOD }, "made of a-z"),
            (Declared { bounds: &[0.2, 0.1], ..GOOD }, "rising"),
            (Declared { bounds: &[f64::NAN, 0.1], ..GOOD }, "rising"),
        ];
        for (declared, why) in bad {
            let error = check(&declared).expect_err(why);
            assert!(error.detail().contains(why), "{error}");
            assert!(error.detail().contains(declared.name), "{error}");
        }
    }
}
