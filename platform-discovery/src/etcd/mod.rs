//! What does an etcd cluster say, whichever of its members answers?
//!
//! A thin client of etcd's v3 API: ranges, transactions, leases, watches, and a user with a password. Source and
//! registration share this room, so that both agree about members, tokens and silence.
//!
//! - One member is asked at a time. One that fails, is silent for a second, or has lost its leader is left for
//!   the next; nobody goes back by himself. Each process begins with a member of its own choice.
//! - Every question has an end. A watch is asked for a word when it has been quiet for five seconds, and left if
//!   none comes: a frozen member keeps its connections open.
//! - Repeating is the caller's business, with [`pause`] in between; one call asks two members at most, three of a
//!   cluster of three or more, and the only member twice.
//! - Tokens are asked for when they are needed and thrown away when a member does not know them; the password is
//!   read from its file each time, certificates with every new connection.

mod cluster;
mod failure;
mod member;
mod messages;
mod pause;
mod watching;

pub(crate) use cluster::{Cluster, call};
pub(crate) use failure::Failure;
pub(crate) use messages::{
    Compare, DELETE, Event, Header, KeyValue, LeaseAnswer, LeaseGrantRequest, LeaseRequest, LeaseRevoked,
    MOD, NO_WATCH, PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse, WatchCreate,
    WatchResponse, behind,
};
pub(crate) use pause::pause;
pub(crate) use watching::Watching;
