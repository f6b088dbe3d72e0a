//! What a person writes when something should change.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use platform_core::{Error, ErrorKind, config::duration};
use serde::{Deserialize, de::DeserializeOwned};

use super::in_force::{DEFAULT_LENGTH, LONGEST};
use crate::Problem;

/// What a body says, with an example for who got it wrong.
pub(super) trait Ask: DeserializeOwned {
    /// How to write it.
    const EXAMPLE: &'static str;
}

/// Why something is changed; never empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Why(pub(super) String);

/// For how long.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Length(pub(super) Duration);

/// Reads the body of a change.
pub(super) async fn read<T: Ask>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    let refuse = |why: String| Problem::invalid(format!("{why}; send {}", T::EXAMPLE));
    let sent = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes().escape_ascii().to_string());
    // A form of another site cannot send this type without being asked about first.
    if !sent.as_deref().is_some_and(is_json) {
        let sent = sent.map_or_else(|| "none".to_owned(), |sent| format!("`{sent}`"));
        return Err(refuse(format!("`content-type` must be application/json, not {sent}")));
    }
    let bytes = match tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Problem::new(
                ErrorKind::BodyTooLarge,
                format!("a change needs no more than {LARGEST} bytes"),
            ));
        }
        Ok(Err(error)) => {
            return Err(Problem::from(
                Error::new(ErrorKind::Invalid, "the body broke off").with_source(error),
            ));
        }
        Err(_) => return Err(Problem::invalid(format!("the body did not come within {PATIENCE:?}"))),
    };
    serde_json::from_slice(&bytes).map_err(|error| refuse(format!("the body was not understood: {error}")))
}

impl TryFrom<String> for Why {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text.len() > LONGEST_WHY {
            return Err(format!("`why` is a reason of 1 to {LONGEST_WHY} bytes"));
        }
        Ok(Why(text.to_owned()))
    }
}

impl TryFrom<String> for Length {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let length = duration::parse(&text).map_err(|why| format!("`for`: {why}"))?;
        if length.is_zero() || length > LONGEST {
            return Err(format!(
                "`for`: a change is in force for at most 24h and longer than 0ms, not {text}; what should last \
                 belongs into the configuration"
            ));
        }
        Ok(Length(length))
    }
}

impl Default for Length {
    fn default() -> Self {
        Length(DEFAULT_LENGTH)
    }
}

fn is_json(value: &str) -> bool {
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// Far more than a reason and a setting.
const LARGEST: usize = 64 * 1024;
/// A few sentences and a link.
const LONGEST_WHY: usize = 1_000;
/// People type before they send.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        why: Why,
        #[serde(default, rename = "for")]
        length: Length,
    }

    impl Ask for Example {
        const EXAMPLE: &'static str = "EXAMPLE";
    }

    async fn ask(content_type: &'static str, body: &str) -> Result<Example, String> {
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))].into_iter().collect();
        let read = read(&headers, Body::from(body.to_owned())).await;
        read.map_err(|problem| problem.error().to_string())
    }

    #[tokio::test]
    async fn what_is_understood() {
        for (body, seconds) in [
            (r#"{"why":"x"}"#, 1_800),
            (r#"{"why":" x ","for":"1ms"}"#, 0),
            (r#"{"why":"x","for":"24h"}"#, 86_400),
        ] {
            let read = ask("application/json; charset=utf-8", body).await.unwrap();
            assert_eq!((read.why.0.as_str(), read.length.0.as_secs()), ("x", seconds), "{body}");
        }
    }

    #[tokio::test]
    async fn what_is_not_understood_is_explained() {
        for (content_type, body, told) in [
            ("text/plain", r#"{"why":"x"}"#, "must be application/json, not `text/plain`; send EXAMPLE"),
            ("application/json", "{", "the body was not understood: EOF"),
            ("application/json", "{}", "missing field `why`"),
            ("application/json", r#"{"why":" "}"#, "`why` is a reason of 1 to 1000 bytes"),
            ("application/json", r#"{"why":7}"#, "invalid type"),
            ("application/json", r#"{"why":"x","for":"1d"}"#, "`for`: \"1d\" is not a duration"),
            ("application/json", r#"{"why":"x","for":"25h"}"#, "at most 24h"),
            ("application/json", r#"{"why":"x","for":"0ms"}"#, "longer than 0ms"),
            ("application/json", r#"{"why":"x","until":"1h"}"#, "unknown field `until`"),
        ] {
            let refused = ask(content_type, body).await.unwrap_err();
            assert!(refused.starts_with("invalid: ") && refused.contains(told), "{body}: {refused}");
        }
        let endless = format!(r#"{{"why":"{}"}}"#, "x".repeat(LARGEST));
        assert!(ask("application/json", &endless).await.unwrap_err().starts_with("body_too_large: "));
    }
}
