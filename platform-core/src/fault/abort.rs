//! Abort: what a call that never happened looks like.

use std::{fmt, str::FromStr, sync::Arc};

use http::StatusCode;

use crate::error::{Error, ErrorKind};

/// What is answered in the dependency's place, without asking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// A reply of this HTTP status, 200 to 599.
    Status(StatusCode),
    /// The end of a gRPC call with this code.
    Grpc(GrpcCode),
    /// Nobody there: no connection could be made.
    Unreachable,
}

/// A gRPC code other than OK; only its number and name, because this crate speaks no gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcCode(u8);

impl Abort {
    /// A reply of this HTTP status, if it is one of 200 to 599.
    pub fn with_status(status: u16) -> Option<Self> {
        (200..=599).contains(&status).then(|| StatusCode::from_u16(status).ok()).flatten().map(Abort::Status)
    }

    /// The status that an HTTP client is answered with; none where no reply came. Its headers carry none of our
    /// marks: the dependency did not refuse politely, it broke.
    pub fn status(self) -> Option<StatusCode> {
        match self {
            Abort::Status(status) => Some(status),
            Abort::Grpc(code) => Some(code.http()),
            Abort::Unreachable => None,
        }
    }

    /// The code that a gRPC client is answered with. A status of HTTP means what it would mean from a proxy that
    /// speaks no gRPC, so that 200 is UNKNOWN.
    pub fn grpc(self) -> GrpcCode {
        match self {
            Abort::Grpc(code) => code,
            Abort::Unreachable => GrpcCode::UNAVAILABLE,
            Abort::Status(status) => GrpcCode(match status.as_u16() {
                400 => 13,
                401 => 16,
                403 => 7,
                404 => 12,
                429 | 502 | 503 | 504 => 14,
                _ => 2,
            }),
        }
    }

    /// The error of a caller who gets no reply, because `fault` wants it so: unreachable, or for an abort that
    /// does have a reply and a caller who knows none, a dependency that failed.
    pub fn error(self, fault: &Arc<str>) -> Error {
        let kind = match self {
            Abort::Unreachable => ErrorKind::Unreachable,
            Abort::Status(_) | Abort::Grpc(_) => ErrorKind::Upstream,
        };
        let error = Error::new(kind, format!("fault `{fault}` was injected: abort={self}")).at_layer(LAYER);
        // To guards and repeats it must look like the real thing, and a dependency's failure is not its last word.
        if kind == ErrorKind::Upstream { error.with_hint(crate::outcome::Hint::default()) } else { error }
    }
}

impl GrpcCode {
    /// UNAVAILABLE, what most outages look like.
    pub const UNAVAILABLE: GrpcCode = GrpcCode(14);

    /// The code of this number, 1 to 16.
    pub fn new(number: u8) -> Option<Self> {
        (1..=16).contains(&number).then_some(GrpcCode(number))
    }

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its name: `UNAVAILABLE`.
    pub fn as_str(self) -> &'static str {
        CODES[usize::from(self.0) - 1].0
    }

    /// The HTTP status that means the same, by the table of `google.rpc.Code`.
    fn http(self) -> StatusCode {
        StatusCode::from_u16(CODES[usize::from(self.0) - 1].1).expect("the table holds statuses")
    }
}

impl FromStr for Abort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case(UNREACHABLE) {
            return Ok(Abort::Unreachable);
        }
        if let Some(status) = text.parse().ok().and_then(Abort::with_status) {
            return Ok(status);
        }
        let known = CODES.iter().zip(1..).find(|((name, _), _)| text.eq_ignore_ascii_case(name));
        known.map(|(_, number)| Abort::Grpc(GrpcCode(number))).ok_or_else(|| {
            format!(
                "abort: {text:?} is not an HTTP status from 200 to 599, the name of a gRPC code or \
                 `{UNREACHABLE}`; write 503, UNAVAILABLE or {UNREACHABLE}"
            )
        })
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Abort::Status(status) => status.as_u16().fmt(f),
            Abort::Grpc(code) => f.write_str(code.as_str()),
            Abort::Unreachable => f.write_str(UNREACHABLE),
        }
    }
}

