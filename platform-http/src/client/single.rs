//! One connection of HTTP/2 to one endpoint, shared by all calls of a lane.
//!
//! # Why
//! A call that finds its connection open has nothing to wait for: it is handed over under one short lock. hyper-util's
//! pool, which HTTP/1 goes through, asks more of every call: it looks a key up, prepares a way to connect that nobody
//! will go, races the two and keeps all of it until the reply is there, which was five thousand instructions and two
//! kilobytes of each call.
//!
//! Its rules are the pool's: it connects when it is asked first, whoever comes meanwhile waits for that, and if who
//! connects gives up, the next of them tries. A request that the connection gave back unwritten, because it was closed
//! just then, goes over a new one: nothing was sent, so it is no repeat. A connection that nobody has asked for the
//! idle time is let go, and ends when its last stream has.

use std::{
    error, fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http2},
    rt::{Read, Write},
};
use hyper_util::rt::TokioTimer;
use platform_core::{Tick, call::CarryCall as _, context::wire};
use tokio::{sync, task::AbortHandle, time::sleep_until};

use super::reach::{Dial, Reach};
use crate::{Body, boxing::Boxing};

/// The connection of a lane; clones share it. When the last one is gone it ends with its last stream.
pub(super) struct Single<D: Dial>(Arc<Inner<D>>);

struct Inner<D: Dial> {
    reach: Reach<D>,
    protocol: http2::Builder<Boxing>,
    /// After so long without a call it is let go.
    idle: Duration,
    open: Mutex<Option<Open>>,
    /// Held by who connects.
    connecting: sync::Mutex<()>,
}

/// A connection that takes calls.
struct Open {
    sender: http2::SendRequest<Body>,
    used: Tick,
    /// Lets it go when it was idle for too long.
    watch: AbortHandle,
}

/// Why there is no reply.
#[derive(Debug)]
pub(super) enum Lost {
    /// There is no connection, so nothing was sent.
    Unconnected(io::Error),
    /// What became of it, hyper knows.
    Sent(hyper::Error),
}

type Answer = Result<Response<Incoming>, Lost>;
type Tried = Result<Response<Incoming>, TrySendError<Request<Body>>>;
type Later = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl<D: Dial> Single<D>
where
    D::Stream: Read + Write + Unpin,
{
    /// A connection that is made when it is needed, and let go when nobody has asked for `idle`.
    pub(super) fn new(reach: Reach<D>, idle: Duration) -> Self {
        let mut protocol = http2::Builder::new(Boxing);
        protocol
            .timer(TokioTimer::new())
            // A connection whose other end is gone without a word would swallow every request until TCP gives up,
            // which takes a quarter of an hour.
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG);
        let (open, connecting) = (Mutex::new(None), sync::Mutex::new(()));
        Single(Arc::new(Inner { reach, protocol, idle, open, connecting }))
    }

    /// Sends the request over the connection that is open, else over a new one.
    ///
    /// # Errors
    /// No connection can be made, or what became of the request.
    pub(super) fn send(&self, request: Request<Body>) -> impl Future<Output = Answer> + Send + use<D> {
        // The clock as it was read when the endpoint was chosen.
        let now = request.body().context().now();
        // What is rare may cost a box, so that what is common has no room for it.
        let begun = match self.0.hand_over(request, now) {
            Ok(answer) => Ok(answer),
            Err(request) => Err(self.connect_and_send(request)),
        };
        let again = self.clone();
        async move {
            let failed = match begun {
                Ok(answer) => match answer.await {
                    Ok(reply) => return Ok(reply),
                    Err(failed) => failed,
                },
                Err(later) => return later.await,
            };
            match unwritten(failed) {
                Ok(request) => again.connect_and_send(request).await,
                Err(lost) => Err(lost),
            }
        }
    }

    /// The same where nothing is open, or what seemed so is not.
    #[cold]
    fn connect_and_send(&self, mut request: Request<Body>) -> Later {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            loop {
                let failed = match inner.connect().await.map_err(Lost::Unconnected)? {
                    // Who was not even listened to on a new connection has lost it.
                    Connected::Now(mut sender) => {
                        wire::lay_names(request.headers_mut());
                        return sender.send_request(request).await.map_err(Lost::Sent);
                    }
                    Connected::Before => match inner.hand_over(request, Tick::now()) {
                        Ok(answer) => match answer.await {
                            Ok(reply) => return Ok(reply),
                            Err(failed) => unwritten(failed)?,
                        },
                        Err(request) => request,
                    },
                };
                request = failed;
            }
        })
    }
}

/// How there is a connection.
enum Connected {
    /// Made by who asks.
    Now(http2::SendRequest<Body>),
    /// Made by somebody else, while who asks waited.
    Before,
}

