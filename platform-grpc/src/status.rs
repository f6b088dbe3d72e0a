//! What does an error become in gRPC, and what does a status tell?
//!
//! The only table from our kinds to gRPC's codes, and the way back.
//!
//! ```
//! use platform_core::{Error, ErrorKind};
//! use tonic::Code;
//!
//! let status = platform_grpc::status(&Error::new(ErrorKind::Overloaded, "42 requests wait"));
//! assert_eq!(status.code(), Code::Unavailable);
//! assert_eq!(status.metadata().get("platform-retry").unwrap(), "safe");
//! ```
//!
//! A handler writes `.or_status()?` behind what fails with our error:
//!
//! ```
//! # use platform_core::{Error, ErrorKind, Result};
//! # fn find() -> Result<u32> { Err(Error::new(ErrorKind::NotFound, "no such film")) }
//! use platform_grpc::OrStatus as _;
//!
//! fn handler() -> Result<u32, tonic::Status> {
//!     let film = find().or_status()?;
//!     Ok(film)
//! }
//! assert_eq!(handler().unwrap_err().code(), tonic::Code::NotFound);
//! ```

use std::{collections::HashMap, error, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose};
use http::HeaderMap;
use platform_core::{Error, ErrorKind, Mark, stack::Guarding};
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::classify::{self, Judged};

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

/// The status of an error: with the marks and delays that machines read, and with details (`ErrorInfo`, `RetryInfo`,
/// `QuotaFailure` of a tenant's rate) that name the reason, the layer and the target. [`error()`] finds the error itself in it again.
pub fn status(error: &Error) -> Status {
    told(error, error.detail(), place(error)).with(error)
}

/// The same for strangers: what went wrong inside is nobody's business.
pub(crate) fn status_for_strangers(error: &Error) -> Status {
    if platform_http::problem::status(error.kind()).is_server_error() {
        return told(error, "", HashMap::new()).0;
    }
    status(error)
}

/// What a status tells, as an error: one of ours as it was, what a peer answered as [`ErrorKind::Upstream`] with its
/// own words and what it means.
pub fn error(status: &Status) -> Error {
    let ours = error::Error::source(status).and_then(|source| source.downcast_ref::<Error>());
    if let Some(error) = ours {
        return error.clone();
    }
    // With its details: the kind that they name says whose fault it was.
    let mut fields = HeaderMap::new();
    let judged = status.add_header(&mut fields).ok().and_then(|()| Judged::of(&fields));
    let mut text = format!("answered {}", classify::name(status.code()));
    if !status.message().is_empty() {
        text.push_str(": ");
        // A stranger's message has a place in a log line, not a page.
        text.extend(status.message().chars().take(MAX_TOLD).filter(|c| !c.is_control()));
    }
    if let Some(info) = status.get_details_error_info() {
        let layer = info.metadata.get(LAYER).map(|layer| format!(" layer={layer}")).unwrap_or_default();
        text.extend(format!(" [reason={}{layer}]", info.reason).chars().take(MAX_TOLD));
    }
    let error = Error::new(ErrorKind::Upstream, text);
    match judged {
        Some(judged) => error.with_outcome(judged.outcome),
        None => error,
    }
}

/// Our errors where a handler fails with a status.
pub trait OrStatus<T> {
    /// The same with the error's status.
    ///
    /// # Errors
    /// The status of the error.
    fn or_status(self) -> Result<T, Status>;
}

impl<T> OrStatus<T> for Result<T, Error> {
    fn or_status(self) -> Result<T, Status> {
        self.map_err(|error| status(&error))
    }
}

/// The status in these headers or trailers; details that are none are left out rather than believed.
pub(crate) fn read(fields: &HeaderMap) -> Option<Status> {
    if has_sound_details(fields) {
        return Status::from_header_map(fields);
    }
    let mut fields = fields.clone();
    fields.remove(Status::GRPC_STATUS_DETAILS);
    Status::from_header_map(&fields)
}

/// Are the details what they have to be? tonic would panic over some that are not.
pub(crate) fn has_sound_details(fields: &HeaderMap) -> bool {
    fields.get(Status::GRPC_STATUS_DETAILS).is_none_or(|details| BASE64.decode(details.as_bytes()).is_ok())
}

/// The kind of error that one of ours told.
pub(crate) fn kind_of(status: &Status) -> Option<ErrorKind> {
    if status.details().is_empty() {
        return None;
    }
    let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN)?;
    ErrorKind::parse(&info.reason.to_ascii_lowercase())
}

/// A status that may keep its error.
struct Told(Status);

impl Told {
    fn with(mut self, error: &Error) -> Status {
        self.0.set_source(Arc::new(error.clone()));
        self.0
    }
}

