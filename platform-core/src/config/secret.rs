//! Secret: prints as `***`, zeroed when dropped.

use std::{borrow::Cow, cell::Cell, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroize;

/// A value that is never printed: not by `Debug` or `Display`, not as JSON or TOML, not in an error.
///
/// It is zeroed when dropped. What cannot be zeroed is the text of the file or the environment it came from, of
/// which [`Config`](super::Config) keeps a copy while it lives; a secret that must not stay in memory belongs
/// into a file of its own (`token_file`, `password_file`).
#[derive(Clone, Default)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Hides `value`.
    pub const fn new(value: T) -> Self {
        Secret(value)
    }

    /// The value itself, for the one place that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Secret(value)
    }
}

/// Takes the same time wherever two secrets of one length differ.
impl<T: Zeroize + AsRef<[u8]>> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.0.as_ref(), other.0.as_ref());
        let differing = ours.iter().zip(theirs).fold(0, |seen, (a, b)| seen | (a ^ b));
        ours.len() == theirs.len() && std::hint::black_box(differing) == 0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Eq for Secret<T> {}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl<T: Zeroize> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl<T: Zeroize + Serialize> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if CARRIED.get() { self.0.serialize(serializer) } else { serializer.serialize_str(HIDDEN) }
    }
}

impl<'de, T: Zeroize + Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The inner error may hold the value.
        let read = T::deserialize(deserializer).map_err(|_| {
            let wanted = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
            de::Error::custom(format_args!("the secret here has the wrong type; it must be a {wanted}"))
        });
        read.map(Secret)
    }
}

/// `text` without the user and password that a URL in it carries: `http://ann:hunter2@host/` is `http://***@host/`.
///
/// Those belong into a file of their own; whoever writes them into a URL all the same should not find them in a log.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        // A password may hold anything, also what a URL could not: a slash, a comma, an apostrophe. Rather too much is
        // hidden than a part of it shown.
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '`')).unwrap_or(after.len());
        let begin = after[..end].rfind('@').unwrap_or(0);
        out.push_str(before);
        out.push_str("://");
        if begin > 0 {
            out.push_str(HIDDEN);
        }
        rest = &after[begin..];
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(out + rest)
}

/// Runs `carry` while secrets on this thread serialize as they are.
///
/// [`Config::overlay`](super::Config::overlay) needs it: a base value goes through serde on its way into the
/// merged section, and must come out with the secrets it had.
pub(super) fn carried<R>(carry: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            CARRIED.set(self.0);
        }
    }
    let _restore = Restore(CARRIED.replace(true));
    carry()
}

thread_local! {
    static CARRIED: Cell<bool> = const { Cell::new(false) };
}

/// What a secret shows.
pub(super) const HIDDEN: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_it() {
        let secret = Secret::new("hunter2".to_owned());
        let json = serde_json::to_string(&secret).unwrap();
        for text in [format!("{secret:?}"), secret.to_string(), json.trim_matches('"').to_owned()] {
            assert_eq!(text, HIDDEN);
        }
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn an_error_says_the_type_and_not_the_value() {
        let error = serde_json::from_str::<Secret<String>>("8675309").unwrap_err().to_string();
        assert!(error.contains("must be a String"), "{error}");
        assert!(!error.contains("8675309"), "{error}");
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (text, shown) in [
            ("http://ann:hunter2@host:1/a?b", "http://***@host:1/a?b"),
            ("http://hunter2@host", "http://***@host"),
            ("http://ann:hun@ter2@host", "http://***@host"),
            ("http://ann:hunter/2@host", "http://***@host"),
            ("http://ann:hun'ter2@host", "http://***@host"),
            ("http://ann:hun,ter2@host", "http://***@host"),
            (
                "two: \"http://a:hunter2@b\" and http://a:hunter2@c, http://d",
                "two: \"http://***@b\" and http://***@c, http://d",
            ),
            ("http://host/a", "http://host/a"),
            ("ann@host and no URL", "ann@host and no URL"),
            ("http://", "http://"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }

    #[test]
    fn it_is_carried_only_while_it_is_being_carried() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(carried(|| serde_json::to_string(&secret).unwrap()), "\"hunter2\"");
        let panicked = std::panic::catch_unwind(|| carried(|| panic!("on the way")));
        assert!(panicked.is_err());
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
    }

    #[test]
    fn equal_secrets_are_equal() {
        let secret = |text: &str| Secret::new(text.to_owned());
        assert_eq!(secret("a"), secret("a"));
        assert_ne!(secret("a"), secret("b"));
        assert_ne!(secret("a"), secret("ab"));
    }
}
