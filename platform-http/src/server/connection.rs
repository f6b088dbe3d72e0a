//! HTTP/1.1 and cleartext HTTP/2 on one listener, each connection within its limits and with a graceful end.
//!
//! # Why
//! The peers decide how many connections there are and what becomes of them; the limits here are what a service
//! survives by. None of them costs a request a timer: requests move counters, and one loop, the same that
//! accepts, looks at all connections now and then.
//!
//! # What a hostile or careless peer gets
//! | what it does | what it gets |
//! |---|---|
//! | more connections than `limits.connections` | waits in the kernel's queue, which costs us nothing; accepting only to close would make it come back at once |
//! | says nothing, or shakes hands or sends its headers slowly | closed after `times.header` |
//! | headers beyond `limits.headers` or `limits.header_fields` | 431 |
//! | takes no byte of its reply | closed with a reset after `times.body_idle`, as far as TCP shows it, so that the kernel keeps nothing for it; one starved HTTP/2 stream among others is ended by its deadline |
//! | sends pings or settings and reads no answers | is read no further: nothing is queued for it |
//! | a head that would be two in HTTP/1.1 (line ends in values, `transfer-encoding` over HTTP/2, two lengths) | 400, or the end of its stream or connection |
//! | chunks with endless extensions or trailers, sizes that are none | 400 |
//! | opens and resets HTTP/2 streams | GOAWAY after [`MAX_PENDING_RESETS`](super::attend::MAX_PENDING_RESETS) that were not even begun |
//! | leaves without a word | HTTP/2 is pinged; HTTP/1 is idle or stalled sooner or later |
//! | ignores a GOAWAY | closed after `times.header` if it is idle or still begins requests |

use std::{
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::server::conn::auto;
use platform_core::lifecycle::{Drain, Notice};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, MissedTickBehavior},
};

use super::{
    age::{self, Age, Mood, Order},
    attend::{attend, greet, protocol},
    config::{Limits, Times},
    exchange::Exchange,
    line::{Line, Peer},
    listener::{Complaint, Listener},
};
use crate::{Body, boxing::Boxing, tls::Acceptor};

/// Accepts connections and serves them until the drain.
#[derive(Debug)]
pub struct Connections {
    limits: Limits,
    times: Times,
    tls: Option<Acceptor>,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Requests, upgraded connections among them, that were still in flight when the grace was over.
    pub cut: usize,
    /// Connections that were still open then, idle ones included.
    pub connections: usize,
}

impl Connections {
    /// Connections within these limits.
    pub fn new(limits: Limits, times: Times) -> Self {
        Connections { limits, times, tls: None }
    }

    /// The same with TLS.
    pub(crate) fn secured(mut self, tls: Option<Acceptor>) -> Self {
        self.tls = tls;
        self
    }

    /// Serves until `drain` asks. If that is announced, connections retire one after the other before it, with the last
    /// reply of HTTP/1 and a GOAWAY: an idle one that is closed may cross its peer's next request, and a balancer that
    /// does not know us leaves with its connections. With the drain it stops accepting, though who already waits in the
    /// kernel's queue is still served, closes idle connections, ends the others with their requests in flight, and cuts
    /// what is left after `grace`. An upgraded connection is a request in flight until it ends.
    ///
    /// `answer` is called for each request. Should it panic, its connection ends, on HTTP/2 only its stream.
    pub async fn serve<F, Fut>(
        self,
        mut listener: Listener,
        drain: Drain,
        grace: Duration,
        answer: F,
    ) -> Served
    where
        F: Fn(Request<Incoming>, &Peer) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Response<Body>> + Send + 'static,
    {
        let mut tender = Tender::new(&self.limits, self.times, self.tls, drain.clone());
        let mut asked = pin!(drain.asked());
        let mut announced = pin!(drain.announced());
        let mut looks = tokio::time::interval(age::period(&tender.times));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut free = tender.free_place();
        loop {
            if free.is_none() {
                tender.complain();
            }
            tokio::select! {
                biased;
                () = &mut asked => break,
                notice = &mut announced, if tender.leaves.is_none() => match notice {
                    Some(notice) => {
                        tender.leave(notice);
                        looks = tokio::time::interval(age::period(&tender.times).min(notice.length / LOOKS_AT_LEAVING));
                    }
                    None => break,
                },
                _ = looks.tick() => tender.look(Mood { draining: false, full: free.is_none() }),
                place = tender.place(), if free.is_none() => free = Some(place),
                accepted = listener.accept(), if free.is_some() => {
                    let place = free.take().expect("this branch has a place");
                    tender.receive(accepted, place, &answer);
                    free = tender.free_place();
                }
            }
        }
        tender.draining = true;
        // Their clients believe to be connected; closing the listener would reset them.
        while let Some(place) = free.take().or_else(|| tender.free_place())
            && let Some(accepted) = listener.accept_waiting()
        {
            tender.receive(accepted, place, &answer);
        }
        drop((free, listener));
        tender.finish(grace).await
    }
}

/// Looks after all connections of one listener.
struct Tender {
    times: Times,
    header_fields: usize,
    protocol: Arc<auto::Builder<Boxing>>,
    tls: Option<Acceptor>,
    places: Arc<Semaphore>,
    all_places: u32,
    drain: Drain,
    /// Who is accepted now is served once.
    draining: bool,
    /// When who is accepted after it was announced that we leave should have gone.
    leaves: Option<Instant>,
    lines: Vec<(Weak<Line>, Age)>,
    complaint: Complaint,
}

