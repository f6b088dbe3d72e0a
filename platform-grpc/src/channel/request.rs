//! What becomes of a request of a generated client?

use std::{
    future::Future as _,
    pin::Pin,
    task::{self, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{Extensions, Request};
use http_body::{Body as _, Frame};
use platform_core::{
    call::CarryCall as _,
    context::{Deadline, wire},
};
use platform_http::{Body, body::BoxError};
use tokio::sync::oneshot;
use tonic::Status;

use super::dialect::Grpc;
use crate::methods::{Method, StreamLimits};

/// A request for the page.
pub(super) struct Made {
    pub(super) request: Request<Body>,
    /// One message and one answer, says its proto.
    pub(super) unary: bool,
    /// How long its answers may take.
    pub(super) stream: StreamLimits,
    /// Its messages end when this is dropped.
    pub(super) listens: Option<Listens>,
}

/// Whether a call waits for somebody to ask as long as its deadline allows: while its target has no endpoint, none that
/// can be reached, or only such as say that they are not serving. Without it, or with `false`, it waits
/// `balance.set.empty_wait` and fails. It is stronger than the method's `wait_for_ready`.
///
/// ```
/// use platform_grpc::channel::WaitForReady;
///
/// let mut request = tonic::Request::new(());
/// request.extensions_mut().insert(WaitForReady(true));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitForReady(pub bool);

/// What a stream is to end by, whatever the policy allows its head.
#[derive(Clone, Copy)]
pub(super) struct CallersDeadline(pub(super) Option<Deadline>);

/// Somebody waits for what is answered. Whoever stops listening has no more to say either, and the peer is told.
pub(super) type Listens = oneshot::Sender<()>;

/// The request with its messages as bytes where they are at hand, so that it can be sent again; with its own timeout
/// as a deadline.
///
/// # Errors
/// A message that cannot be encoded.
pub(super) fn make(request: Request<tonic::body::Body>, grpc: &Grpc, keep: u64) -> Result<Made, Status> {
    let (mut head, body) = request.into_parts();
    let asked = head.extensions.get::<WaitForReady>().copied();
    // Names of the generated client's own; the path says them too, and a copy for a repeat would copy them.
    head.extensions = Extensions::new();
    let Method { idempotent, unary, stream, waits, .. } = grpc.method(head.uri.path());
    let waits = asked.unwrap_or(WaitForReady(waits));
    if waits.0 {
        head.extensions.insert(waits);
    }
    let (mut body, listens) = at_hand(body, keep)?;
    if idempotent {
        body = body.mark_idempotent();
    }
    // Written anew for each attempt, with what is left then.
    if let Some(timeout) = head.headers.remove(&wire::GRPC_TIMEOUT)
        && let Some(timeout) = wire::parse_grpc_timeout(timeout.as_bytes())
    {
        let context = body.context_mut();
        if let Some(deadline) = Deadline::after(context.now(), timeout) {
            context.narrow(deadline);
        }
    }
    if unary != Some(true) {
        head.extensions.insert(CallersDeadline(body.context().deadline()));
    }
    Ok(Made { request: Request::from_parts(head, body), unary: unary == Some(true), stream, listens })
}

/// Reads what is there already. Bytes if that is all, up to `keep`; else a stream that begins with it.
fn at_hand(mut body: tonic::body::Body, keep: u64) -> Result<(Body, Option<Listens>), Status> {
    let mut cx = task::Context::from_waker(task::Waker::noop());
    let mut first: Option<Bytes> = None;
    let mut more = BytesMut::new();
    loop {
        match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Ready(None) => return Ok((Body::framed(fitted(joined(first, more))), None)),
            Poll::Ready(Some(Err(status))) => return Err(status),
            Poll::Ready(Some(Ok(frame))) => {
                // A client has no trailers.
                let Ok(bytes) = frame.into_data() else { continue };
                match &first {
                    None => first = Some(bytes),
                    Some(begin) => {
                        if more.is_empty() {
                            more.extend_from_slice(begin);
                        }
                        more.extend_from_slice(&bytes);
                        if more.len() as u64 > keep {
                            break;
                        }
                    }
                }
            }
            // Whoever reads on is woken: this look is forgotten.
            Poll::Pending => break,
        }
    }
    let read = Some(joined(first, more)).filter(|read| !read.is_empty());
    let (listens, listened) = oneshot::channel();
    Ok((Body::stream(Begun { read, rest: body, listened }), Some(listens)))
}

/// A message is encoded into a buffer of [`ENCODED`] bytes at least, which lives as long as the message: until the call
/// is over, because it may be sent again. A small one is copied out, so that a hundred calls under way use one such
/// buffer and not a hundred.
fn fitted(message: Bytes) -> Bytes {
    if message.len() <= ENCODED / 8 { Bytes::copy_from_slice(&message) } else { message }
}

fn joined(first: Option<Bytes>, more: BytesMut) -> Bytes {
    if more.is_empty() { first.unwrap_or_default() } else { more.freeze() }
}

/// Messages of which some were there already.
struct Begun {
    read: Option<Bytes>,
    rest: tonic::body::Body,
    listened: oneshot::Receiver<()>,
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if Pin::new(&mut this.listened).poll(cx).is_ready() {
            // What the connection finds in an error is what it tells the peer.
            return Poll::Ready(Some(Err(h2::Error::from(h2::Reason::CANCEL).into())));
        }
        match this.read.take() {
            Some(read) => Poll::Ready(Some(Ok(Frame::data(read)))),
            None => Pin::new(&mut this.rest).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none() && self.rest.is_end_stream()
    }
}

/// tonic's buffer for one message (`DEFAULT_CODEC_BUFFER_SIZE`).
const ENCODED: usize = 8 * 1024;