fn told(error: &Error, message: &str, place: HashMap<String, String>) -> Told {
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
    let mut details =
        ErrorDetails::with_error_info(error.kind().as_str().to_ascii_uppercase(), DOMAIN, place);
    if hint.after.is_some() {
        details.set_retry_info(hint.after);
    }
    // A handler's own limit is not ours to explain.
    if error.kind() == ErrorKind::RateLimited && error.layer() == Guarding::RateLimit.as_str() {
        details.add_quota_failure_violation(TENANT, error.detail());
    }
    Told(Status::with_error_details_and_metadata(code(error.kind()), message, details, metadata))
}

fn place(error: &Error) -> HashMap<String, String> {
    let mut place = HashMap::new();
    let layer = Some(error.layer()).filter(|layer| !layer.is_empty());
    for (key, value) in [(LAYER, layer), ("target", error.target())] {
        if let Some(value) = value {
            place.insert(key.to_owned(), value.to_owned());
        }
    }
    place
}

/// Rounded up: coming back too early is worse than a little late.
fn whole_ms(after: Duration) -> i64 {
    i64::try_from(after.as_micros().div_ceil(1000)).unwrap_or(i64::MAX)
}

/// Padded or not, as the specification of gRPC asks of who reads.
const BASE64: general_purpose::GeneralPurpose = general_purpose::GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    general_purpose::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);
const RETRY: &str = "platform-retry";
/// gRPC A6.
pub(crate) const PUSHBACK: &str = "grpc-retry-pushback-ms";
const STOP: i64 = -1;
/// Whose reasons these are, in `ErrorInfo`.
const DOMAIN: &str = "platform";
/// Who refused or failed, in the metadata of `ErrorInfo`.
const LAYER: &str = "layer";
/// Whose quota it is, in `QuotaFailure`: which tenant that is the caller said himself.
const TENANT: &str = "tenant";
/// The longest text taken over from a peer, in characters.
const MAX_TOLD: usize = 500;

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

    #[test]
    fn details_name_the_reason_the_layer_and_the_delay() {
        let error = Error::new(ErrorKind::RateLimited, "slow down").at_layer("rate-limit");
        let error = error.at_target(&Arc::from("ratings")).retry_after(Duration::from_millis(250));
        let status = status(&error);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("RATE_LIMITED", "platform"));
        assert_eq!(
            (info.metadata["layer"].as_str(), info.metadata["target"].as_str()),
            ("rate-limit", "ratings")
        );
        let delay = status.get_details_retry_info().unwrap().retry_delay;
        assert_eq!(delay, Some(Duration::from_millis(250)));
        assert_eq!(kind_of(&status), Some(ErrorKind::RateLimited));
        let quota = &status.get_details_quota_failure().unwrap().violations;
        assert_eq!(
            (quota.len(), quota[0].subject.as_str(), quota[0].description.as_str()),
            (1, "tenant", "slow down")
        );
        let own = super::status(&Error::new(ErrorKind::RateLimited, "slow down").at_layer("handler"));
        assert!(own.get_details_quota_failure().is_none());
    }

    #[test]
    fn an_error_of_ours_comes_back_as_it_was_and_a_peers_with_its_words() {
        let ours = Error::new(ErrorKind::BreakerOpen, "asks again in 3s").at_layer("breaker");
        let back = error(&status(&ours));
        assert_eq!((back.kind(), back.layer(), back.detail()), (ours.kind(), "breaker", ours.detail()));

        // Over the wire the source is gone and the details are there.
        let fields = status(&Error::new(ErrorKind::Overloaded, "42 wait").at_layer("shed")).into_http::<()>();
        let back = error(&read(fields.headers()).unwrap());
        assert_eq!(back.kind(), ErrorKind::Upstream);
        assert_eq!(back.outcome(), platform_core::Outcome::Overload);
        assert_eq!(back.detail(), "answered UNAVAILABLE: 42 wait [reason=OVERLOADED layer=shed]");

        let foreign = error(&Status::not_found("no such film"));
        assert_eq!(foreign.outcome(), platform_core::Outcome::CallerFault);
        assert_eq!(foreign.detail(), "answered NOT_FOUND: no such film");
    }

    #[test]
    fn strangers_learn_their_own_mistakes_and_not_ours() {
        let ours = status_for_strangers(&Error::new(ErrorKind::Internal, "no such table").at_layer("db"));
        assert_eq!((ours.code(), ours.message()), (Code::Internal, ""));
        assert!(ours.get_details_error_info().unwrap().metadata.is_empty());
        assert_eq!(status_for_strangers(&Error::new(ErrorKind::Invalid, "no id")).message(), "no id");
    }

    #[test]
    fn details_that_are_none_are_left_out() {
        let mut fields = HeaderMap::new();
        fields.insert("grpc-status", "5".parse().unwrap());
        for (details, sound) in [("AAE=", true), ("AAE", true), ("!", false), ("A", false), ("a b", false)] {
            fields.insert("grpc-status-details-bin", details.parse().unwrap());
            assert_eq!(has_sound_details(&fields), sound, "{details}");
            assert_eq!(read(&fields).unwrap().code(), Code::NotFound, "{details}");
        }
    }
}
