//! What does the server's page say in gRPC?

use http::{HeaderMap, Method, Response, StatusCode, header};
use platform_core::{Error, ErrorKind};
use platform_http::{
    Body,
    server::dialect::{Dialect, Ended, Named, Status},
};
use tonic::Code;

use super::observe::Observer;
use crate::{
    classify::{Judged, code_of, name},
    status::{code, status, status_for_strangers},
};

/// gRPC, for the server's page.
pub(super) struct Grpc {
    observer: Observer,
}

impl Grpc {
    pub(super) fn new(observer: Observer) -> Self {
        Grpc { observer }
    }
}

impl Dialect for Grpc {
    fn is_spoken(&self, method: &Method, headers: &HeaderMap) -> bool {
        *method == Method::POST && is_grpc(headers)
    }

    fn knows(&self, path: &str) -> Option<bool> {
        self.observer.knows(path)
    }

    fn refuse(&self, error: &Error, to_strangers: bool) -> Response<Body> {
        reply(told(error, to_strangers))
    }

    fn translate(&self, status: StatusCode) -> Response<Body> {
        let text = match status {
            StatusCode::NOT_FOUND => "there is no such service or method".to_owned(),
            _ => format!("answered in HTTP: {status}"),
        };
        reply(tonic::Status::new(code_of(status), text))
    }

    fn is_reply(&self, reply: &HeaderMap) -> bool {
        is_grpc(reply)
    }

    fn trailers(&self, error: &Error, to_strangers: bool) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        // Our own words, marks and numbers can stand in headers.
        let _ = told(error, to_strangers).add_header(&mut trailers);
        trailers
    }

    fn status(&self, fields: &HeaderMap) -> Option<Status> {
        let Judged { code, kind, outcome, .. } = Judged::of(fields)?;
        Some(Status { code: code as i32, reason: kind, outcome: kind.map_or(outcome, ErrorKind::outcome) })
    }

    fn status_of(&self, reason: ErrorKind) -> Status {
        Status { code: code(reason) as i32, reason: Some(reason), outcome: reason.outcome() }
    }

    fn measure(&self, call: &Ended<'_>) -> Named {
        let code = Code::from_i32(call.status.code);
        let method = self.observer.observe(call, code);
        let (status, is_error) = (name(code), is_the_servers(code));
        let mut attributes = vec![
            ("rpc.system.name", "grpc".into()),
            ("rpc.method", method.to_string().into()),
            ("rpc.response.status_code", status.into()),
        ];
        if let Some(error) = error_type(call.status.reason, code) {
            attributes.push(("error.type", error.into()));
        }
        Named { method, status, is_error, attributes }
    }
}

/// Told by the content type, as the specification does; `application/grpc-web` is something else.
fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    kind.and_then(|kind| kind.strip_prefix(GRPC)).is_some_and(|rest| matches!(rest, [] | [b'+' | b';', ..]))
}

fn told(error: &Error, to_strangers: bool) -> tonic::Status {
    if to_strangers { status_for_strangers(error) } else { status(error) }
}

/// A reply that is over with its head.
fn reply(status: tonic::Status) -> Response<Body> {
    status.into_http::<()>().map(|()| Body::empty_reply())
}

/// The codes that OpenTelemetry calls errors of a server.
fn is_the_servers(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, DataLoss | DeadlineExceeded | Internal | Unavailable | Unimplemented | Unknown)
}

/// The kind; the code of a server's error without one.
pub(super) fn error_type(reason: Option<ErrorKind>, code: Code) -> Option<&'static str> {
    match reason {
        Some(reason) => Some(reason.as_str()),
        None => is_the_servers(code).then(|| name(code)),
    }
}

const GRPC: &[u8] = b"application/grpc";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            assert_eq!(is_grpc(&headers), expected, "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
