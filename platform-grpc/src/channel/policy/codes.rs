//! Some of gRPC's codes.

use std::fmt;

use platform_core::{Mark, Outcome};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tonic::Code;

use crate::classify::{Judged, name};

/// Some of gRPC's codes; in a file `["UNAVAILABLE", "ABORTED"]`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Codes(u32);

impl Codes {
    /// None of them: what a code means decides.
    pub const NONE: Codes = Codes(0);

    /// These.
    pub fn of(codes: impl IntoIterator<Item = Code>) -> Self {
        Codes(codes.into_iter().fold(0, |bits, code| bits | bit(code)))
    }

    /// Is it one of them?
    pub const fn contain(self, code: Code) -> bool {
        self.0 & bit(code) != 0
    }

    /// Are there none?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn each(self) -> impl Iterator<Item = Code> {
        ALL.into_iter().filter(move |code| self.contain(*code))
    }

    /// What a reply means where these codes are repeated and no others.
    pub(crate) fn judge(self, judged: Judged, idempotent: bool) -> Judged {
        let told_no = judged.hint.mark == Some(Mark::Never);
        if self.is_empty() || judged.outcome == Outcome::Success || told_no {
            return judged;
        }
        let mut judged = judged;
        if self.contain(judged.code) {
            judged.outcome = match judged.outcome {
                // Nobody may ask twice, so it is believed that it was refused.
                _ if !idempotent => Outcome::Overload,
                Outcome::CallerFault => Outcome::ServerFault,
                other => other,
            };
        } else if judged.hint.mark.is_none() {
            // What was never begun says so, and goes elsewhere all the same.
            judged.hint.mark = Some(Mark::Never);
        }
        judged
    }

    /// A code by its name, as `UNAVAILABLE`; OK is no failure.
    pub(super) fn parse(word: &str) -> Result<Code, String> {
        ALL.into_iter().find(|code| name(*code) == word).ok_or_else(|| {
            let names = ALL.map(name).join(", ");
            format!("\"{word}\" is no code of a failure; write some of {names}")
        })
    }
}

const fn bit(code: Code) -> u32 {
    1 << (code as u32)
}

impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.each().map(name)).finish()
    }
}

impl Serialize for Codes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.each().map(name))
    }
}

impl<'de> Deserialize<'de> for Codes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        let codes: Result<Vec<_>, _> = words.iter().map(|word| Codes::parse(word)).collect();
        codes.map(Codes::of).map_err(de::Error::custom)
    }
}

/// Those of failures.
const ALL: [Code; 16] = [
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn judged(code: Code, fields: &[(&'static str, &str)]) -> Judged {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", (code as i32).into());
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        Judged::of(&headers).unwrap()
    }

    #[test]
    fn only_what_is_listed_is_repeated_and_what_was_never_begun() {
        use Outcome::{CallerFault, Overload, ServerFault, Success};
        let codes = Codes::of([Code::Unavailable, Code::Aborted]);
        let (never, safe) = (Some(Mark::Never), Some(Mark::Safe));
        let stop: &[_] = &[("grpc-retry-pushback-ms", "-1")];
        let unseen: &[_] = &[("platform-retry", "safe")];
        let table: [(Code, &[_], bool, _, _); 9] = [
            (Code::Ok, &[], true, Success, None),
            (Code::Unavailable, &[], true, ServerFault, None),
            (Code::Unavailable, stop, true, ServerFault, never),
            (Code::Aborted, &[], true, ServerFault, None),
            (Code::Aborted, &[], false, Overload, None),
            (Code::Internal, &[], true, ServerFault, never),
            (Code::NotFound, &[], true, CallerFault, never),
            (Code::ResourceExhausted, &[], true, Overload, never),
            (Code::ResourceExhausted, unseen, true, Overload, safe),
        ];
        for (code, fields, idempotent, outcome, mark) in table {
            let seen = codes.judge(judged(code, fields), idempotent);
            assert_eq!((seen.outcome, seen.hint.mark), (outcome, mark), "{code:?} {fields:?}");
            assert_eq!(Codes::NONE.judge(judged(code, fields), idempotent), judged(code, fields));
        }
    }

    #[test]
    fn codes_are_written_by_name() {
        let codes: Codes = serde_json::from_str(r#"["ABORTED", "UNAVAILABLE"]"#).unwrap();
        assert_eq!(codes, Codes::of([Code::Unavailable, Code::Aborted]));
        assert_eq!(serde_json::to_string(&codes).unwrap(), r#"["ABORTED","UNAVAILABLE"]"#);
        for wrong in ["OK", "unavailable", "14"] {
            let error = serde_json::from_str::<Codes>(&format!("[\"{wrong}\"]")).unwrap_err();
            assert!(error.to_string().contains("is no code of a failure"), "{error}");
        }
    }
}
