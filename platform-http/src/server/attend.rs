//! One connection, from its handshake to its end.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::TcpStream;

use super::{
    config::{HEADER_FIELDS, Limits},
    exchange::Exchange,
    line::{Line, Peer},
    socket::Socket,
};
use crate::{
    Body,
    boxing::Boxing,
    tls::{Acceptor, Identity, Stream},
};

/// The handshake, where there is one; nothing if it fails or the connection is told to go before it is over. The
/// time for it is part of what a new connection has for its first headers.
pub(super) async fn greet(
    socket: TcpStream,
    tls: Option<Acceptor>,
    line: &Arc<Line>,
) -> Option<(Stream, Option<Identity>)> {
    let Some(tls) = tls else { return Some((Stream::Plain(socket), None)) };
    let mut accepted = pin!(tls.accept(socket));
    let ended = poll_fn(|cx| {
        line.wake_task(cx.waker());
        if line.must_end() { Poll::Ready(None) } else { accepted.as_mut().poll(cx).map(Some) }
    })
    .await;
    match ended? {
        Ok(greeted) => Some(greeted),
        Err(error) => {
            tracing::debug!(peer = %line.address, %error, "a TLS handshake failed");
            None
        }
    }
}

/// Serves one connection until it ends, is told to end, or is cut.
pub(super) async fn attend<F, Fut>(
    protocol: Arc<auto::Builder<Boxing>>,
    socket: Stream,
    line: Arc<Line>,
    exchange: Exchange<F>,
) where
    F: Fn(Request<Incoming>, &Peer) -> Fut + Send + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    let socket = TokioIo::new(Socket::new(socket, Arc::clone(&line)));
    let mut connection = pin!(protocol.serve_connection_with_upgrades(socket, exchange));
    let mut listening = false;
    let mut told = false;
    let ended = poll_fn(|cx| {
        // A waker stays until it is used, and it is used only with an order: so a request pays for none of this.
        if !listening || told {
            line.wake_task(cx.waker());
            listening = true;
        }
        if line.is_cut() {
            return Poll::Ready(None);
        }
        if line.must_end() && !told {
            told = true;
            line.wake_task(cx.waker());
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx).map(Some)
    })
    .await;
    if let Some(Err(error)) = ended {
        tracing::debug!(peer = %line.address, error = &*error as &dyn std::error::Error, "a connection ended with an error");
    }
}

/// hyper's settings; those left out keep its defaults.
pub(super) fn protocol(limits: &Limits) -> auto::Builder<Boxing> {
    let headers = u32::try_from(limits.headers).unwrap_or(u32::MAX);
    let mut builder = auto::Builder::new(Boxing);
    let mut http1 = builder.http1();
    // hyper's own header timeout would arm a timer for each request and would end idle connections with it.
    // The parse buffer is the limit of the headers; bodies go through it piece by piece.
    http1.header_read_timeout(None).max_buf_size(headers as usize);
    if limits.header_fields != HEADER_FIELDS {
        // At its default hyper parses on the stack, with any other number it allocates.
        http1.max_headers(limits.header_fields);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(headers)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    builder
}

/// Enough for a busy peer, and a bound on what one connection can ask for at once; further streams wait at the
/// client. Their bodies share one window of 1 MiB.
const MAX_STREAMS: u32 = 200;
/// Streams that the peer reset before we began them (CVE-2023-44487). A client that gives up does so one by one.
pub(super) const MAX_PENDING_RESETS: usize = 20;
/// Streams that we had to reset for the peer's errors (CVE-2025-8671). Honest peers make almost none.
const MAX_ERROR_RESETS: usize = 100;
/// A peer that vanished without closing is noticed while its streams are still worth ending.
const PING: Duration = Duration::from_secs(30);
/// A paused laptop or a lost route comes back within it.
const PONG: Duration = Duration::from_secs(20);
