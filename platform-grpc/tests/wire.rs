//! What a status tells over gRPC, as it is written and as every version has written it.

use std::{fmt::Write as _, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use platform_core::{Error, ErrorKind, Mark, Outcome};
use tonic::Status;
use tonic_types::StatusExt as _;

#[path = "../../platform-core/tests/golden/mod.rs"]
mod golden;

/// Those that a call can end with; the others end a process.
fn told() -> impl Iterator<Item = ErrorKind> {
    let never = [ErrorKind::Config, ErrorKind::Start, ErrorKind::Usage];
    ErrorKind::ALL.into_iter().filter(move |kind| !never.contains(kind))
}

fn delays(kind: ErrorKind) -> bool {
    kind.mark() == Some(Mark::Safe)
}

/// The layer alone: of two words of the details the order is anybody's.
fn error(kind: ErrorKind) -> Error {
    let error = Error::new(kind, "why").at_layer("layer");
    if delays(kind) { error.retry_after(Duration::from_millis(1_200)) } else { error }
}

#[test]
fn statuses_are_written_as_ever() {
    let mut text = String::new();
    for kind in told() {
        let before = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{before}== {kind}\n{}", trailers(&error(kind)));
    }
    golden::is("statuses.grpc.txt", &text);
    golden::is("quota.grpc.txt", &trailers(&beyond_its_rate()));
}

/// A tenant that the platform's own limit refuses.
fn beyond_its_rate() -> Error {
    let error = Error::new(ErrorKind::RateLimited, "why").at_layer("rate-limit");
    error.retry_after(Duration::from_millis(1_200))
}

fn trailers(error: &Error) -> String {
    let mut trailers = HeaderMap::new();
    platform_grpc::status(error).add_header(&mut trailers).expect("every status can be told");
    let mut lines: Vec<String> = trailers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().expect("text, or base64")))
        .collect();
    lines.sort();
    lines.concat()
}

/// The status in trailers that were written so.
fn status(trailers: &str) -> Status {
    let fields = trailers.lines().filter(|line| !line.is_empty()).map(|line| {
        let (name, value) = line.split_once(": ").expect("a pair");
        (HeaderName::try_from(name).expect("a name"), HeaderValue::try_from(value).expect("a value"))
    });
    Status::from_header_map(&fields.collect()).expect("a status")
}

#[test]
fn whose_quota_it_is_every_version_has_said() {
    for (version, text) in golden::of_every_version("quota.grpc.txt") {
        let status = status(&text);
        let quota = status.get_details_quota_failure().expect("whose quota it is");
        assert_eq!(quota.violations[0].subject, "tenant", "{version}");
        assert_eq!(platform_grpc::error(&status).outcome(), Outcome::Overload, "{version}");
    }
}

#[test]
fn what_every_version_tells_is_understood() {
    for (version, text) in golden::of_every_version("statuses.grpc.txt") {
        for told in text.split("== ").filter(|told| !told.is_empty()) {
            let (kind, trailers) = told.split_once('\n').expect("a name");
            let kind =
                ErrorKind::parse(kind).unwrap_or_else(|| panic!("{version}: {kind} is no kind any more"));
            let status = status(trailers);
            assert_eq!(status.code(), platform_grpc::code(kind), "{kind} of {version}");
            let info = status.get_details_error_info().expect("whose reason it is");
            let reason = kind.as_str().to_ascii_uppercase();
            assert_eq!(
                (info.domain.as_str(), info.reason),
                ("platform", reason.clone()),
                "{kind} of {version}"
            );
            assert_eq!(info.metadata["layer"], "layer", "{kind} of {version}");
            let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
            assert_eq!(delay, delays(kind).then_some(Duration::from_millis(1_200)), "{kind} of {version}");
            // And what it means to whoever asked.
            let error = platform_grpc::error(&status);
            assert_eq!(error.outcome(), means(kind), "{kind} of {version}: {error}");
            for part in ["why", &format!("[reason={reason} layer=layer]")] {
                assert!(error.detail().contains(part), "{kind} of {version}: {error}");
            }
        }
    }
}

/// A peer's own trouble with somebody else is its trouble to whoever asks it; so is a call that it calls cancelled, and that
/// nobody here has cancelled.
fn means(kind: ErrorKind) -> Outcome {
    match kind.outcome() {
        Outcome::Abandoned | Outcome::Local | Outcome::Unreachable => Outcome::ServerFault,
        outcome => outcome,
    }
}
