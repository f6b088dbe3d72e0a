//! What etcd's API says on the wire, as far as we speak it.
//!
//! Declared by hand: fields that we neither write nor read are left out, which protobuf allows, and nothing has
//! to be generated. The numbers are those of etcd's `rpc.proto` and `kv.proto`; real clusters of two minor
//! versions judge them in the tests.

use std::fmt;

use prost::Message;

/// Stands in every answer.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Header {
    /// Which cluster; the same again if it is made anew with the same names and addresses.
    #[prost(uint64, tag = "1")]
    pub(crate) cluster_id: u64,
    /// What the answering member has applied.
    #[prost(int64, tag = "3")]
    pub(crate) revision: i64,
    #[prost(uint64, tag = "4")]
    pub(crate) raft_term: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    /// When it was last written.
    #[prost(int64, tag = "3")]
    pub(crate) mod_revision: i64,
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) value: Vec<u8>,
    /// 0 is none.
    #[prost(int64, tag = "6")]
    pub(crate) lease: i64,
}

/// Every key from `key` to before `range_end`; that one key if `range_end` is empty.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) range_end: Vec<u8>,
    /// 0 is no limit.
    #[prost(int64, tag = "3")]
    pub(crate) limit: i64,
    /// As it was then; 0 is now.
    #[prost(int64, tag = "4")]
    pub(crate) revision: i64,
    /// What the asked member knows, without asking the others whether it is behind.
    #[prost(bool, tag = "7")]
    pub(crate) serializable: bool,
    #[prost(bool, tag = "8")]
    pub(crate) keys_only: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct RangeResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<Header>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) kvs: Vec<KeyValue>,
    /// The limit cut it short.
    #[prost(bool, tag = "3")]
    pub(crate) more: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub(crate) lease: i64,
}

/// A condition on one key.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Compare {
    /// 0 is "equal".
    #[prost(int32, tag = "1")]
    pub(crate) result: i32,
    /// [`MOD`] is all that we compare.
    #[prost(int32, tag = "2")]
    pub(crate) target: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) key: Vec<u8>,
    /// One of a `oneof`; 0 is a key that is not there. Optional, so that 0 is written too.
    #[prost(int64, optional, tag = "6")]
    pub(crate) mod_revision: Option<i64>,
}

/// One of a `oneof`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct RequestOp {
    #[prost(message, optional, tag = "1")]
    pub(crate) range: Option<RangeRequest>,
    #[prost(message, optional, tag = "2")]
    pub(crate) put: Option<PutRequest>,
}

/// One of a `oneof`; of the others the numbers are not known here.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ResponseOp {
    #[prost(message, optional, tag = "1")]
    pub(crate) range: Option<RangeResponse>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) success: Vec<RequestOp>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) failure: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct TxnResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<Header>,
    #[prost(bool, tag = "2")]
    pub(crate) succeeded: bool,
    #[prost(message, repeated, tag = "3")]
    pub(crate) responses: Vec<ResponseOp>,
}

/// One of a `oneof`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) create: Option<WatchCreate>,
    #[prost(message, optional, tag = "3")]
    pub(crate) progress: Option<WatchProgress>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WatchCreate {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) range_end: Vec<u8>,
    /// The first revision that is told of.
    #[prost(int64, tag = "3")]
    pub(crate) start_revision: i64,
    /// Say now and then how far everything has been told, also where there is nothing to tell.
    #[prost(bool, tag = "4")]
    pub(crate) progress_notify: bool,
    /// Large answers may come in parts.
    #[prost(bool, tag = "8")]
    pub(crate) fragment: bool,
}

/// Asks for a word at once.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct WatchProgress {}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WatchResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<Header>,
    /// [`NO_WATCH`] in the answer to a [`WatchProgress`].
    #[prost(int64, tag = "2")]
    pub(crate) watch_id: i64,
    #[prost(bool, tag = "3")]
    pub(crate) created: bool,
    #[prost(bool, tag = "4")]
    pub(crate) canceled: bool,
    /// Set if what was asked for has been compacted away.
    #[prost(int64, tag = "5")]
    pub(crate) compact_revision: i64,
    #[prost(string, tag = "6")]
    pub(crate) cancel_reason: String,
    /// More parts of the same answer follow.
    #[prost(bool, tag = "7")]
    pub(crate) fragment: bool,
    #[prost(message, repeated, tag = "11")]
    pub(crate) events: Vec<Event>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Event {
    /// 0 is "put", [`DELETE`] is "deleted".
    #[prost(int32, tag = "1")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) kv: Option<KeyValue>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct LeaseGrantRequest {
    /// Seconds.
    #[prost(int64, tag = "1")]
    pub(crate) ttl: i64,
}

/// Of a grant, of a keep-alive and of a look: the three have the same first fields.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct LeaseAnswer {
    #[prost(int64, tag = "2")]
    pub(crate) id: i64,
    /// Seconds; 0 or less is a lease that is not there.
    #[prost(int64, tag = "3")]
    pub(crate) ttl: i64,
}

/// Of a keep-alive, a revocation and a look.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct LeaseRequest {
    #[prost(int64, tag = "1")]
    pub(crate) id: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct LeaseRevoked {}

/// Never shown by `Debug`: it holds a password.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub(crate) struct AuthenticateRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) password: String,
}

/// Never shown by `Debug` either.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub(crate) struct AuthenticateResponse {
    #[prost(string, tag = "2")]
    pub(crate) token: String,
}

impl fmt::Debug for AuthenticateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthenticateResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateResponse").finish_non_exhaustive()
    }
}

/// The first key behind all that begin with `prefix`, for a range over them.
pub(crate) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Nothing comes behind: etcd's word for "to the end".
    vec![0]
}

/// [`Compare::target`]: when a key was last written.
pub(crate) const MOD: i32 = 2;
/// [`Event::kind`] of a key that is gone.
pub(crate) const DELETE: i32 = 1;
/// [`WatchResponse::watch_id`] of what belongs to the stream and not to a watch.
pub(crate) const NO_WATCH: i64 = -1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_behind_the_last_key_with_its_prefix() {
        assert_eq!(behind(b"/services/catalog/"), b"/services/catalog0");
        assert_eq!(behind(b"a\xff\xff"), b"b");
        assert_eq!(behind(b"\xff"), b"\0");
        assert_eq!(behind(b""), b"\0");
    }

    #[test]
    fn a_key_that_is_not_there_can_be_compared_with() {
        // A plain number would leave the 0 out, and a condition without a value is refused.
        let absent = Compare { result: 0, target: MOD, key: b"k".to_vec(), mod_revision: Some(0) };
        assert_eq!(absent.encode_to_vec(), b"\x10\x02\x1a\x01k\x30\x00");
    }

    #[test]
    fn passwords_and_tokens_are_never_shown() {
        let request = AuthenticateRequest { name: "ann".to_owned(), password: "geheim".to_owned() };
        let answer = AuthenticateResponse { token: "geheim".to_owned() };
        let shown = format!("{request:?} {answer:?}");
        assert!(shown.contains("ann") && !shown.contains("geheim"), "{shown}");
    }
}
