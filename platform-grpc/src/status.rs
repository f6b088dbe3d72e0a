//! What does an error become in gRPC?
//!
//! The only table from our kinds to gRPC's codes.
//!
//! ```
//! use platform_core::{Error, ErrorKind};
//! use tonic::Code;
//!
//! let status = platform_grpc::status(&Error::new(ErrorKind::Overloaded, "42 requests wait"));
//! assert_eq!(status.code(), Code::Unavailable);
//! assert_eq!(status.metadata().get("platform-retry").unwrap(), "safe");
//! ```

use std::time::Duration;

use platform_core::{Error, ErrorKind, Mark};
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};

/// The code of an error of this kind.
pub fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::BodyTooLarge
        | ErrorKind::BulkheadFull
        | ErrorKind::HeadersTooLarge
        | ErrorKind::RateLimited => Code::ResourceExhausted,
        ErrorKind::BreakerOpen
        | ErrorKind::Draining
        | ErrorKind::NoEndpoints
        | ErrorKind::Overloaded
        | ErrorKind::Throttled
        | ErrorKind::Unreachable
        | ErrorKind::Upstream => Code::Unavailable,
        ErrorKind::Expired | ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::Abandoned => Code::Cancelled,
        _ => Code::Internal,
    }
}

/// The status, with the marks and delays that machines read.
pub fn status(error: &Error) -> Status {
    let hint = error.hint();
    let mut metadata = MetadataMap::new();
    if let Some(mark) = hint.mark {
        metadata.insert(RETRY, MetadataValue::from_static(mark.as_str()));
    }
    let pushback = match (hint.mark, hint.after) {
        // gRPC's way to say that nobody should try again.
        (Some(Mark::Never), _) => Some(STOP),
        (_, Some(after)) => Some(whole_ms(after)),
        _ => None,
    };
    if let Some(pushback) = pushback {
        metadata.insert(PUSHBACK, MetadataValue::from(pushback));
    }
    Status::with_metadata(code(error.kind()), error.detail(), metadata)
}

/// Rounded up: coming back too early is worse than a little late.
fn whole_ms(after: Duration) -> i64 {
    i64::try_from(after.as_micros().div_ceil(1000)).unwrap_or(i64::MAX)
}

const RETRY: &str = "platform-retry";
/// gRPC A6.
const PUSHBACK: &str = "grpc-retry-pushback-ms";
const STOP: i64 = -1;

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the contract, row by row.
    #[test]
    fn every_kind_has_its_code_and_mark() {
        for (kind, expected, mark) in [
            (ErrorKind::Invalid, Code::InvalidArgument, None),
            (ErrorKind::Unauthenticated, Code::Unauthenticated, None),
            (ErrorKind::Forbidden, Code::PermissionDenied, None),
            (ErrorKind::NotFound, Code::NotFound, None),
            (ErrorKind::BodyTooLarge, Code::ResourceExhausted, None),
            (ErrorKind::HeadersTooLarge, Code::ResourceExhausted, None),
            (ErrorKind::RateLimited, Code::ResourceExhausted, Some("safe")),
            (ErrorKind::Overloaded, Code::Unavailable, Some("safe")),
            (ErrorKind::Draining, Code::Unavailable, Some("safe")),
            (ErrorKind::Expired, Code::DeadlineExceeded, None),
            (ErrorKind::Timeout, Code::DeadlineExceeded, None),
            (ErrorKind::BreakerOpen, Code::Unavailable, Some("never")),
            (ErrorKind::Throttled, Code::Unavailable, Some("never")),
            (ErrorKind::NoEndpoints, Code::Unavailable, Some("never")),
            (ErrorKind::BulkheadFull, Code::ResourceExhausted, Some("never")),
            (ErrorKind::Unreachable, Code::Unavailable, Some("never")),
            (ErrorKind::Upstream, Code::Unavailable, Some("never")),
            (ErrorKind::Panic, Code::Internal, None),
            (ErrorKind::Internal, Code::Internal, None),
            (ErrorKind::Abandoned, Code::Cancelled, None),
        ] {
            let status = status(&Error::new(kind, "why"));
            assert_eq!((status.code(), status.message()), (expected, "why"), "{kind}");
            let seen = status.metadata().get(RETRY).map(|mark| mark.to_str().unwrap().to_owned());
            assert_eq!(seen.as_deref(), mark, "{kind}");
            let stops = status.metadata().get(PUSHBACK).is_some_and(|value| value == "-1");
            assert_eq!(stops, mark == Some("never"), "{kind}");
        }
    }

    #[test]
    fn a_delay_is_a_pushback_never_too_short() {
        let error =
            Error::new(ErrorKind::RateLimited, "slow down").retry_after(Duration::from_micros(1_200_001));
        assert_eq!(status(&error).metadata().get(PUSHBACK).unwrap(), "1201");
    }
}
