//! A ground to test connections on: one listener on a free port, a small answer for each path, and a client that
//! speaks bytes.

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::TokioIo;
use platform_core::{
    context,
    lifecycle::{Drain, Trigger},
};
use platform_http::{
    Body,
    server::{Connections, Limits, Listener, Peer, Served, Times},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

/// Whatever takes longer than this has failed.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// The grace of a drain that is expected to need none.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// A server under test.
pub(crate) struct Ground {
    pub(crate) address: SocketAddr,
    trigger: Trigger,
    served: JoinHandle<Served>,
}

impl Ground {
    pub(crate) async fn open() -> Ground {
        Ground::with(Limits::default(), Times::default(), GRACE).await
    }

    pub(crate) async fn timed(times: Times) -> Ground {
        Ground::with(Limits::default(), times, GRACE).await
    }

    pub(crate) async fn with(limits: Limits, times: Times, grace: Duration) -> Ground {
        let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
        Ground::on(listener, limits, times, grace)
    }

    pub(crate) fn on(listener: Listener, limits: Limits, times: Times, grace: Duration) -> Ground {
        let address = listener.local_addr();
        let (trigger, drain) = Drain::new();
        let served = Connections::new(limits, times).serve(listener, drain, grace, answer);
        Ground { address, trigger, served: context::spawn(served) }
    }

    /// Says that the drain comes after `length`.
    pub(crate) fn announce(&self, length: Duration) {
        self.trigger.announce(length);
    }

    /// Asks for the drain and does not wait.
    pub(crate) fn ask(&self) {
        self.trigger.ask();
    }

    /// Asks for the drain and waits until serving has ended.
    pub(crate) async fn drain(self) -> Served {
        self.trigger.ask();
        self.end().await
    }

    pub(crate) async fn end(self) -> Served {
        soon(self.served).await.expect("serving does not panic")
    }

    pub(crate) async fn wire(&self) -> Wire {
        Wire(soon(TcpStream::connect(self.address)).await.expect("it listens"))
    }

    /// A fresh connection says `bytes`; everything that comes until it is closed.
    pub(crate) async fn tell(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut wire = self.wire().await;
        wire.say(bytes).await;
        wire.rest().await
    }
}

/// A client that speaks bytes.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    /// A server that has answered may have closed: what it does not want to hear is its business.
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = soon(self.0.write_all(bytes.as_ref())).await;
    }

    pub(crate) async fn get(&mut self, path: &str) -> String {
        self.say(format!("GET {path} HTTP/1.1\r\nhost: ground\r\n\r\n")).await;
        self.reply().await
    }

    /// One reply with a length, or what came before the end.
    pub(crate) async fn reply(&mut self) -> String {
        let mut heard = Vec::new();
        while !is_whole(&heard) {
            let mut byte = [0];
            match soon(self.0.read(&mut byte)).await {
                Ok(1) => heard.push(byte[0]),
                _ => break,
            }
        }
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Everything until the server closes; a reset ends it as well and is told.
    pub(crate) async fn rest(&mut self) -> String {
        let mut heard = Vec::new();
        let end = soon(self.0.read_to_end(&mut heard)).await;
        let heard = String::from_utf8_lossy(&heard).into_owned();
        if end.is_ok() { heard } else { format!("{heard}[reset]") }
    }

    /// How long until the server closes?
    pub(crate) async fn closed_after(&mut self) -> Duration {
        let begun = tokio::time::Instant::now();
        let rest = self.rest().await;
        assert!(rest.is_empty() || rest == "[reset]", "nothing more was said: {rest}");
        begun.elapsed()
    }
}

pub(crate) async fn soon<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(SOON, work).await.expect("it takes far too long")
}

/// `/` says hello, `/sleep/MS` later, `/echo` repeats the body, `/endless` never ends, `/upgrade` echoes bytes for
/// ever, `/panic` panics, `/none` and `/same` have a body where none can be.
pub(crate) fn answer(
    mut request: Request<hyper::body::Incoming>,
    peer: &Peer,
) -> impl Future<Output = Response<Body>> + Send + use<> {
    let address = peer.address;
    async move {
        assert!(address.ip().is_loopback());
        let path = request.uri().path().to_owned();
        if let Some(pause) = path.strip_prefix("/sleep/") {
            tokio::time::sleep(Duration::from_millis(pause.parse().expect("milliseconds"))).await;
        }
        match path.as_str() {
            "/echo" => match request.into_body().collect().await {
                Ok(body) => Response::new(Body::reply(body.to_bytes())),
                Err(_) => status(StatusCode::BAD_REQUEST),
            },
            "/refuse" => status(StatusCode::PAYLOAD_TOO_LARGE),
            "/endless" => {
                let piece = || {
                    Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::from(vec![b'x'; 65536])))
                };
                let body = StreamBody::new(futures_util::stream::repeat_with(piece));
                Response::new(Body::reply_stream(body))
            }
            "/upgrade" => {
                let upgrade = hyper::upgrade::on(&mut request);
                context::spawn(async move {
                    let mut io = TokioIo::new(upgrade.await.expect("the client asked for it"));
                    let mut byte = [0; 64];
                    while let Ok(length @ 1..) = io.read(&mut byte).await {
                        if io.write_all(&byte[..length]).await.is_err() {
                            break;
                        }
                    }
                });
                let mut response = status(StatusCode::SWITCHING_PROTOCOLS);
                response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("echo"));
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                response
            }
            "/panic" => panic!("asked to"),
            "/none" => with_status(StatusCode::NO_CONTENT, "a handler's mistake"),
            "/same" => with_status(StatusCode::NOT_MODIFIED, "a handler's mistake"),
            _ => Response::new(Body::reply("hello")),
        }
    }
}

/// The answer's status, or `closed` when there was none.
pub(crate) fn status_of(reply: &str) -> &str {
    reply.split(' ').nth(1).unwrap_or("closed")
}

fn status(status: StatusCode) -> Response<Body> {
    with_status(status, "")
}

fn with_status(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::reply(body));
    *response.status_mut() = status;
    response
}

fn is_whole(heard: &[u8]) -> bool {
    let Some(head) = heard.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&heard[..head]).to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().expect("a number"));
    heard.len() >= head + 4 + length
}
