//! Refusal: why, and when to come back.

use std::{borrow::Cow, time::Duration};

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
