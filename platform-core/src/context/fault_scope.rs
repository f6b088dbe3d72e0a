//! FaultScope: which injected faults has this request consented to?

use std::sync::Arc;

/// The faults that a request carries for targets further down, as it came over the wire:
/// `payments:abort=503:delay=200ms|ratings:delay=1s`.
///
/// Entries are kept as text here; the fault room gives them meaning. The scope only ever narrows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultScope(Option<Arc<str>>);

impl FaultScope {
    /// No fault.
    pub const NONE: FaultScope = FaultScope(None);

    /// The scope of these entries, joined by `|`.
    pub fn new(entries: &str) -> Self {
        FaultScope((!entries.is_empty()).then(|| Arc::from(entries)))
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The entries as text.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// The entry for one target: what stands behind `target:`.
    pub fn of<'a>(&'a self, target: &str) -> Option<&'a str> {
        self.entries()
            .find_map(|entry| entry.split_once(':').filter(|(name, _)| *name == target))
            .map(|(_, rest)| rest)
    }

    /// What both scopes hold: a child consents to nothing that its parent did not.
    #[must_use]
    pub fn narrowed_to(&self, other: &FaultScope) -> FaultScope {
        let kept: Vec<&str> = self.entries().filter(|entry| other.entries().any(|o| o == *entry)).collect();
        FaultScope::new(&kept.join("|"))
    }

    fn entries(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('|').filter(|entry| !entry.is_empty())
    }
}
