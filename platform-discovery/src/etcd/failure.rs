//! What does it mean that a call failed?

use std::fmt;

use platform_core::{Error, ErrorKind};
use tonic::{Code, Status};

/// Why a call of the cluster failed.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// Nobody could be asked: a file that cannot be read, a setting that cannot be meant.
    Unasked(Error),
    /// What the member said, or what became of the way to it.
    Said {
        /// Whom we asked.
        member: String,
        /// Its word.
        status: Status,
    },
}

impl Failure {
    /// The lease that was named is not there, or not any more.
    pub(crate) fn is_lost_lease(&self) -> bool {
        matches!(self, Failure::Said { status, .. } if status.code() == Code::NotFound)
    }

    /// What was asked for has been compacted away.
    pub(crate) fn is_compacted(&self) -> bool {
        matches!(self, Failure::Said { status, .. } if status.code() == Code::OutOfRange)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unasked(error) => f.write_str(error.detail()),
            Failure::Said { member, status } => {
                write!(f, "etcd at {member}: {}{}", status.message(), hint(status))
            }
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unasked(error) => error,
            Failure::Said { ref status, .. } => {
                Error::new(ErrorKind::Unreachable, failure.to_string()).with_source(status.clone())
            }
        }
    }
}

/// Whether another member may answer: this one failed, or was not reached, or is cut off from the others.
pub(super) fn is_elsewhere(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Internal | Code::Cancelled
    )
}

/// Whether a new token helps: this member does not know it (tokens live for minutes, and not through a restart),
/// users changed since it was made, or the cluster has asked for users only since a moment ago.
pub(super) fn is_stale_token(status: &Status) -> bool {
    status.code() == Code::Unauthenticated || STALE.into_iter().any(|text| status.message().contains(text))
}

/// Whether the cluster knows no users.
pub(super) fn is_without_users(status: &Status) -> bool {
    status.message().contains("authentication is not enabled")
}

/// What to do about it, where it is not to wait.
fn hint(status: &Status) -> &'static str {
    if status.message().contains("authentication failed") {
        return "; see discovery.etcd.user and password_file";
    }
    match status.code() {
        Code::PermissionDenied => {
            "; the user of discovery.etcd.user needs a role with readwrite on discovery.etcd.prefix"
        }
        Code::InvalidArgument if status.message().contains(NOBODY) => {
            "; the cluster knows users: set discovery.etcd.user and password_file"
        }
        _ => "",
    }
}

const NOBODY: &str = "user name is empty";
/// etcd's own clients compare these words too; they are part of its API.
const STALE: [&str; 2] = [NOBODY, "revision of auth store is old"];

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: Status) -> Failure {
        Failure::Said { member: "http://127.0.0.1:2379".to_owned(), status }
    }

    #[test]
    fn who_is_asked_next_depends_on_what_was_said() {
        let elsewhere = [
            Status::unavailable("etcdserver: no leader"),
            Status::deadline_exceeded("no answer within 1s"),
            Status::unknown("transport error"),
        ];
        assert!(elsewhere.iter().all(is_elsewhere));
        let here = [
            Status::not_found("etcdserver: requested lease not found"),
            Status::permission_denied("etcdserver: permission denied"),
            Status::out_of_range("etcdserver: mvcc: required revision has been compacted"),
            Status::resource_exhausted("etcdserver: mvcc: database space exceeded"),
        ];
        assert!(!here.iter().any(is_elsewhere));
        assert!(failure(here[0].clone()).is_lost_lease() && !failure(here[1].clone()).is_lost_lease());
        assert!(failure(here[2].clone()).is_compacted());
    }

    #[test]
    fn a_token_is_renewed_when_it_is_to_blame() {
        for (status, stale) in [
            (Status::unauthenticated("etcdserver: invalid auth token"), true),
            (Status::invalid_argument("etcdserver: revision of auth store is old"), true),
            (Status::invalid_argument("etcdserver: user name is empty"), true),
            (
                Status::invalid_argument("etcdserver: authentication failed, invalid user ID or password"),
                false,
            ),
            (Status::permission_denied("etcdserver: permission denied"), false),
        ] {
            assert_eq!(is_stale_token(&status), stale, "{status}");
        }
    }

    #[test]
    fn an_error_names_the_member_and_what_to_do() {
        let table = [
            (
                Status::permission_denied("etcdserver: permission denied"),
                "readwrite on discovery.etcd.prefix",
            ),
            (Status::invalid_argument("etcdserver: user name is empty"), "set discovery.etcd.user"),
            (Status::invalid_argument("etcdserver: authentication failed, invalid user ID"), "password_file"),
            (Status::unavailable("etcdserver: no leader"), "no leader"),
        ];
        for (status, what) in table {
            let error = Error::from(failure(status));
            assert_eq!(error.kind(), ErrorKind::Unreachable);
            assert!(error.detail().starts_with("etcd at http://127.0.0.1:2379: etcdserver: "), "{error}");
            assert!(error.detail().contains(what), "{error}");
        }
    }
}
