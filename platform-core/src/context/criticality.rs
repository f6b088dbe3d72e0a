//! Criticality: how important is this request?

use std::fmt;

/// The importance of a request, set at the edge and never raised on the way.
///
/// Four classes, as in Google's SRE book: under pressure the least important are turned away first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Criticality {
    /// May fail often without anybody noticing: prefetch, batch.
    Sheddable = 0,
    /// May fail now and then: a row of suggestions.
    SheddablePlus = 1,
    /// Users see the failure; the default.
    #[default]
    Critical = 2,
    /// The last to be refused: paying, signing in.
    CriticalPlus = 3,
}

impl Criticality {
    /// Every class, least important first.
    pub const ALL: [Criticality; 4] = [
        Criticality::Sheddable,
        Criticality::SheddablePlus,
        Criticality::Critical,
        Criticality::CriticalPlus,
    ];

    /// The word on the wire, in labels and in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Criticality::Sheddable => "sheddable",
            Criticality::SheddablePlus => "sheddable-plus",
            Criticality::Critical => "critical",
            Criticality::CriticalPlus => "critical-plus",
        }
    }

    /// The class behind a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }
}

impl fmt::Display for Criticality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
