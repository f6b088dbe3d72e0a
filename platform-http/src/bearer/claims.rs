//! What does a token say?

use std::{fmt, sync::Arc};

use serde_json::{Map, Value};

/// Whom a bearer token names, and what it may: a token that was checked.
///
/// Handlers find it among a request's extensions:
///
/// ```
/// use axum::Extension;
/// use platform_http::bearer::Bearer;
///
/// async fn hello(Extension(bearer): Extension<Bearer>) -> String {
///     format!("hello, {}", bearer.subject())
/// }
/// ```
#[derive(Clone)]
pub struct Bearer(Arc<Claims>);

struct Claims {
    subject: String,
    scopes: Vec<String>,
    all: Map<String, Value>,
}

impl Bearer {
    /// `claims` as they stood in a token that was checked; nobody if they name no subject that can stand in a line.
    #[cfg_attr(not(feature = "jwt"), expect(dead_code, reason = "only a build that checks tokens makes one"))]
    pub(crate) fn of(claims: Map<String, Value>) -> Option<Self> {
        let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| is_line(subject))?;
        // RFC 8693 writes them in one text; others write `scp`, some as a list.
        let scopes = match (claims.get("scope"), claims.get("scp")) {
            (Some(Value::String(scopes)), _) | (None, Some(Value::String(scopes))) => {
                scopes.split_ascii_whitespace().map(str::to_owned).collect()
            }
            (None, Some(Value::Array(scopes))) => {
                scopes.iter().filter_map(|scope| scope.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        };
        Some(Bearer(Arc::new(Claims { subject: subject.to_owned(), scopes, all: claims })))
    }

    /// Whom it names (`sub`): 1 to 255 printable characters.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// What it may (`scope`, or `scp`).
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scopes.iter().map(String::as_str)
    }

    /// May it do this?
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|known| known == scope)
    }

    /// Any other of its claims.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.all.get(name)
    }
}

/// Its name and what it may, and none of its other claims, which may be anybody's.
impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer")
            .field("subject", &self.0.subject)
            .field("scopes", &self.0.scopes)
            .finish_non_exhaustive()
    }
}

/// What can stand in a line and in a list.
fn is_line(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// RFC 7519 sets no limit; OpenID Connect does, for this claim.
const LONGEST: usize = 255;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_names_one_subject_and_what_it_may() {
        let of = |claims: Value| {
            let bearer = Bearer::of(claims.as_object()?.clone())?;
            Some((bearer.subject().to_owned(), bearer.scopes().collect::<Vec<_>>().join("|")))
        };
        let long = "x".repeat(256);
        for (claims, expected) in [
            (json!({ "sub": "ann" }), Some(("ann", ""))),
            (json!({ "sub": "ann", "scope": " a b  c " }), Some(("ann", "a|b|c"))),
            (json!({ "sub": "ann", "scp": ["a", 7, "b"] }), Some(("ann", "a|b"))),
            (json!({ "sub": "ann", "scp": "a b" }), Some(("ann", "a|b"))),
            // Two that differ: the standard's counts, and nothing is added up.
            (json!({ "sub": "ann", "scope": "a", "scp": ["b"] }), Some(("ann", "a"))),
            (json!({ "sub": "ann", "scope": ["a"] }), Some(("ann", ""))),
            (json!({ "scope": "a" }), None),
            (json!({ "sub": 7 }), None),
            (json!({ "sub": "" }), None),
            (json!({ "sub": "a\nb" }), None),
            (json!({ "sub": long }), None),
        ] {
            let expected = expected.map(|(subject, scopes)| (subject.to_owned(), scopes.to_owned()));
            assert_eq!(of(claims.clone()), expected, "{claims}");
        }
    }

    #[test]
    fn printing_it_shows_no_other_claim() {
        let claims = json!({ "sub": "ann", "scope": "a", "email": "ann@home.example" });
        let bearer = Bearer::of(claims.as_object().unwrap().clone()).unwrap();
        assert_eq!(format!("{bearer:?}"), r#"Bearer { subject: "ann", scopes: ["a"], .. }"#);
        assert_eq!(bearer.claim("email").unwrap(), "ann@home.example");
    }
}