impl<D: Dial> Inner<D> {
    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the request to the connection that is open; back, if there is none.
    #[expect(clippy::result_large_err, reason = "the request is there already, and where it goes on is near")]
    fn hand_over(
        &self,
        request: Request<Body>,
        now: Tick,
    ) -> Result<impl Future<Output = Tried> + use<D>, Request<Body>> {
        let mut open = self.lock();
        match &mut *open {
            Some(one) if one.is_usable(now, self.idle) => {
                one.used = one.used.max(now);
                Ok(one.sender.try_send_request(request))
            }
            _ => {
                *open = None;
                Err(request)
            }
        }
    }
}

impl<D: Dial> Inner<D>
where
    D::Stream: Read + Write + Unpin,
{
    /// Of many who come at once one connects.
    async fn connect(self: &Arc<Self>) -> io::Result<Connected> {
        let _only = self.connecting.lock().await;
        if self.lock().as_ref().is_some_and(|open| open.is_usable(Tick::now(), self.idle)) {
            return Ok(Connected::Before);
        }
        let stream = self.reach.connect().await?;
        // The preface is written and nothing is waited for. What hyper makes for each call has room for the whole
        // connection, so that what is large of that, TLS first of all, lies in a box.
        let handshake = self.protocol.handshake(Box::new(stream));
        let (sender, connection) = handshake.await.map_err(io::Error::other)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "it belongs to an endpoint and not to a request, and its owner ends it"
        )]
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a client's connection ended with an error");
            }
        });
        #[expect(clippy::disallowed_methods, reason = "as above")]
        let watch = tokio::spawn(watch(Arc::downgrade(self), self.idle)).abort_handle();
        *self.lock() = Some(Open { sender: sender.clone(), used: Tick::now(), watch });
        Ok(Connected::Now(sender))
    }
}

/// Lets a connection go that nobody has asked for `idle`. Whoever replaces it ends this.
async fn watch<D: Dial>(own: Weak<Inner<D>>, idle: Duration) {
    loop {
        let until = {
            let Some(inner) = own.upgrade() else { return };
            let mut open = inner.lock();
            let Some(one) = &*open else { return };
            match one.used.after(idle) {
                Some(until) if until <= Tick::now() => {
                    *open = None;
                    return;
                }
                Some(until) => until,
                // For longer than a clock can say: never.
                None => return,
            }
        };
        sleep_until(until.instant()).await;
    }
}

impl Open {
    fn is_usable(&self, now: Tick, idle: Duration) -> bool {
        !self.sender.is_closed() && now.since(self.used) <= idle
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// The request that a connection gave back, if it did.
fn unwritten(mut failed: TrySendError<Request<Body>>) -> Result<Request<Body>, Lost> {
    failed.take_message().ok_or_else(|| Lost::Sent(failed.into_error()))
}

impl<D: Dial> Clone for Single<D> {
    fn clone(&self) -> Self {
        Single(Arc::clone(&self.0))
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Unconnected(error) => write!(f, "no connection: {error}"),
            Lost::Sent(error) => write!(f, "no reply: {error}"),
        }
    }
}

impl error::Error for Lost {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Lost::Unconnected(error) => Some(error),
            Lost::Sent(error) => Some(error),
        }
    }
}

