//! Who is asked, and who is asked next?

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::uri::PathAndQuery;
use platform_core::{Error, Result};
use prost::Message;
use tokio::{sync, time};
use tonic::{
    Request, Status,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_prost::ProstCodec;

use super::{
    Failure,
    failure::{is_elsewhere, is_stale_token, is_without_users},
    member,
    messages::{AuthenticateRequest, AuthenticateResponse},
};
use crate::{config::Etcd, task::aside};

/// A cluster, through one of its members at a time.
pub(crate) struct Cluster {
    settings: Etcd,
    route: Mutex<Route>,
    /// Held while a new one is asked for, so that one is asked for and not one by each caller. `Some(None)` is a
    /// cluster that knows no users.
    token: sync::Mutex<Option<Option<Token>>>,
}

/// Proves who we are.
type Token = MetadataValue<Ascii>;

/// The way to the member of this turn.
struct Route {
    /// Grows by one whenever a member is left.
    turn: usize,
    channel: Option<Channel>,
}

/// The member whose turn it is.
#[derive(Clone)]
pub(super) struct Member {
    turn: usize,
    pub(super) address: String,
    channel: Channel,
}

/// One call's way through the members.
pub(super) struct Attempts<'a> {
    cluster: &'a Cluster,
    left: usize,
    renewed: bool,
    member: Option<Member>,
    token: Option<Token>,
}

/// Leaves the member unless told to stay; so does a caller who loses patience first.
pub(super) struct Leaving<'a> {
    cluster: &'a Cluster,
    turn: Option<usize>,
}

impl Cluster {
    /// The cluster of these settings; nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](platform_core::ErrorKind::Config) without a member, and if a certificate or the password
    /// cannot be read.
    pub(crate) fn new(settings: Etcd) -> Result<Self> {
        if settings.endpoints.is_empty() {
            return Err(Error::config(
                "discovery.etcd.endpoints is empty; name one member or more, http://HOST:PORT",
            ));
        }
        member::check(&settings)?;
        // Processes that started together do not all ask the first.
        let turn = fastrand::usize(..settings.endpoints.len());
        let route = Mutex::new(Route { turn, channel: None });
        Ok(Cluster { settings, route, token: sync::Mutex::new(None) })
    }

    /// The members, as they are configured.
    pub(crate) fn members(&self) -> String {
        self.settings.endpoints.join(",")
    }

    /// What all keys of a service begin with.
    pub(crate) fn prefix_of(&self, name: &str) -> String {
        format!("{}{name}/", self.prefix())
    }