const UNREACHABLE: &str = "unreachable";
const LAYER: &str = "fault";

/// Names and HTTP statuses of the codes 1 to 16.
const CODES: [(&str, u16); 16] = [
    ("CANCELLED", 499),
    ("UNKNOWN", 500),
    ("INVALID_ARGUMENT", 400),
    ("DEADLINE_EXCEEDED", 504),
    ("NOT_FOUND", 404),
    ("ALREADY_EXISTS", 409),
    ("PERMISSION_DENIED", 403),
    ("RESOURCE_EXHAUSTED", 429),
    ("FAILED_PRECONDITION", 400),
    ("ABORTED", 409),
    ("OUT_OF_RANGE", 400),
    ("UNIMPLEMENTED", 501),
    ("INTERNAL", 500),
    ("UNAVAILABLE", 503),
    ("DATA_LOSS", 500),
    ("UNAUTHENTICATED", 401),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    #[test]
    fn what_an_abort_looks_like_to_either_wire() {
        // The second column is A33's table: what gRPC makes of an HTTP status.
        for (text, code, status) in [
            ("400", "INTERNAL", Some(400)),
            ("401", "UNAUTHENTICATED", Some(401)),
            ("403", "PERMISSION_DENIED", Some(403)),
            ("404", "UNIMPLEMENTED", Some(404)),
            ("429", "UNAVAILABLE", Some(429)),
            ("502", "UNAVAILABLE", Some(502)),
            ("503", "UNAVAILABLE", Some(503)),
            ("504", "UNAVAILABLE", Some(504)),
            ("200", "UNKNOWN", Some(200)),
            ("500", "UNKNOWN", Some(500)),
            ("599", "UNKNOWN", Some(599)),
            ("UNAVAILABLE", "UNAVAILABLE", Some(503)),
            ("deadline_exceeded", "DEADLINE_EXCEEDED", Some(504)),
            ("CANCELLED", "CANCELLED", Some(499)),
            ("unreachable", "UNAVAILABLE", None),
        ] {
            let abort: Abort = text.parse().unwrap();
            assert_eq!(abort.grpc().as_str(), code, "{text}");
            assert_eq!(abort.status().map(|status| status.as_u16()), status, "{text}");
            assert_eq!(abort.to_string().parse(), Ok(abort), "{text}");
        }
        for text in ["", "199", "600", "65536", "-1", "OK", "0", "5xx", "UNAVAILABLE "] {
            let told = text.parse::<Abort>().unwrap_err();
            assert!(told.contains("write 503, UNAVAILABLE or unreachable"), "{told}");
        }
    }

    #[test]
    fn every_code_has_a_name_and_a_number() {
        for number in 1..=16 {
            let code = GrpcCode::new(number).unwrap();
            assert_eq!(code.number(), number);
            assert_eq!(code.as_str().parse(), Ok(Abort::Grpc(code)));
        }
        assert_eq!((GrpcCode::new(0), GrpcCode::new(17)), (None, None));
        assert_eq!(GrpcCode::UNAVAILABLE.as_str(), "UNAVAILABLE");
    }

    #[test]
    fn an_error_says_that_it_is_us_and_means_what_the_real_one_would() {
        let fault = Arc::from("pay-down");
        let gone = Abort::Unreachable.error(&fault);
        assert_eq!((gone.kind(), gone.outcome()), (ErrorKind::Unreachable, Outcome::Unreachable));
        assert_eq!(
            gone.to_string(),
            "unreachable: fault `pay-down` was injected: abort=unreachable [layer=fault]"
        );
        let failed = Abort::Grpc(GrpcCode::UNAVAILABLE).error(&fault);
        assert_eq!((failed.kind(), failed.outcome()), (ErrorKind::Upstream, Outcome::ServerFault));
        assert_eq!(failed.hint(), crate::outcome::Hint::default(), "a repeat is worth a try");
    }
}