/// Twice within a minute of silence; often enough to notice before people do, too rare to count as load.
const PING: Duration = Duration::from_secs(20);
/// An answer to a ping takes a round trip; this is a hundred of the longest.
const PONG: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    };

    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Full};
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use platform_discovery::balance::Link;
    use tokio::{
        io::{DuplexStream, duplex},
        sync::watch,
        task::JoinSet,
        time::sleep,
    };

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);
    const MS: Duration = Duration::from_millis(1);

    /// A server in this process, each of whose connections answers with its number.
    #[derive(Clone)]
    struct Server(Arc<Inside>);

    struct Inside {
        connections: AtomicU32,
        open: AtomicU32,
        away: AtomicBool,
        /// Connections up to this one say GOAWAY.
        goes: watch::Sender<u32>,
    }

    impl Dial for Server {
        type Stream = TokioIo<DuplexStream>;

        async fn dial(&self) -> io::Result<Self::Stream> {
            sleep(10 * MS).await;
            if self.0.away.load(Relaxed) {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens"));
            }
            let (ours, theirs) = duplex(64 * 1024);
            platform_core::context::spawn(self.clone().serve(theirs));
            Ok(TokioIo::new(ours))
        }

        fn is_alive(&self, _: &Self::Stream) -> bool {
            true
        }
    }

    impl Server {
        fn new() -> Self {
            let (connections, open, away) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
            Server(Arc::new(Inside { connections, open, away, goes: watch::Sender::new(0) }))
        }

        async fn serve(self, stream: DuplexStream) {
            let number = self.0.connections.fetch_add(1, Relaxed) + 1;
            self.0.open.fetch_add(1, Relaxed);
            let answer = service_fn(move |request: Request<Incoming>| async move {
                let slow = request.uri().path() == "/slow";
                sleep(if slow { 1_000 * MS } else { MS }).await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(number.to_string()))))
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), answer));
            let mut goes = self.0.goes.subscribe();
            let gone = async { drop(goes.wait_for(|last| *last >= number).await) };
            tokio::select! {
                _ = &mut connection => {}
                () = gone => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
            self.0.open.fetch_sub(1, Relaxed);
        }

        fn single(&self, idle: Duration) -> Single<Server> {
            Single::new(Reach::new(self.clone(), Link::default()), idle)
        }

        /// How many connections there are, and were.
        fn now_and_ever(&self) -> (u32, u32) {
            (self.0.open.load(Relaxed), self.0.connections.load(Relaxed))
        }
    }

    impl Single<Server> {
        /// The number of the connection that answered.
        async fn ask(&self, path: &'static str) -> Result<u32, Lost> {
            let request = Request::post(format!("http://server{path}"));
            let reply = self.send(request.body(Body::full("hello")).expect("a request")).await?;
            let body = reply.into_body().collect().await.expect("a body").to_bytes();
            Ok(std::str::from_utf8(&body).expect("digits").parse().expect("a number"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_while_somebody_connects_shares_that_connection() {
        let server = Server::new();
        let single = server.single(IDLE);
        assert_eq!(server.now_and_ever(), (0, 0), "none before it is needed");
        let mut calls = JoinSet::new();
        for _ in 0..20 {
            let single = single.clone();
            calls.spawn(async move { single.ask("/").await.expect("an answer") });
        }
        assert_eq!(calls.join_all().await, [1; 20]);
        assert_eq!(server.now_and_ever(), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_connects_and_gives_up_leaves_that_to_the_next() {
        let server = Server::new();
        let single = server.single(IDLE);
        let hasty = tokio::time::timeout(5 * MS, single.ask("/"));
        let (hasty, patient) = tokio::join!(hasty, single.ask("/"));
        assert!(hasty.is_err());
        assert_eq!(patient.expect("an answer"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_went_away_is_replaced_and_its_calls_are_answered() {
        let server = Server::new();
        let single = server.single(IDLE);
        assert_eq!(single.ask("/").await.expect("an answer"), 1);
        let slow = platform_core::context::spawn({
            let single = single.clone();
            async move { single.ask("/slow").await }
        });
        sleep(MS).await;
        server.0.goes.send_replace(1);
        sleep(MS).await;
        assert_eq!(single.ask("/").await.expect("an answer"), 2);
        assert_eq!(slow.await.expect("no panic").expect("an answer"), 1, "what it had begun it ended");
        sleep(MS).await;
        assert_eq!(server.now_and_ever(), (1, 2));
    }

    /// Both sides at once: it crosses our next request.
    #[tokio::test(start_paused = true)]
    async fn what_a_closed_connection_gives_back_goes_over_a_new_one() {
        let server = Server::new();
        let single = server.single(IDLE);
        for number in 1..=20 {
            assert_eq!(single.ask("/").await.expect("an answer"), number);
            server.0.goes.send_replace(number);
            // How far its GOAWAY got is another question each time.
            for _ in 0..number {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_nobody_asks_is_let_go_in_time() {
        let server = Server::new();
        let single = server.single(IDLE);
        for _ in 0..3 {
            single.ask("/").await.expect("an answer");
            sleep(IDLE - 100 * MS).await;
            assert_eq!(server.now_and_ever(), (1, 1), "each call begins the time anew");
        }
        sleep(200 * MS).await;
        assert_eq!(server.now_and_ever(), (0, 1));
        assert_eq!(single.ask("/").await.expect("an answer"), 2);
        drop(single);
        sleep(MS).await;
        assert_eq!(server.now_and_ever(), (0, 2), "the last clone takes it along");
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_listens_each_hears_so_and_nothing_was_sent() {
        let server = Server::new();
        let single = server.single(IDLE);
        server.0.away.store(true, Relaxed);
        let (one, other) = tokio::join!(single.ask("/"), single.ask("/"));
        for lost in [one.unwrap_err(), other.unwrap_err()] {
            assert!(
                matches!(&lost, Lost::Unconnected(error) if error.to_string().contains("nobody listens"))
            );
        }
        server.0.away.store(false, Relaxed);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(single.ask("/").await.expect("an answer"), 1);
    }
}
