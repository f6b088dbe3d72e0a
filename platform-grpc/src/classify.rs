//! What does this code mean?
//!
//! | code | outcome |
//! |---|---|
//! | OK | success |
//! | UNAVAILABLE with `platform-retry: safe` or a delay | overload |
//! | RESOURCE_EXHAUSTED, unless it says `never` | overload |
//! | DEADLINE_EXCEEDED | timeout |
//! | INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNIMPLEMENTED, UNAUTHENTICATED | the caller's fault: the target did its work |
//! | CANCELLED, UNKNOWN, INTERNAL, DATA_LOSS, a bare UNAVAILABLE | the server's fault |
//!
//! A bare UNAVAILABLE is not overload, because proxies and libraries say it for anything; an overloaded service of
//! ours says so. An error of ours is told by its kind, whatever the code.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use platform_core::{ErrorKind, Hint, Mark, Outcome, context::wire, fault::Abort};
use platform_http::client::dialect::under_way;
use tonic::Code;

use crate::status::{PUSHBACK, kind_of, read};

/// A code as the specification writes it: `DEADLINE_EXCEEDED`.
pub const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) code: Code,
    /// The kind of error that one of ours told.
    pub(crate) kind: Option<ErrorKind>,
    pub(crate) outcome: Outcome,
    pub(crate) hint: Hint,
    /// How many requests the server said that it had under way; of what [`heard`](Judged::heard).
    pub(crate) under_way: Option<u32>,
}

impl Judged {
    pub(crate) const OK: Judged =
        Judged { code: Code::Ok, kind: None, outcome: Outcome::Success, hint: Hint::NONE, under_way: None };

    /// What these headers or trailers say of a call; `None` if they say nothing.
    pub(crate) fn of(fields: &HeaderMap) -> Option<Judged> {
        let code = Code::from_bytes(fields.get(tonic::Status::GRPC_STATUS)?.as_bytes());
        if code == Code::Ok {
            return Some(Judged::OK);
        }
        // Rare, so that it may cost something.
        let status = read(fields)?;
        let kind = kind_of(&status);
        let hint = hint(fields, &status);
        Some(Judged { code, kind, outcome: outcome(code, kind, hint), hint, under_way: None })
    }

    /// The same, and what the server says of its load.
    pub(crate) fn heard(fields: &HeaderMap) -> Option<Judged> {
        let judged = Judged::of(fields)?;
        Some(Judged { under_way: under_way(fields), ..judged })
    }

    /// What a reply without a status means, by the specification's table.
    pub(crate) fn of_http(status: StatusCode) -> Judged {
        let code = code_of(status);
        let outcome = outcome(code, None, Hint::NONE);
        Judged { code, kind: None, outcome, hint: Hint::NONE, under_way: None }
    }
}

/// The code of a reply that is HTTP's and not gRPC's: a proxy, or a router that knows no such path.
pub(crate) fn code_of(status: StatusCode) -> Code {
    Code::from_i32(Abort::Status(status).grpc().number().into())
}

fn outcome(code: Code, kind: Option<ErrorKind>, hint: Hint) -> Outcome {
    match code {
        Code::Ok => Outcome::Success,
        Code::DeadlineExceeded => Outcome::Timeout,
        Code::Unavailable | Code::ResourceExhausted => {
            let faulty = matches!(kind, Some(ErrorKind::BodyTooLarge | ErrorKind::HeadersTooLarge));
            let told = hint.mark == Some(Mark::Safe) || hint.after.is_some();
            match hint.mark {
                _ if faulty => Outcome::CallerFault,
                Some(Mark::Never) => Outcome::ServerFault,
                _ if told || code == Code::ResourceExhausted => Outcome::Overload,
                _ => Outcome::ServerFault,
            }
        }
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => Outcome::ServerFault,
        _ => Outcome::CallerFault,
    }
}

