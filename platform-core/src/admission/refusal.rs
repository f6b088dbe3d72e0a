//! Refusal: why, and when to come back.

use std::{borrow::Cow, fmt, time::Duration};

/// An engine's no. Who refused is the gate's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule and its numbers, as a person on call would want to read them.
    pub why: Cow<'static, str>,
    /// Not sooner than this.
    pub after: Option<Duration>,
}

impl Refusal {
    /// A refusal for this reason.
    pub fn new(why: impl Into<Cow<'static, str>>) -> Self {
        Refusal { why: why.into(), after: None }
    }

    /// The same with a time to come back.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Refusal { after: Some(after), ..self }
    }
}

/// A length of time as one would say it: `340ms`, `1.2s`, `2h 5m`.
pub(super) struct Told(pub(super) Duration);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, millis) = (self.0.as_secs(), self.0.subsec_millis());
        match (secs, millis) {
            (0, millis) => write!(f, "{millis}ms"),
            (1..60, 0..100) => write!(f, "{secs}s"),
            (1..60, millis) => write!(f, "{secs}.{}s", millis / 100),
            (60..3600, _) => write!(f, "{}m {}s", secs / 60, secs % 60),
            _ => write!(f, "{}h {}m", secs / 3600, secs / 60 % 60),
        }
    }
}
