//! What of a request may be seen?
//!
//! Headers and queries hold passwords, tokens and people's names, so that none of their values is on a line or in a span
//! unless a file names it: an allow list, and not one of what is hidden, because nobody knows all secrets. What is always
//! seen are `user-agent` and `x-request-id`, which have fields of their own.

use http::{HeaderName, Request};
use platform_core::{
    config::{Refusal, Rules},
    context::Notes,
};
use serde::{Deserialize, Serialize};

/// Whose values stand on the canonical line and in the span of a request: `server.show`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShowConfig {
    /// Headers, as `http.request.header.NAME`.
    pub headers: Vec<String>,
    /// Parameters of the query, as `url.query.NAME`, the way they came.
    pub query: Vec<String>,
}

/// The same, ready to look.
#[derive(Clone, Debug, Default)]
pub(super) struct Show {
    headers: Vec<(HeaderName, &'static str)>,
    query: Vec<(Box<str>, &'static str)>,
}

impl Rules for ShowConfig {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for name in &self.headers {
            if HeaderName::from_lowercase(name.as_bytes()).is_err() {
                refusals
                    .push(Refusal::new("headers", format!("has {name:?}, which is no header in lower case")));
            } else if SECRET_HEADERS.contains(&name.as_str()) {
                refusals.push(Refusal::new(
                    "headers",
                    format!("has {name:?}, which holds secrets; it is never shown"),
                ));
            }
        }
        for name in &self.query {
            if name.is_empty()
                || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            {
                let why = format!(
                    "has {name:?}; a parameter that is shown is made of letters, digits, `.`, `_` and `-`"
                );
                refusals.push(Refusal::new("query", why));
            } else if SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
                refusals.push(Refusal::new(
                    "query",
                    format!("has {name:?}, which holds secrets; it is never shown"),
                ));
            }
        }
        if self.headers.len() + self.query.len() > MOST {
            refusals.push(Refusal::new(
                "headers",
                format!("and `query` name more than {MOST} in all; a line is no dump"),
            ));
        }
        refusals
    }
}

impl Show {
    /// Its words live as long as the process, as those of the line's other fields do.
    pub(super) fn new(config: &ShowConfig) -> Self {
        let named = |prefix: &str, name: &str| &*format!("{prefix}{name}").leak();
        let headers = config.headers.iter().filter_map(|name| {
            Some((HeaderName::from_lowercase(name.as_bytes()).ok()?, named(HEADER, name)))
        });
        let query = config.query.iter().map(|name| (Box::from(name.as_str()), named(QUERY, name)));
        Show { headers: headers.collect(), query: query.collect() }
    }

    /// Notes what may be seen of `request`.
    #[inline]
    pub(super) fn note<B>(&self, request: &Request<B>, notes: &Notes) {
        if !self.headers.is_empty() || !self.query.is_empty() {
            self.note_some(request, notes);
        }
    }

    #[cold]
    fn note_some<B>(&self, request: &Request<B>, notes: &Notes) {
        for (name, key) in &self.headers {
            let values: Vec<_> = request
                .headers()
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            if !values.is_empty() {
                notes.add(key, brief(&values.join(", ")));
            }
        }
        let query = request.uri().query().unwrap_or_default();
        for (name, key) in &self.query {
            let values: Vec<_> = query
                .split('&')
                .filter_map(|pair| pair.split_once('=').filter(|(known, _)| *known == &**name))
                .map(|(_, value)| value)
                .collect();
            if !values.is_empty() {
                notes.add(key, brief(&values.join(", ")));
            }
        }
    }
}

/// Is this note of a span's business too?
pub(super) fn is_shown(key: &str) -> bool {
    key.starts_with(HEADER) || key.starts_with(QUERY)
}

/// A caller's text, short enough for a line.
fn brief(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// OpenTelemetry's names.
const HEADER: &str = "http.request.header.";
const QUERY: &str = "url.query.";
/// What HTTP and its users know as credentials.
const SECRET_HEADERS: [&str; 8] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-forwarded-client-cert",
];
/// RFC 6750's, OAuth's and OpenID Connect's, and what others call the same.
const SECRET_PARAMETERS: [&str; 14] = [
    "access_token",
    "api_key",
    "apikey",
    "client_secret",
    "code",
    "id_token",
    "key",
    "passwd",
    "password",
    "refresh_token",
    "secret",
    "sig",
    "signature",
    "token",
];
/// Half of what a line's notes can hold.
const MOST: usize = 16;
/// Characters of a value.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(headers: &[&str], query: &[&str]) -> ShowConfig {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        ShowConfig { headers: owned(headers), query: owned(query) }
    }

    #[test]
    fn what_is_named_is_noted_and_nothing_else() {
        let show = Show::new(&config(&["x-cart", "accept-language", "x-none"], &["page", "none"]));
        let request = Request::builder()
            .uri("/films?page=2&token=hunter2&page=3&pages=4")
            .header("x-cart", "c-7")
            .header("accept-language", "de")
            .header("accept-language", "x".repeat(500))
            .header("authorization", "hunter2")
            .body(())
            .unwrap();
        let notes = Notes::default();
        show.note(&request, &notes);
        let mut seen = Vec::new();
        notes.for_each(|key, value| seen.push((key, value.len(), value.chars().take(4).collect::<String>())));
        assert_eq!(
            seen,
            [
                ("http.request.header.x-cart", 3, "c-7".to_owned()),
                ("http.request.header.accept-language", 256, "de, ".to_owned()),
                ("url.query.page", 4, "2, 3".to_owned()),
            ]
        );
        assert!(seen.iter().all(|(key, ..)| is_shown(key)) && !is_shown("order_id"));
    }

    #[test]
    fn what_holds_secrets_cannot_be_named() {
        let refused = |headers: &[&str], query: &[&str]| config(headers, query).refusals().len();
        assert_eq!(refused(&["x-cart", "accept-language"], &["page", "sort.by"]), 0);
        assert_eq!(refused(&["authorization", "cookie", "X-Cart", "a b", ""], &[]), 5);
        assert_eq!(refused(&[], &["token", "Access_Token", "a=b", ""]), 4);
        assert_eq!(refused(&["x-a"; 17], &[]), 1);
    }
}
