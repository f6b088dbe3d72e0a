//! What changes from now on?

use std::{fmt, time::Duration};

use futures_util::stream;
use http::uri::PathAndQuery;
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

use super::{
    Cluster, Failure,
    cluster::{LIMIT, Member, in_time, request},
    messages::{WatchCreate, WatchProgress, WatchRequest, WatchResponse},
};
use crate::pause;

/// A watch that one member keeps. Dropping it ends it.
pub(crate) struct Watching {
    member: Member,
    asks: mpsc::UnboundedSender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    /// When it is asked for a word, or, if it was asked, left.
    due: Instant,
    asked: bool,
}

impl Cluster {
    /// Begins a watch; what the member thinks of it is its first answer.
    pub(crate) async fn watch(&self, create: WatchCreate) -> Result<Watching, Failure> {
        let mut attempts = self.attempts();
        loop {
            let (member, token) = attempts.next().await?;
            let leaving = self.leaving(&member);
            let (asks, asked) = mpsc::unbounded_channel();
            let question = WatchRequest { create: Some(create.clone()), progress: None };
            asks.send(question).expect("the receiver is in this function");
            let asked =
                stream::unfold(asked, |mut asked| async move { asked.recv().await.map(|ask| (ask, asked)) });
            let opened = in_time(LIMIT, async {
                let mut grpc = member.grpc().await?;
                let path = PathAndQuery::from_static(WATCH);
                grpc.streaming(request(asked, token), path, ProstCodec::default()).await
            });
            match opened.await {
                Ok(answers) => {
                    leaving.stay();
                    let (answers, due) = (answers.into_inner(), quiet());
                    return Ok(Watching { member, asks, answers, due, asked: false });
                }
                Err(status) => {
                    drop(leaving);
                    attempts.failed(status).await?;
                }
            }
        }
    }
}

impl Watching {
    /// The next answer, at the latest [`QUIET`] and [`LIMIT`] from now. Can be dropped and asked again without
    /// losing anything.
    pub(crate) async fn next(&mut self, cluster: &Cluster) -> Result<WatchResponse, Failure> {
        loop {
            let status = match time::timeout_at(self.due, self.answers.message()).await {
                Ok(Ok(Some(answer))) => {
                    (self.due, self.asked) = (quiet(), false);
                    return Ok(answer);
                }
                Ok(Ok(None)) => Status::unavailable("the watch ended"),
                Ok(Err(status)) => status,
                Err(_) if self.asked => {
                    Status::deadline_exceeded(format!("the watch has been silent for {:?}", QUIET + LIMIT))
                }
                Err(_) => {
                    (self.due, self.asked) = (Instant::now() + LIMIT, true);
                    // A stream that has ended says so above.
                    let _ = self.asks.send(WatchRequest { create: None, progress: Some(WatchProgress {}) });
                    continue;
                }
            };
            // Whatever it was, the next one is as good.
            drop(cluster.leaving(&self.member));
            return Err(Failure::Said { member: self.member.address.clone(), status });
        }
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").field("member", &self.member.address).finish_non_exhaustive()
    }
}

/// Watches that began together are not asked together for ever.
fn quiet() -> Instant {
    Instant::now() + pause::around(QUIET, fastrand::f64())
}

const WATCH: &str = "/etcdserverpb.Watch/Watch";
/// Half of the hold of vanished endpoints: who watches through a frozen member hears of it in time. A question and
/// an answer of a few bytes each, which no other member sees.
const QUIET: Duration = Duration::from_secs(5);
