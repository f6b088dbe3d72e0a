//! What does this HTTP reply mean?
//!
//! | status | verdict |
//! |---|---|
//! | 1xx, 2xx, 3xx | success: the target answered as asked |
//! | 429 | overload |
//! | 503 with `platform-retry: safe` or a `retry-after` | overload |
//! | 4xx | the caller's fault: the target did its work |
//! | 5xx, a bare 503 among them | the server's fault |
//!
//! A bare 503 is not overload, because proxies say it for anything; an overloaded service of ours says so.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Response, StatusCode, header};
use platform_core::{Classify, Hint, Mark, Outcome, context::wire};

/// Judges HTTP replies by status, mark and delay.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByStatus;

impl<B> Classify<Response<B>> for ByStatus {
    fn classify(&self, reply: &Response<B>) -> (Outcome, Hint) {
        judge(reply.status(), reply.headers(), SystemTime::now)
    }
}

/// `today` is asked only for a `retry-after` that is a date.
fn judge(status: StatusCode, headers: &HeaderMap, today: impl FnOnce() -> SystemTime) -> (Outcome, Hint) {
    // Most replies; no header is looked up for them.
    if status.as_u16() < 400 {
        return (Outcome::Success, Hint::NONE);
    }
    let hint = Hint {
        after: headers.get(header::RETRY_AFTER).and_then(|value| delay(value.to_str().ok()?, today)),
        mark: headers.get(&wire::RETRY).and_then(|value| mark(value.as_bytes())),
    };
    let outcome = match status {
        StatusCode::TOO_MANY_REQUESTS => Outcome::Overload,
        StatusCode::SERVICE_UNAVAILABLE if hint.mark == Some(Mark::Safe) || hint.after.is_some() => {
            Outcome::Overload
        }
        _ if status.is_client_error() => Outcome::CallerFault,
        _ => Outcome::ServerFault,
    };
    (outcome, hint)
}

fn mark(value: &[u8]) -> Option<Mark> {
    [Mark::Never, Mark::Safe].into_iter().find(|mark| mark.as_str().as_bytes() == value)
}

/// Whole seconds from 1, or a date; a date that has passed says "now".
fn delay(value: &str, today: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let value = value.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(today()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Duration = Duration::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT

    fn read(status: u16, headers: &[(&'static str, &str)]) -> (Outcome, Option<u64>, Option<Mark>) {
        let mut reply = Response::new(());
        *reply.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            reply.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (outcome, hint) = judge(reply.status(), reply.headers(), || SystemTime::UNIX_EPOCH + TODAY);
        (outcome, hint.after.map(|after| after.as_secs()), hint.mark)
    }

    #[test]
    fn every_status_has_a_meaning() {
        use Outcome::{CallerFault, Overload, ServerFault, Success};
        let table = [
            (200, Success),
            (204, Success),
            (302, Success),
            (304, Success),
            (400, CallerFault),
            (401, CallerFault),
            (404, CallerFault),
            (408, CallerFault),
            (409, CallerFault),
            (413, CallerFault),
            (429, Overload),
            (499, CallerFault),
            (500, ServerFault),
            (501, ServerFault),
            (502, ServerFault),
            (503, ServerFault),
            (504, ServerFault),
            (599, ServerFault),
            (999, ServerFault),
        ];
        for (status, outcome) in table {
            assert_eq!(read(status, &[]), (outcome, None, None), "{status}");
        }
    }

    #[test]
    fn a_503_is_overload_only_with_a_mark_or_a_delay() {
        use Outcome::{Overload, ServerFault};
        let table: [(&[(&str, &str)], _); 6] = [
            (&[("platform-retry", "safe")], (Overload, None, Some(Mark::Safe))),
            (&[("retry-after", "2")], (Overload, Some(2), None)),
            (&[("retry-after", "2"), ("platform-retry", "never")], (Overload, Some(2), Some(Mark::Never))),
            (&[("platform-retry", "never")], (ServerFault, None, Some(Mark::Never))),
            (&[("platform-retry", "perhaps")], (ServerFault, None, None)),
            (&[("retry-after", "soon")], (ServerFault, None, None)),
        ];
        for (headers, expected) in table {
            assert_eq!(read(503, headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_delay_is_whole_seconds_or_a_date() {
        let table = [
            ("1", Some(1)),
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("0", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("99999999999999999999", None),
        ];
        for (text, seconds) in table {
            assert_eq!(read(429, &[("retry-after", text)]).1, seconds, "{text}");
        }
    }

    #[test]
    fn other_failures_keep_what_was_said() {
        assert_eq!(
            read(500, &[("platform-retry", "never")]),
            (Outcome::ServerFault, None, Some(Mark::Never))
        );
        assert_eq!(read(504, &[("retry-after", "3")]), (Outcome::ServerFault, Some(3), None));
        assert_eq!(read(200, &[("platform-retry", "never")]), (Outcome::Success, None, None));
    }
}
