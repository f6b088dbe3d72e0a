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
        let mut trailers = HeaderMap::new();
        platform_grpc::status(&error(kind)).add_header(&mut trailers).expect("every status can be told");
        let mut lines: Vec<String> = trailers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text, or base64")))
            .collect();
        lines.sort();
        let _ = write!(text, "{}== {kind}\n{}\n", if text.is_empty() { "" } else { "\n" }, lines.join("\n"));
    }
    golden::is("statuses.grpc.txt", &text);
}

#[test]
fn what_every_version_tells_is_understood() {
    for (version, text) in golden::of_every_version("statuses.grpc.txt") {
        for status in text.split("== ").filter(|status| !status.is_empty()) {
            let (kind, trailers) = status.split_once('\n').expect("a name");
            let kind =
                ErrorKind::parse(kind).unwrap_or_else(|| panic!("{version}: {kind} is no kind any more"));
            let trailers: HeaderMap = trailers
                .lines()
                .filter(|line| !line.is_empty())
                .map(|line| {
                    let (name, value) = line.split_once(": ").expect("a pair");
                    (
                        HeaderName::try_from(name).expect("a name"),
                        HeaderValue::try_from(value).expect("a value"),
                    )
                })
                .collect();
            let status = Status::from_header_map(&trailers).expect("a status");
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
