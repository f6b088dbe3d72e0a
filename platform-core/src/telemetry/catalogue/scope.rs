//! Whose series are asked, over which time, and told apart by what?
//!
//! A room declares its question once; a board asks it of whatever a person has chosen, an alert of one service.

use super::{CONSTANT_LABELS, SCRAPED};

/// What is laid over a question when it is asked.
///
/// ```
/// use platform_core::telemetry::catalogue::{GaugeSpec, Scope, max};
///
/// static OPEN: GaugeSpec<()> = GaugeSpec::new("open", "Open");
/// let scope = Scope::over("5m").only("service_name", "orders").by(&["zone"]);
/// assert_eq!(max(&OPEN).promql_in(&scope), "max by (zone) (open{service_name=\"orders\"})");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    pub(super) window: String,
    pub(super) matchers: Vec<String>,
    pub(super) by: Vec<&'static str>,
}

impl Scope {
    /// All series; rates over `window`: `5m`, or a dashboard's `$__rate_interval`.
    pub fn over(window: impl Into<String>) -> Self {
        Scope { window: window.into(), ..Scope::default() }
    }

    /// Only series whose `label` is `value`.
    ///
    /// # Panics
    /// When not every series has the label.
    #[must_use]
    #[track_caller]
    pub fn only(mut self, label: &str, value: &str) -> Self {
        must_be_everywhere(label);
        self.matchers.push(format!("{label}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")));
        self
    }

    /// Only series whose `label` is chosen by a dashboard's variable, of which several values may be.
    ///
    /// # Panics
    /// When not every series has the label.
    #[must_use]
    #[track_caller]
    pub fn chosen(mut self, label: &str, variable: &str) -> Self {
        must_be_everywhere(label);
        self.matchers.push(format!("{label}=~\"${variable}\""));
        self
    }

    /// One result for each value of these labels, beside those of the question's own.
    ///
    /// # Panics
    /// When not every series has the label.
    #[must_use]
    #[track_caller]
    pub fn by(mut self, labels: &[&'static str]) -> Self {
        labels.iter().for_each(|label| must_be_everywhere(label));
        self.by.extend(labels);
        self
    }
}

#[track_caller]
fn must_be_everywhere(label: &str) {
    let known = CONSTANT_LABELS.contains(&label) || SCRAPED.contains(&label);
    assert!(known, "not every series has a label `{label}`; all have {CONSTANT_LABELS:?} and {SCRAPED:?}");
}