    /// What the keys of all services begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("{}/", self.settings.prefix)
    }

    /// One question, one answer; asked of up to three members, each for [`LIMIT`]. Only what may be asked twice
    /// may be asked here: an answer that got lost is asked for again.
    pub(crate) async fn call<Q, A>(&self, path: &'static str, question: Q) -> Result<A, Failure>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut attempts = self.attempts();
        loop {
            let (member, token) = attempts.next().await?;
            let request = request(question.clone(), token);
            match self.ask(&member, path, request, LIMIT).await {
                Ok(answer) => return Ok(answer),
                Err(status) => attempts.failed(status).await?,
            }
        }
    }

    pub(super) fn attempts(&self) -> Attempts<'_> {
        let left = self.settings.endpoints.len().clamp(LEAST_TRIES, MOST_TRIES);
        Attempts { cluster: self, left, renewed: false, member: None, token: None }
    }

    pub(super) fn leaving(&self, member: &Member) -> Leaving<'_> {
        Leaving { cluster: self, turn: Some(member.turn) }
    }

    async fn ask<Q, A>(
        &self,
        member: &Member,
        path: &'static str,
        request: Request<Q>,
        limit: Duration,
    ) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let leaving = self.leaving(member);
        let answer = in_time(limit, async {
            let mut grpc = member.grpc().await?;
            grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::default()).await
        });
        let answer = answer.await;
        if !answer.as_ref().is_err_and(is_elsewhere) {
            leaving.stay();
        }
        answer.map(tonic::Response::into_inner)
    }

    async fn member(&self) -> Result<Member, Failure> {
        let turn = {
            let route = self.route();
            if let Some(channel) = &route.channel {
                return Ok(self.at(route.turn, channel.clone()));
            }
            route.turn
        };
        let address = &self.settings.endpoints[turn % self.settings.endpoints.len()];
        let channel = member::open(&self.settings, address).await.map_err(Failure::Unasked)?;
        let mut route = self.route();
        // Who was overtaken asks the member that he opened all the same, and nobody else does.
        if route.turn == turn {
            return Ok(self.at(turn, route.channel.get_or_insert(channel).clone()));
        }
        Ok(self.at(turn, channel))
    }

    fn at(&self, turn: usize, channel: Channel) -> Member {
        let address = self.settings.endpoints[turn % self.settings.endpoints.len()].clone();
        Member { turn, address, channel }
    }

    /// The next one's turn, unless somebody else has left this member already.
    fn leave(&self, turn: usize) {
        let mut route = self.route();
        if route.turn == turn {
            *route = Route { turn: turn.wrapping_add(1), channel: None };
        }
    }

    fn route(&self) -> MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token that is known, else a new one; nothing where there is no user.
    async fn token(&self, member: &Member) -> Result<Option<Token>, Status> {
        if self.settings.user.is_empty() {
            return Ok(None);
        }
        let mut known = self.token.lock().await;
        if let Some(token) = &*known {
            return Ok(token.clone());
        }
        let settings = self.settings.clone();
        let read = aside(move || member::password(&settings)).await;
        let password =
            read.and_then(|read| read).map_err(|error| Status::failed_precondition(error.detail()))?;
        let question = AuthenticateRequest { name: self.settings.user.clone(), password };
        let asked =
            self.ask::<_, AuthenticateResponse>(member, AUTHENTICATE, request(question, None), AUTH_LIMIT);
        let token = match asked.await {
            Ok(answer) => {
                Some(answer.token.parse().map_err(|_| Status::internal("the token is no header's value"))?)
            }
            Err(status) if is_without_users(&status) => None,
            Err(status) => return Err(status),
        };
        *known = Some(token.clone());
        Ok(token)
    }

    /// Throws the token away, unless there is a newer one.
    async fn forget(&self, token: Option<&Token>) {
        let mut known = self.token.lock().await;
        if known.as_ref().is_some_and(|known| known.as_ref() == token) {
            *known = None;
        }
    }

    /// Throws the token away: the next who asks brings a new one. For a watch, whose members say only in words
    /// what they do not like.
    pub(crate) async fn doubt_token(&self) {
        *self.token.lock().await = None;
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Attempts<'_> {
    /// Whom to ask now, and as whom.
    pub(super) async fn next(&mut self) -> Result<(Member, Option<Token>), Failure> {
        loop {
            let member = self.cluster.member().await?;
            self.member = Some(member.clone());
            match self.cluster.token(&member).await {
                Ok(token) => {
                    self.token.clone_from(&token);
                    return Ok((member, token));
                }
                Err(status) => self.failed(status).await?,
            }
        }
    }

    /// Whether there is anybody left to ask; else why not.
    pub(super) async fn failed(&mut self, status: Status) -> Result<(), Failure> {
        let user = !self.cluster.settings.user.is_empty();
        if user && is_stale_token(&status) && !self.renewed {
            self.renewed = true;
            self.cluster.forget(self.token.as_ref()).await;
            return Ok(());
        }
        self.left = self.left.saturating_sub(1);
        if self.left > 0 && is_elsewhere(&status) {
            return Ok(());
        }
        let member = self.member.as_ref().map(|member| member.address.clone()).unwrap_or_default();
        Err(Failure::Said { member, status })
    }
}

impl Member {
    /// Ready to be asked.
    pub(super) async fn grpc(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST);
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        Ok(grpc)
    }
}

impl Leaving<'_> {
    /// The member has answered.
    pub(super) fn stay(mut self) {
        self.turn = None;
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(turn) = self.turn {
            self.cluster.leave(turn);
        }
    }
}

/// What every question carries: who we are, and that a member without a leader is to say so.
pub(super) fn request<Q>(question: Q, token: Option<Token>) -> Request<Q> {
    let mut request = Request::new(question);
    request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
    if let Some(token) = token {
        request.metadata_mut().insert("token", token);
    }
    request
}

/// Silence is an answer too.
pub(super) async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let late = |_| Err(Status::deadline_exceeded(format!("no answer within {limit:?}")));
    time::timeout(limit, work).await.unwrap_or_else(late)
}

/// What can be asked.
pub(crate) mod call {
    pub(crate) const RANGE: &str = "/etcdserverpb.KV/Range";
    pub(crate) const TXN: &str = "/etcdserverpb.KV/Txn";
    pub(crate) const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
    /// A stream, of which one question and one answer are enough.
    pub(crate) const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
    pub(crate) const REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
    pub(crate) const TIME_TO_LIVE: &str = "/etcdserverpb.Lease/LeaseTimeToLive";
}

const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";
/// A member answers in milliseconds, in a hundred of them while its disk is busy; a registration waits two seconds,
/// which is enough for the second member then.
pub(super) const LIMIT: Duration = Duration::from_secs(1);
/// Passwords are hashed slowly on purpose, and after a restart everybody asks.
const AUTH_LIMIT: Duration = Duration::from_secs(5);
/// The only member is asked twice: a connection may have been dead, and a new one not.
const LEAST_TRIES: usize = 2;
/// More than the silent minority of a cluster of five.
const MOST_TRIES: usize = 3;
/// A page of records, each as large as is allowed, and as much again.
const LARGEST: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::ErrorKind;

    #[test]
    fn a_cluster_without_members_is_refused_and_nobody_divides_by_them() {
        let error = Cluster::new(Etcd { endpoints: Vec::new(), ..Etcd::default() }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.detail().contains("discovery.etcd.endpoints is empty"), "{error}");
    }
}
