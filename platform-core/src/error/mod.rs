//! What went wrong, where, and what to do?
//!
//! One opaque, cloneable type for every way this platform refuses or fails. Layers match on
//! [`Error::kind`]; nobody downcasts. Two tables turn it outward: `platform_http::Problem` and
//! `platform_grpc::status`.
//!
//! ```text
//! timeout: no answer within 250ms [target=catalog endpoint=10.0.0.7:8080 attempt=2 layer=attempt-deadline]
//! ```
//!
//! reads: what ([`ErrorKind`], which has a paragraph for each), why, of whom, and which layer of the order said so
//! ([`manual::ordering`](crate::manual::ordering)).

mod kind;

use std::{borrow::Cow, error, fmt, sync::Arc, time::Duration};

pub use kind::ErrorKind;

use crate::outcome::{Hint, Outcome};

/// `Result` with this platform's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refusal or a failure, with its place and its reason.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    detail: Cow<'static, str>,
    layer: &'static str,
    target: Option<Arc<str>>,
    endpoint: Option<Arc<str>>,
    attempt: Option<u16>,
    hint: Hint,
    outcome: Option<Outcome>,
    source: Option<Arc<dyn error::Error + Send + Sync>>,
}

/// What others wrote, without what would break the line that it is told in.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_debug()) } else { line.push(c) }
    }
    Cow::Owned(line)
}

impl Error {
    /// An error with its explanation: what was wrong, and what to do.
    pub fn new(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Error(Arc::new(Inner {
            kind,
            detail: detail.into(),
            layer: "",
            target: None,
            endpoint: None,
            attempt: None,
            hint: Hint { after: None, mark: kind.mark() },
            outcome: None,
            source: None,
        }))
    }

    /// A refused configuration.
    pub fn config(detail: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Config, detail)
    }

    /// The kind; what layers match on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The explanation without its place.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The layer that refused or failed, or `""`.
    pub fn layer(&self) -> &'static str {
        self.0.layer
    }

    /// The target that was called.
    pub fn target(&self) -> Option<&str> {
        self.0.target.as_deref()
    }

    /// The endpoint that was asked.
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }

    /// The attempt that failed, 0 for the first.
    pub fn attempt(&self) -> Option<u16> {
        self.0.attempt
    }

    /// What may be done about repeating.
    pub fn hint(&self) -> Hint {
        self.0.hint
    }

    /// What this means to the guards that read it.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome.unwrap_or_else(|| self.0.kind.outcome())
    }

    /// Names the layer that refused or failed.
    #[must_use]
    pub fn at_layer(self, layer: &'static str) -> Self {
        self.change(|inner| inner.layer = layer)
    }

    /// Names the target.
    #[must_use]
    pub fn at_target(self, target: &Arc<str>) -> Self {
        self.change(|inner| inner.target = Some(Arc::clone(target)))
    }

    /// Names the endpoint.
    #[must_use]
    pub fn at_endpoint(self, endpoint: &Arc<str>) -> Self {
        self.change(|inner| inner.endpoint = Some(Arc::clone(endpoint)))
    }

    /// Names the attempt, 0 for the first.
    #[must_use]
    pub fn at_attempt(self, attempt: u16) -> Self {
        self.change(|inner| inner.attempt = Some(attempt))
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        self.change(|inner| inner.hint.after = Some(after))
    }

    /// Replaces what the kind says about repeating.
    #[must_use]
    pub fn with_hint(self, hint: Hint) -> Self {
        self.change(|inner| inner.hint = hint)
    }

    /// Replaces what the kind means: a refusal of our own is [`Outcome::Local`] whatever its kind.
    #[must_use]
    pub fn with_outcome(self, outcome: Outcome) -> Self {
        self.change(|inner| inner.outcome = Some(outcome))
    }

    /// Adds what else a person on call should know, behind the explanation.
    #[must_use]
    pub fn noting(self, note: &str) -> Self {
        self.change(|inner| {
            let detail = inner.detail.to_mut();
            if !detail.is_empty() {
                detail.push_str("; ");
            }
            detail.push_str(note);
        })
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.change(|inner| inner.source = Some(Arc::from(source.into())))
    }

    // An error under construction has one owner; a shared one is copied first.
    fn change(mut self, edit: impl FnOnce(&mut Inner)) -> Self {
        edit(Arc::make_mut(&mut self.0));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{}: {}", inner.kind, inner.detail)?;
        let mut place = Place { f, open: false };
        place.put("target", inner.target.as_deref())?;
        place.put("endpoint", inner.endpoint.as_deref())?;
        place.put("attempt", inner.attempt.map(|n| u32::from(n) + 1))?;
        place.put("layer", Some(inner.layer).filter(|layer| !layer.is_empty()))?;
        place.close()
    }
}

/// Writes ` [key=value …]`, and nothing when there is nothing to say.
struct Place<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    open: bool,
}

impl Place<'_, '_> {
    fn put(&mut self, key: &str, value: Option<impl fmt::Display>) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        let before = if self.open { " " } else { " [" };
        self.open = true;
        write!(self.f, "{before}{key}={value}")
    }

    fn close(self) -> fmt::Result {
        if self.open { self.f.write_str("]") } else { Ok(()) }
    }
}

/// The whole chain on one line; this is what `main` prints when it returns an error.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = error::Error::source(self);
        while let Some(error) = cause {
            write!(f, "; because {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Error::new(kind, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_an_explanation() {
        let error = Error::new(ErrorKind::Timeout, "no answer within 250ms")
            .at_target(&Arc::from("catalog"))
            .at_endpoint(&Arc::from("127.0.0.1:8080"))
            .at_attempt(1)
            .at_layer("attempt-deadline");
        assert_eq!(
            error.to_string(),
            "timeout: no answer within 250ms [target=catalog endpoint=127.0.0.1:8080 attempt=2 layer=attempt-deadline]"
        );
        assert_eq!(Error::new(ErrorKind::Invalid, "no id").to_string(), "invalid: no id");
    }

    #[test]
    fn debug_tells_the_whole_chain() {
        let cause = std::io::Error::other("connection refused");
        let error = Error::new(ErrorKind::Unreachable, "could not connect").with_source(cause);
        assert_eq!(format!("{error:?}"), "unreachable: could not connect; because connection refused");
    }

    #[test]
    fn a_clone_keeps_its_own_place() {
        let first = Error::new(ErrorKind::Upstream, "gone");
        let second = first.clone().at_attempt(2);
        assert_eq!(first.attempt(), None);
        assert_eq!(second.attempt(), Some(2));
    }
}
