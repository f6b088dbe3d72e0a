//! Which methods are there, and what may be done with them?
//!
//! A proto says more than its messages: which methods stream, and which may be asked twice (`idempotency_level`).
//! It is read from the descriptors that a build script writes beside the generated code.

use std::{collections::HashMap, time::Duration};

use platform_core::{Error, Result};
use prost::Message as _;
use prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};

use crate::channel::Codes;

/// What the proto says of a method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Method {
    /// It may be done twice without harm.
    pub(crate) idempotent: bool,
    /// It takes one message and answers with one; `None` if nobody knows.
    pub(crate) unary: Option<bool>,
    /// Codes that are repeated, and no others, unless there are none.
    pub(crate) codes: Codes,
    /// How long its answers may take.
    pub(crate) stream: StreamLimits,
    /// Its calls wait for somebody to ask as long as their deadline allows.
    pub(crate) waits: bool,
}

/// How long a stream of answers may take once its head is there; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamLimits {
    /// To its end.
    pub(crate) whole: Option<Duration>,
    /// From one word to the next.
    pub(crate) idle: Option<Duration>,
}

/// Methods by path without the slash before it: `film.Ratings/Get`.
pub(crate) type Methods = HashMap<String, Method>;

/// The methods of all services in these descriptors.
///
/// # Errors
/// Bytes that are no descriptors.
pub(crate) fn methods(descriptors: &[u8]) -> Result<Methods> {
    let set = FileDescriptorSet::decode(descriptors).map_err(|error| {
        let why =
            "no descriptors; `tonic::include_file_descriptor_set!` includes what the build script wrote";
        Error::config(format!("{why}: {error}"))
    })?;
    let mut methods = Methods::new();
    for file in &set.file {
        for service in &file.service {
            let dot = if file.package().is_empty() { "" } else { "." };
            for method in &service.method {
                let path = format!("{}{dot}{}/{}", file.package(), service.name(), method.name());
                let level = method.options.as_ref().map(|options| options.idempotency_level());
                let idempotent = level.is_some_and(|level| level != IdempotencyLevel::IdempotencyUnknown);
                let unary = Some(!method.client_streaming() && !method.server_streaming());
                methods.insert(path, Method { idempotent, unary, ..Method::default() });
            }
        }
    }
    Ok(methods)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proto_says_what_may_be_repeated_and_what_streams() {
        let methods = methods(platform_grpc_protos::DESCRIPTORS).unwrap();
        for (name, idempotent, unary) in [
            ("Say", true, true),
            ("Add", false, true),
            ("Repeat", true, false),
            ("Join", false, false),
            ("Chat", false, false),
        ] {
            let known = methods[&format!("platform.test.Echo/{name}")];
            assert_eq!(known, Method { idempotent, unary: Some(unary), ..Method::default() }, "{name}");
        }
        assert_eq!(methods.len(), 5);
    }

    #[test]
    fn what_are_no_descriptors_is_refused() {
        let error = methods(b"proto").unwrap_err();
        assert!(error.detail().contains("include_file_descriptor_set"), "{error}");
    }
}