/// What was said about coming back: our mark, gRPC's pushback, the details' delay; of two delays the longer.
fn hint(fields: &HeaderMap, status: &tonic::Status) -> Hint {
    use tonic_types::StatusExt as _;

    let mark = fields.get(&wire::RETRY).map(http::HeaderValue::as_bytes);
    let mut mark = [Mark::Never, Mark::Safe].into_iter().find(|one| mark == Some(one.as_str().as_bytes()));
    let mut after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    if let Some(pushback) = fields.get(PUSHBACK) {
        // A6: what is negative or makes no sense says no.
        match pushback.to_str().ok().and_then(|text| text.parse().ok()) {
            Some(ms) => after = after.max(Some(Duration::from_millis(ms))),
            None => mark = Some(Mark::Never),
        }
    }
    Hint { after, mark }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(fields: &[(&'static str, &str)]) -> Judged {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        Judged::of(&headers).unwrap()
    }

    #[test]
    fn every_code_has_a_name_and_a_meaning() {
        use Outcome::{CallerFault, Overload, ServerFault, Success, Timeout};
        let table = [
            ("OK", Success),
            ("CANCELLED", ServerFault),
            ("UNKNOWN", ServerFault),
            ("INVALID_ARGUMENT", CallerFault),
            ("DEADLINE_EXCEEDED", Timeout),
            ("NOT_FOUND", CallerFault),
            ("ALREADY_EXISTS", CallerFault),
            ("PERMISSION_DENIED", CallerFault),
            ("RESOURCE_EXHAUSTED", Overload),
            ("FAILED_PRECONDITION", CallerFault),
            ("ABORTED", CallerFault),
            ("OUT_OF_RANGE", CallerFault),
            ("UNIMPLEMENTED", CallerFault),
            ("INTERNAL", ServerFault),
            ("UNAVAILABLE", ServerFault),
            ("DATA_LOSS", ServerFault),
            ("UNAUTHENTICATED", CallerFault),
        ];
        for (number, (code, outcome)) in table.into_iter().enumerate() {
            let judged = judged(&[("grpc-status", &number.to_string())]);
            assert_eq!((name(judged.code), judged.outcome), (code, outcome));
        }
        assert_eq!(judged(&[("grpc-status", "99")]).code, Code::Unknown);
        assert_eq!(judged(&[("grpc-status", "many")]).code, Code::Unknown);
        assert_eq!(Judged::of(&HeaderMap::new()), None);
    }

    #[test]
    fn a_delay_and_a_mark_say_overload_and_a_no_says_no() {
        use Outcome::{Overload, ServerFault};
        let ms = |ms| Some(Duration::from_millis(ms));
        let table: [(&str, &[_], _); 8] = [
            ("14", &[("platform-retry", "safe")], (Overload, None, Some(Mark::Safe))),
            ("14", &[("grpc-retry-pushback-ms", "200")], (Overload, ms(200), None)),
            ("14", &[("grpc-retry-pushback-ms", "-1")], (ServerFault, None, Some(Mark::Never))),
            ("14", &[("grpc-retry-pushback-ms", "soon")], (ServerFault, None, Some(Mark::Never))),
            ("14", &[("platform-retry", "never")], (ServerFault, None, Some(Mark::Never))),
            ("14", &[("platform-retry", "perhaps")], (ServerFault, None, None)),
            ("8", &[("grpc-retry-pushback-ms", "0")], (Overload, ms(0), None)),
            ("8", &[("platform-retry", "never")], (ServerFault, None, Some(Mark::Never))),
        ];
        for (code, told, expected) in table {
            let mut fields = vec![("grpc-status", code)];
            fields.extend_from_slice(told);
            let Judged { outcome, hint, .. } = judged(&fields);
            assert_eq!((outcome, hint.after, hint.mark), expected, "{fields:?}");
        }
    }

    #[test]
    fn what_a_proxy_answers_has_a_code() {
        for (status, code) in [
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (429, Code::Unavailable),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
            (200, Code::Unknown),
            (500, Code::Unknown),
        ] {
            assert_eq!(Judged::of_http(StatusCode::from_u16(status).unwrap()).code, code, "{status}");
        }
    }
}
