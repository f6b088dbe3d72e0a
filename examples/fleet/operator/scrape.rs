//! What have the services counted?

use std::{
    cmp::Ordering,
    collections::{BTreeMap, VecDeque},
    mem,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, StatusCode, header, request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};

use super::openmetrics::Counts;
use crate::company::Role;

/// What every instance has counted. A restarted one begins at zero again, so the counts of earlier lives are put
/// aside and the sum never falls.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// The present life of each instance, and what it has counted.
    present: BTreeMap<(Role, String), (u32, Counts)>,
    past: Totals,
}

/// What all services have counted, at one moment.
pub(crate) type Totals = BTreeMap<Role, Counts>;

impl Ledger {
    /// Reads the metrics of one instance. One that does not answer keeps what it last said.
    pub(crate) async fn read(&self, role: Role, instance: &str, life: u32, admin: SocketAddr) {
        if let Some(text) = fetch(admin, "/metrics").await {
            self.pages().write(role, instance, life, Counts::read(&text));
        }
    }

    /// The sum over all lives, per service.
    pub(crate) fn totals(&self) -> Totals {
        let pages = self.pages();
        let mut totals: Totals = Role::ALL.into_iter().map(|role| (role, Counts::default())).collect();
        let present = pages.present.iter().map(|((role, _), (_, counts))| (role, counts));
        for (role, counts) in present.chain(&pages.past) {
            totals.entry(*role).or_default().add(counts);
        }
        totals
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn write(&mut self, role: Role, instance: &str, life: u32, counts: Counts) {
        let (known, page) =
            self.present.entry((role, instance.to_owned())).or_insert((life, Counts::default()));
        match life.cmp(known) {
            Ordering::Equal => *page = counts,
            Ordering::Greater => {
                *known = life;
                let ended = mem::replace(page, counts);
                self.past.entry(role).or_default().add(&ended.over());
            }
            // Read before the restart and written after it: that life is put aside already.
            Ordering::Less => {}
        }
    }
}

/// Moments of the last seconds: a rate over one second jumps, and a p99 of one second is a handful of requests.
#[derive(Debug)]
pub(crate) struct Window<T> {
    moments: VecDeque<(Instant, T)>,
}

impl<T> Window<T> {
    /// An empty window.
    pub(crate) fn new() -> Self {
        Window { moments: VecDeque::new() }
    }

    /// Adds a moment; the earliest that is kept, and how long ago it was.
    pub(crate) fn slide(&mut self, now: Instant, moment: T) -> (&T, Duration) {
        self.moments.push_back((now, moment));
        // The first one kept is the last one that is old enough, so that the window is never shorter.
        while self.moments.get(1).is_some_and(|(at, _)| now - *at >= WINDOW) {
            self.moments.pop_front();
        }
        let (at, earliest) = self.moments.front().expect("one was just added");
        (earliest, now - *at)
    }
}

/// The body of a 200 answer to `GET path`; `None` for anything else.
pub(crate) async fn fetch(address: SocketAddr, path: &str) -> Option<String> {
    let (status, body) = exchange(address, Request::get(path), Bytes::new()).await?;
    (status == StatusCode::OK).then_some(body)
}

/// What an admin listener answers; `None` if it does not.
pub(crate) async fn exchange(
    address: SocketAddr,
    request: request::Builder,
    body: Bytes,
) -> Option<(StatusCode, String)> {
    tokio::time::timeout(FETCH_LIMIT, ask(address, request, body)).await.ok().flatten()
}

/// Hyper by itself: an operator that watched through the platform's own client would not see that break.
async fn ask(address: SocketAddr, request: request::Builder, body: Bytes) -> Option<(StatusCode, String)> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = request.header(header::HOST, address.to_string()).body(Full::new(body)).ok()?;
    let answer = async {
        let response = sender.send_request(request).await.ok()?;
        let status = response.status();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::select! {
        answer = answer => answer,
        // It may end before its last answer has been read here; without an answer that is told above.
        _ = connection.then(|_| std::future::pending::<()>()) => None,
    }
}

/// Five seconds of 200 requests are a thousand: a p99 of ten.
const WINDOW: Duration = Duration::from_secs(5);
/// On loopback an instance answers in a millisecond or is in trouble.
const FETCH_LIMIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Answers one connection with `text`, whatever is asked.
    async fn once(text: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // What is left unread would reset the connection.
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(text.as_bytes()).await.unwrap();
        };
        platform_core::context::spawn(answer);
        address
    }

    #[tokio::test]
    async fn only_a_good_answer_counts() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", Some("hi")),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", Some("hi")),
            ("HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nhi", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi", None),
            ("what?", None),
        ] {
            assert_eq!(fetch(once(text).await, "/readyz").await.as_deref(), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_restart_never_makes_a_sum_fall() {
        let ledger = Ledger::default();
        let says = |count: &str| {
            let body = format!("http_server_request_duration_seconds_count {count}\n");
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            &*Box::leak(text.into_boxed_str())
        };
        for (life, count, total) in [(1, "40", 40), (1, "50", 50), (2, "3", 53), (1, "50", 53), (3, "1", 54)]
        {
            ledger.read(Role::Edge, "edge-1", life, once(says(count)).await).await;
            assert_eq!(ledger.totals()[&Role::Edge].requests, total);
        }
        // Gone: nobody answers there.
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        ledger.read(Role::Edge, "edge-1", 3, nobody).await;
        assert_eq!(ledger.totals()[&Role::Edge].requests, 54);
        assert_eq!(ledger.totals()[&Role::Catalog].requests, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_is_five_seconds_once_there_were_as_many() {
        let mut window = Window::new();
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        for (second, earliest, length) in
            [(0, 0, 0), (1, 0, 1), (4, 0, 4), (6, 1, 5), (30, 6, 24), (31, 6, 25), (36, 31, 5)]
        {
            let (found, took) = window.slide(at(second), second);
            assert_eq!((*found, took), (earliest, Duration::from_secs(length)), "at {second}");
        }
    }
}