impl Tender {
    fn new(limits: &Limits, times: Times, tls: Option<Acceptor>, drain: Drain) -> Self {
        Tender {
            header_fields: limits.header_fields,
            protocol: Arc::new(protocol(limits)),
            tls,
            places: Arc::new(Semaphore::new(limits.connections as usize)),
            all_places: limits.connections,
            lines: Vec::new(),
            complaint: Complaint::default(),
            times,
            drain,
            draining: false,
            leaves: None,
        }
    }

    fn free_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Waits until a connection ends. Does not borrow: meanwhile others are looked after.
    fn place(&self) -> impl Future<Output = OwnedSemaphorePermit> + use<> {
        let places = Arc::clone(&self.places);
        async move { places.acquire_owned().await.expect("the places are never closed") }
    }

    fn complain(&mut self) {
        if let Some(silent) = self.complaint.may_speak(Instant::now()) {
            tracing::warn!(
                connections = self.all_places,
                repeated = silent,
                "as many connections as server.limits.connections allows; new ones wait for a place"
            );
        }
    }

    fn receive<F, Fut>(
        &mut self,
        (socket, address): (TcpStream, SocketAddr),
        place: OwnedSemaphorePermit,
        answer: &F,
    ) where
        F: Fn(Request<Incoming>, &Peer) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Response<Body>> + Send + 'static,
    {
        // A reply is written whole; waiting for more of it only delays it. An error means that the peer has left,
        // which reading will tell.
        let _ = socket.set_nodelay(true);
        let line = Line::new(address, place, self.drain.clone());
        let now = Instant::now();
        let mut age = Age::new(now, &self.times, fastrand::f64());
        if let Some(leaves) = self.leaves {
            age.leave_by(leaves);
        }
        if self.draining || self.leaves.is_some_and(|leaves| now >= leaves) {
            line.ask_last_reply();
        }
        self.lines.push((Arc::downgrade(&line), age));
        let (protocol, tls) = (Arc::clone(&self.protocol), self.tls.clone());
        let (header_fields, answer) = (self.header_fields, answer.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a connection outlives every request: there is no context to keep"
        )]
        tokio::spawn(async move {
            let Some((socket, identity)) = greet(socket, tls, &line).await else { return };
            let peer = Peer { address, identity };
            let exchange = Exchange { line: Arc::clone(&line), peer, header_fields, answer };
            attend(protocol, socket, line, exchange).await;
        });
    }

    /// Those that are open leave one by one, so that nobody opens all of them anew at once.
    fn leave(&mut self, notice: Notice) {
        let length = notice.length.mul_f64(LEAVING);
        for (_, age) in &mut self.lines {
            age.leave_by(notice.began + length.mul_f64(fastrand::f64()));
        }
        self.leaves = Some(notice.began + length);
    }

    fn look(&mut self, mood: Mood) {
        let now = Instant::now();
        self.lines.retain_mut(|(line, age)| {
            let Some(line) = line.upgrade() else { return false };
            match age.look(now, line.sight(), &self.times, mood) {
                Order::Stay => {}
                Order::LastReply => line.ask_last_reply(),
                Order::End(why) => {
                    tracing::debug!(peer = %line.address, why, "ending a connection");
                    line.end();
                }
                Order::Cut(why) => {
                    tracing::debug!(peer = %line.address, why, "cutting a connection");
                    line.cut();
                }
            }
            true
        });
    }

    async fn finish(mut self, grace: Duration) -> Served {
        let hard = Instant::now() + grace;
        let places = Arc::clone(&self.places);
        let mut gone = pin!(places.acquire_many(self.all_places));
        self.look(DRAINING);
        let mut looks = tokio::time::interval(age::period(&self.times).min(DRAIN_PERIOD));
        loop {
            tokio::select! {
                biased;
                _ = &mut gone => return Served::default(),
                () = tokio::time::sleep_until(hard) => break,
                _ = looks.tick() => self.look(DRAINING),
            }
        }
        let served = self.cut_all();
        // Dropping what was cut takes the tasks a moment. Who does not end even then ends with the process.
        let _ = tokio::time::timeout(CUT, gone).await;
        served
    }

    fn cut_all(&self) -> Served {
        let mut served = Served::default();
        for line in self.lines.iter().filter_map(|(line, _)| line.upgrade()) {
            let sight = line.sight();
            served.connections += 1;
            // A reply that was handed over whole is still cut while its peer takes no bytes.
            let other = sight.upgraded || (sight.in_flight == 0 && sight.is_stalled());
            served.cut += sight.in_flight as usize + usize::from(other);
            line.cut();
        }
        served
    }
}

/// Of the time between the announcement and the drain: the rest is for the last replies.
const LEAVING: f64 = 0.8;
/// Looks in that time.
const LOOKS_AT_LEAVING: u32 = 20;
/// Everyone is asked to leave; nobody waits for a place.
const DRAINING: Mood = Mood { draining: true, full: false };
/// While draining everyone waits for the slowest: look often.
const DRAIN_PERIOD: Duration = Duration::from_millis(25);
/// Long enough for every task to be polled once.
const CUT: Duration = Duration::from_millis(500);
